"""The API of OpenAI in front of the platform, for programs that were written for it.

https://platform.openai.com/docs/api-reference
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, cast
from uuid import uuid4

import anyio.lowlevel
import msgspec

from zai_async.client import AsyncZai
from zai_async.errors import ZaiError
from zai_async.web.asgi import Receive, Scope, Send, read_json, send_answer, while_read
from zai_async.web.openai_calls import OpenAICalls, Whole
from zai_async.web.openai_replies import refusal_headers
from zai_async.web.openai_requests import RefusedRequestError, fields_of
from zai_async.web.responses import EventResponse, RelaySettings

__all__ = ["OpenAIRouter", "openai_router"]

Allowed = bool | AsyncZai | None
Authorize = Callable[[str], Allowed | Awaitable[Allowed]]

_JSON: Final = {"Content-Type": "application/json"}
_VISIBLE: Final = re.compile(r"[!-~]{1,128}")
_POSTED: Final[Mapping[str, Callable[[OpenAICalls, dict[str, Any]], Whole | EventResponse]]] = {
    "chat/completions": OpenAICalls.chat,
    "embeddings": OpenAICalls.embeddings,
    "images/generations": OpenAICalls.images,
}


class OpenAIRouter:
    """An ASGI application that answers clients of OpenAI; ``openai_router`` makes one."""

    def __init__(
        self,
        zai: AsyncZai,
        models: Mapping[str, Mapping[str, Any]],
        authorize: Authorize | None,
        settings: RelaySettings,
        max_body: int,
    ) -> None:
        self._zai = zai
        self._models = models
        self._authorize = authorize
        self._max_body = max_body
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; an ASGI server or a framework calls this."""
        if scope["type"] != "http":
            return
        named = _NamedSend(send, is_head=scope["method"] == "HEAD")
        try:
            await self._answer(scope, receive, named)
        except (ZaiError, RefusedRequestError) as error:
            named.subject = error
            answer = error.to_http()
            headers = refusal_headers(answer) if isinstance(error, ZaiError) else answer.headers
            await send_answer(named, answer.status, headers, answer.content)

    async def _answer(self, scope: Scope, receive: Receive, send: "_NamedSend") -> None:
        method, path = scope["method"], scope["path"]
        path = path.removeprefix(scope.get("root_path", "")).strip("/")
        handler = _POSTED.get(path)
        room, _, model = path.partition("/")
        if handler is None and room != "models":
            raise RefusedRequestError(f"There is no {method} /{path}.", status=404)
        allowed = ("GET", "HEAD", "OPTIONS") if handler is None else ("POST", "OPTIONS")
        allow = {"Allow": ", ".join(allowed)}
        if method not in allowed:
            text = f"/{path} does not know {method}."
            raise RefusedRequestError(text, status=405, headers=allow)
        if method == "OPTIONS":
            await send_answer(send, 204, allow, b"")
            return
        zai = await self._client_for(dict(scope["headers"]))
        if handler is None:
            await send_answer(send, 200, _JSON, msgspec.json.encode(self._known(model)))
            return
        body = await read_json(scope, receive, self._max_body)
        if body is None:
            return
        fields = fields_of(body)
        self._require_model(fields.get("model"))
        answer = handler(OpenAICalls(zai, self._settings), fields)
        if isinstance(answer, EventResponse):
            send.subject = answer.source
            await answer(scope, receive, send)
            return

        async def respond(deliver: Send) -> None:
            reply, content = await answer()
            send.subject = reply
            await send_answer(deliver, 200, _JSON, msgspec.json.encode(content))

        await while_read(receive, send, respond, anyio.lowlevel.checkpoint)

    async def _client_for(self, headers: Mapping[bytes, bytes]) -> AsyncZai:
        """Return the client that makes the calls of who has this key."""
        if self._authorize is None:
            return self._zai
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        allowed: Allowed = None
        if scheme.lower() == "bearer" and token.strip():
            said = self._authorize(token.strip())
            allowed = await said if inspect.isawaitable(said) else said
        if not allowed:
            raise RefusedRequestError(
                "The API key is missing or wrong.",
                status=401,
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return allowed if isinstance(allowed, AsyncZai) else self._zai

    def _require_model(self, name: object) -> None:
        if not isinstance(name, str):
            raise RefusedRequestError("The name of a model is missing.", param="model")
        if name not in self._models:
            raise RefusedRequestError(
                f"The model {name[:100]!r} does not exist.",
                status=404,
                param="model",
                code="model_not_found",
            )

    def _known(self, name: str) -> Any:
        if not name:
            return {"object": "list", "data": list(self._models.values())}
        self._require_model(name)
        return self._models[name]


class _NamedSend:
    """Sends answers with ``X-Request-Id``: the platform's where it is known by then."""

    def __init__(self, send: Send, *, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self.subject: object = None
        """What is answered with, once it is known."""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            name = getattr(self.subject, "request_id", None) or ""
            if not _VISIBLE.fullmatch(name):
                name = f"req-{uuid4().hex}"
            message["headers"].append((b"x-request-id", name.encode()))
        elif self._is_head:
            message["body"] = b""
        await self._send(message)


def openai_router(
    zai: AsyncZai,
    *,
    models: Collection[str] | Mapping[str, Mapping[str, Any]],
    authorize: Authorize | None = None,
    heartbeat: float | None = 15.0,
    coalesce: float = 0.025,
    prime: float = 10.0,
    max_body: int = 16 * 2**20,
) -> OpenAIRouter:
    """Return an ASGI application that clients of OpenAI talk to: ``app.mount("/v1", ...)``.

    It answers ``GET /models``, ``POST /chat/completions``, ``/embeddings`` and
    ``/images/generations``.

    Args:
        zai: The client that makes the calls.
        models: The models that may be used, by the names of the platform; as a mapping, with what
            else their entries in the list shall tell.
        authorize: Says whether the bearer token of a request is right, or returns the client that
            makes the calls of its owner, such as ``zai.with_options(tag=..., budget=...)``. Without
            it, who reaches the application may use it.
        heartbeat: Seconds of silence after which a comment is sent; None for none.
        coalesce: Seconds to wait for more text; 0 sends every piece by itself.
        prime: Seconds to hold the status back while nothing has come.
        max_body: The largest request in bytes.

    Raises:
        ValueError: There is no model, or a time is out of range.
    """
    if not models or isinstance(models, str):
        raise ValueError("models must be a list of names, or a mapping of names")
    more: Mapping[str, Mapping[str, Any]] = (
        cast("Mapping[str, Any]", models) if isinstance(models, Mapping) else {}
    )
    entries = {
        name: {"id": name, "object": "model", "created": 0, "owned_by": "z-ai"}
        | {**more.get(name, {})}
        for name in models
    }
    settings = RelaySettings(heartbeat=heartbeat, coalesce=coalesce, prime=prime)
    return OpenAIRouter(zai, entries, authorize, settings, max_body)
