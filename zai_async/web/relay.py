"""Answers that outlive their readers: started once, resumed by many, stopped on purpose."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_urlsafe
from typing import Any, Final, Self
from weakref import WeakValueDictionary

import anyio
import msgspec

from zai_async.client import AsyncZai
from zai_async.errors import ClientDrainingError, InvalidBodyError, ZaiError
from zai_async.web.asgi import Receive, Scope, Send, for_framework, read_json, send_answer
from zai_async.web.encoders import AnswerEncoder, Protocol
from zai_async.web.following import ReplayResponse
from zai_async.web.frames import number_in
from zai_async.web.replay import MemoryReplay, Replay, ReplayHead
from zai_async.web.responses import RelaySettings, accepts_json, encoder_of, refusal_of
from zai_async.web.signals import ShutdownSignals
from zai_async.web.source import AnswerSource, Relayable
from zai_async.web.ui_messages import UIMessageEncoder
from zai_async.web.ui_requests import UIRequest, parse_ui_request
from zai_async.web.writing import AnswerWriter

__all__ = ["Relay"]

_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}
_MAX_ID: Final = 200
_NAME_BYTES: Final = 9  # short, as it is sent with each event
_SHUTDOWN: Final = "the server is shutting down"

Answer = Callable[[UIRequest], Relayable | Awaitable[Relayable]]
Authorize = Callable[[Scope, str], bool | Awaitable[bool]]


class Relay:
    """Writes answers down while they are made, for any number of readers, who may come back.

    A reader who leaves stops nothing: after a reload of the page ``resume`` replays the answer from
    its beginning, and goes on with it. ``stop`` ends it at the platform.

    It is also an ASGI application that ``useChat`` talks to, mounted anywhere: ``POST /`` starts an
    answer, ``GET /{id}/stream`` resumes it, ``POST /{id}/stop`` stops it, and ``GET /status`` says
    whether there is room for more. Enter it in the lifespan of the application, so that open
    answers are told of the end when the signal comes.

    Args:
        zai: The client, for ``answer`` and for what ``status`` says.
        replay: Where answers are kept; ``RedisReplay`` for several processes.
        answer: Makes the stream for a request of the page. Without it, ``model`` answers.
        model: The model that answers where ``answer`` is not given.
        authorize: Says whether a request may touch a chat, by its scope and the id of the chat.
            Without it, who knows the id may.
        protocol: What readers speak: ``"ui-message-v1"`` or ``"openai"``.
        heartbeat: As of ``sse_response``, like the next two.
        grace: Seconds that open answers have at a signal.
        max_body: The largest request in bytes.
    """

    def __init__(
        self,
        zai: AsyncZai,
        *,
        replay: Replay | None = None,
        answer: Answer | None = None,
        model: str = "glm-5.3",
        authorize: Authorize | None = None,
        protocol: Protocol = "ui-message-v1",
        heartbeat: float | None = 15.0,
        coalesce: float = 0.025,
        prime: float = 10.0,
        grace: float = 10.0,
        max_body: int = 4 * 2**20,
    ) -> None:
        if protocol == "text":
            raise ValueError("plain text has no events that could be resumed")
        self.replay: Replay = MemoryReplay() if replay is None else replay
        self._zai = zai
        self._answer: Answer = answer or self._ask
        self._model = model
        self._authorize = authorize
        self._protocol: Protocol = protocol
        self._settings = RelaySettings(heartbeat=heartbeat, coalesce=coalesce, prime=prime)
        self._grace = grace
        self._max_body = max_body
        self._writers: dict[str, AnswerWriter] = {}
        self._starts = WeakValueDictionary[str, asyncio.Lock]()
        """One for each chat of which an answer is about to start; it goes with the last of them."""
        self._ending: asyncio.Task[None] | None = None
        self._signals = ShutdownSignals(self.begin_shutdown)

    def _ask(self, request: UIRequest) -> Relayable:
        return self._zai.chat.completions.stream(model=self._model, messages=request.messages)

    # Answers.

    async def start(
        self,
        chat_id: str,
        answer: Relayable,
        *,
        message_id: str | None = None,
        encoder: AnswerEncoder | None = None,
    ) -> ReplayResponse:
        """Begin to write an answer down, and return a response that reads it.

        An answer of the same chat that is still written is stopped. ``message_id`` is that of the
        message on the page; a new one is made where it is left out.

        Raises:
            ClientDrainingError: The server is shutting down.
        """
        self._signals.install()
        if self._ending is not None:
            raise ClientDrainingError("the relay is shutting down")
        source = AnswerSource(answer)
        encoder = encoder or encoder_of(answer, self._protocol, message_id)
        message = encoder.message_id if isinstance(encoder, UIMessageEncoder) else None
        name = token_urlsafe(_NAME_BYTES)
        head = ReplayHead(answer_id=name, protocol=encoder.protocol, message_id=message)
        # One after the other: of two that start at once, the first would be stopped by nobody.
        async with self._starts.setdefault(chat_id, asyncio.Lock()):
            # A replay that cannot be reached keeps nobody from asking.
            with suppress(ZaiError):
                await self.stop(chat_id)
            kept = await self.replay.begin(chat_id, head)
            writer = self._writers[chat_id] = AnswerWriter(
                source, encoder, kept, self._settings.coalesce
            )

        def forget(_: object) -> None:
            # The chat may have gone on meanwhile: the next answer has another writer.
            if self._writers.get(chat_id) is writer:
                del self._writers[chat_id]

        writer.task.add_done_callback(forget)
        return for_framework(ReplayResponse)(kept, self._settings, writer=writer)

    async def resume(self, chat_id: str, *, last_event_id: str | None = None) -> ReplayResponse:
        """Return a response that replays the answer of a chat and goes on with it.

        With the id of the last event that a reader has seen it goes on behind that, and begins at
        the beginning if that was of another answer; what is not kept any more is told by an event
        ``gap``. Pages of the AI SDK send none and get the whole answer. Where none is written the
        response is a 204.
        """
        self._signals.install()
        kept = await self.replay.find(chat_id)
        after = 0 if kept is None else number_in(last_event_id or "", kept.head.answer_id)
        return for_framework(ReplayResponse)(kept, self._settings, after=after)

    async def stop(self, chat_id: str) -> bool:
        """Stop the answer of a chat, at the platform too; tell whether there was one."""
        writer = self._writers.get(chat_id)
        if writer is None:
            return await self.replay.request_stop(chat_id)
        writer.stop("stopped")
        await asyncio.wait({writer.task})
        return True

    def status(self) -> dict[str, Any]:
        """Return what a readiness probe wants to know: whether, and how much, is going on."""
        limits = self._zai.limits.snapshot()
        return {
            "status": "ok" if self._ending is None else "shutting down",
            "answers": len(self._writers),
            "limits": {str(key): msgspec.to_builtins(each) for key, each in limits.items()},
        }

    # The end.

    def begin_shutdown(self, grace: float | None = None) -> None:
        """Refuse new answers, and stop those that have not ended after the grace.

        The lifespan of an application ends too late for this, when the last response is over; call
        it where the end begins, if ``async with relay`` cannot: it hears signals in the main
        thread. What ``aiohttp_app()`` makes calls it by itself.
        """
        if self._ending is None:
            seconds = self._grace if grace is None else grace
            self._ending = asyncio.get_running_loop().create_task(self._end(seconds))

    async def _end(self, grace: float) -> None:
        # Those that are about to start are answers in a moment; no more are let in.
        for start in list(self._starts.values()):
            async with start:
                pass
        tasks = [writer.task for writer in self._writers.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for writer in list(self._writers.values()):
            writer.stop(_SHUTDOWN)

    async def aclose(self) -> None:
        """Stop all answers and forget them."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.wait({self._ending})
        self._ending = asyncio.create_task(self._end(0))
        await self._ending
        tasks = [writer.task for writer in self._writers.values()]
        if tasks:
            await asyncio.wait(tasks)
        await self.replay.aclose()

    async def __aenter__(self) -> Self:
        self._signals.is_wanted = True
        self._signals.install()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._signals.restore()
        with anyio.CancelScope(shield=True):
            await self.aclose()

    # The application.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of a page; an ASGI server or a framework calls this."""
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        chat_id, _, action = path.rpartition("/")
        try:
            match scope["method"], action:
                case "POST", "" if not path:
                    body = await read_json(scope, receive, self._max_body)
                    if body is not None:
                        response = await self._post(scope, body)
                        await response(scope, receive, send)
                case "GET", "stream" if await self._may(scope, chat_id):
                    headers = dict(scope["headers"])
                    seen = headers.get(b"last-event-id", b"").decode("latin-1")
                    response = await self.resume(chat_id, last_event_id=seen)
                    await response(scope, receive, send)
                case "POST", "stop" if await self._may(scope, chat_id):
                    await self.stop(chat_id)
                    await send_answer(send, 204, {}, b"")
                case "GET", "status" if not chat_id:
                    code = 200 if self._ending is None else 503
                    content = msgspec.json.encode(self.status())
                    await send_answer(send, code, {"Content-Type": "application/json"}, content)
                case _:
                    await send_answer(send, 404, _TEXT, b"There is nothing here.")
        except ZaiError as error:
            encoder = UIMessageEncoder()
            await send_answer(send, *refusal_of(error, encoder, accepts_json(scope)))

    async def _may(self, scope: Scope, chat_id: str) -> bool:
        """Tell whether a request may touch a chat; who may not learns nothing of it."""
        if not chat_id or self._authorize is None:
            return bool(chat_id)
        allowed = self._authorize(scope, chat_id)
        return await allowed if inspect.isawaitable(allowed) else allowed

    async def _post(self, scope: Scope, body: bytes) -> Any:
        request = parse_ui_request(body)
        if not 0 < len(request.id) <= _MAX_ID:
            raise InvalidBodyError("the chat needs an id of at most 200 characters")
        if not await self._may(scope, request.id):
            raise InvalidBodyError("this chat cannot be used")
        answer: Any = self._answer(request)
        if inspect.isawaitable(answer):
            answer = await answer
        return await self.start(request.id, answer, message_id=request.continues)
