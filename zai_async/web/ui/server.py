"""The server of the chat app: the page, answers, transcriptions, and made pictures and films."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from zai_async.client import AsyncZai
from zai_async.errors import InvalidBodyError, ZaiError
from zai_async.web.aiohttp_server import aiohttp_respond, aiohttp_response
from zai_async.web.relay import Relay
from zai_async.web.ui.answers import SERVER_TOOLS, AnswerMaker, PageSettings
from zai_async.web.ui.guard import guard_for, secure
from zai_async.web.ui.media import MediaFolder
from zai_async.web.ui_messages import UIMessageEncoder
from zai_async.web.ui_requests import parse_ui_request

__all__ = ["BUNDLE", "is_bundled", "make_app"]

BUNDLE: Final = Path(__file__).with_name("dist")
_PAGE: Final = "index.html"
# A conversation comes whole with each question, with its pictures.
_MAX_BODY: Final = 64 * 2**20
_MAX_ID: Final = 200
_BODY_TIMEOUT: Final = 60.0
_TRANSCRIPTION_MODEL: Final = "glm-asr-2512"
# Those of the others' names that say so; the platform's list of models does not.
_SEES: Final = ("v", "v-flash", "v-flashx", "v-turbo")


def is_bundled() -> bool:
    """Tell whether the page has been built."""
    return (BUNDLE / _PAGE).is_file()


def make_app(
    zai: AsyncZai,
    *,
    model: str = "glm-5.3",
    vision_model: str = "glm-5.3-flash",
    search_engine: str = "search-prime",
    hosts: Collection[str] = (),
    bundle: Path = BUNDLE,
) -> web.Application:
    """Return the chat app, to be run with ``handler_cancellation=True``.

    Args:
        zai: The client, which stays open when the application ends.
        model: The model that is chosen when the page is opened first.
        vision_model: The model that is offered for pictures.
        search_engine: The search engine of the web search.
        hosts: Names by which browsers may reach it, beside ``localhost`` and addresses.
        bundle: The folder of the built page.
    """
    routes = _Routes(zai, model, vision_model, search_engine)
    app = web.Application(middlewares=[guard_for(hosts)], client_max_size=_MAX_BODY)
    app.on_response_prepare.append(secure)
    app.cleanup_ctx.append(routes.opened)
    app.on_shutdown.append(routes.shut_down)
    app.router.add_get("/api/models", routes.models)
    app.router.add_post("/api/chat", routes.chat)
    app.router.add_get("/api/chat/{id}/stream", routes.resume)
    app.router.add_post("/api/chat/{id}/stop", routes.stop)
    app.router.add_post("/api/transcriptions", routes.transcribe)
    app.router.add_get("/api/media/{key:[0-9a-f]{32}}", routes.media)

    async def page(request: web.Request) -> web.FileResponse:
        name = request.match_info.get("name", _PAGE)
        return web.FileResponse(bundle / name, headers={"Cache-Control": "no-cache"})

    app.router.add_get("/", page)
    app.router.add_get(r"/static/{name:[a-z]+\.(?:js|css)}", page)
    return app


class _Routes:
    """The handlers, and what they share for the life of the application."""

    def __init__(self, zai: AsyncZai, model: str, vision_model: str, engine: str) -> None:
        self._zai = zai
        self._models = {"model": model, "visionModel": vision_model}
        self._relay = Relay(zai)
        self._media = MediaFolder()
        self._answers = AnswerMaker(zai, model, engine, self._media)

    async def opened(self, _: web.Application) -> AsyncGenerator[None]:
        """Close what is open when the application ends."""
        yield
        await self._relay.aclose()
        await self._media.aclose()

    async def shut_down(self, _: web.Application) -> None:
        """End the answers that are being written, so that the server need not wait for them."""
        self._relay.begin_shutdown(0)

    async def models(self, _: web.Request) -> web.Response:
        """Answer with the models that the key may use, or why they are not known."""
        names: list[str] = []
        trouble = ""
        try:
            names = [model.id for model in (await self._zai.models.list()).data]
        except ZaiError as error:
            trouble = str(error)
        known = dict.fromkeys([*self._models.values(), *sorted(names)])
        seeing = self._models["visionModel"]
        listed = [{"id": name, "sees": name == seeing or name.endswith(_SEES)} for name in known]
        return web.json_response({**self._models, "models": listed, "error": trouble})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Begin an answer, which goes on whoever reads it."""
        # A page of another site can send a form or plain text without asking first, but no JSON.
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="The body must be application/json.")
        try:
            async with asyncio.timeout(_BODY_TIMEOUT):
                body = await request.read()
            asked = parse_ui_request(body, roles=("user", "assistant"))
            settings = msgspec.json.decode(body, type=PageSettings)
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except (InvalidBodyError, msgspec.ValidationError) as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        if not 0 < len(asked.id) <= _MAX_ID:
            raise web.HTTPBadRequest(text="The chat needs an id of at most 200 characters.")
        answer = self._answers.begin(asked.messages, settings)
        try:
            encoder = UIMessageEncoder(asked.continues, server_tools=SERVER_TOOLS)
            response = await self._relay.start(asked.id, answer, encoder=encoder)
        except ZaiError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from None
        return await aiohttp_respond(request, response)

    async def resume(self, request: web.Request) -> web.StreamResponse:
        """Repeat an answer from its beginning, and go on with it."""
        return await aiohttp_respond(request, await self._relay.resume(request.match_info["id"]))

    async def stop(self, request: web.Request) -> web.Response:
        """Stop an answer, at the platform too."""
        await self._relay.stop(request.match_info["id"])
        return web.Response(status=204)

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """Write down what is said, piece by piece."""
        kind = request.content_type
        if not kind.startswith("audio/"):
            raise web.HTTPUnsupportedMediaType(text="The body must be a sound.")
        sound = await request.read()
        name = f"sound.{'mp3' if kind in {'audio/mpeg', 'audio/mp3'} else 'wav'}"
        stream = self._zai.audio.transcriptions.stream(
            model=_TRANSCRIPTION_MODEL, file=(name, sound)
        )
        return await aiohttp_response(request, stream, protocol="text")

    async def media(self, request: web.Request) -> web.FileResponse:
        """Serve a picture or a film that was made while this server ran."""
        path = await self._media.find(request.match_info["key"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Cache-Control": "no-store"})
