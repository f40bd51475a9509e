"""The engine of a client: it turns keywords into an answer, or into an open stream."""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Unpack

from zai_async._clock import Clock
from zai_async._transport import Response
from zai_async._wire import Operation, RequestFactory, parse_reply
from zai_async.downloads import download
from zai_async.models import BinaryReply, Reply
from zai_async.models.files import Downloadable, DownloadOptions, attach_downloader
from zai_async.models.reply import attach_call
from zai_async.session.bodies import raise_error, read_body
from zai_async.session.call import Call
from zai_async.session.loops import Sessions, Visit
from zai_async.session.settings import Settings

__all__ = ["SessionManager"]

T = TypeVar("T")


class SessionManager:
    """Makes the calls of a client; derived clients have their own over the same sessions."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self.settings = settings
        self.sessions = sessions
        self._factories: dict[Operation[Any], RequestFactory] = {}

    async def call(self, operation: Operation[T], params: Mapping[str, Any]) -> T:
        """Make a call and return its decoded answer."""
        call = self.begin(operation, params)

        async def finish(response: Response) -> T:
            body = await read_body(response, self.settings, call.arrived)
            return parse_reply(
                operation,
                body,
                status=response.status,
                headers=response.headers,
                now=self.settings.clock.wall(),
                secrets=call.secrets,
                provider=self.settings.provider,
                allow=call.options.allow,
            )

        result = await _run(call, finish)
        if isinstance(result, Reply):
            attach_call(result, attempts=call.attempts, timing=call.timing)
        if isinstance(result, Downloadable):
            attach_downloader(result, self.download)
        return result

    async def fetch(self, operation: Operation[bytes], params: Mapping[str, Any]) -> BinaryReply:
        """Make a call whose answer is no JSON, and return the bytes."""
        call = self.begin(operation, params)

        async def finish(response: Response) -> BinaryReply:
            body = await read_body(response, self.settings, call.arrived)
            raise_error(response, body, self.settings, call.secrets)
            kind = response.headers.get("Content-Type", "application/octet-stream")
            request_id = response.headers.get("X-Log-Id")
            reply = BinaryReply(content=body, content_type=kind, request_id=request_id)
            operation.judge(reply, call.options.allow)
            return reply

        result = await _run(call, finish)
        attach_call(result, attempts=call.attempts, timing=call.timing)
        return result

    async def download(
        self, url: str, to: str | os.PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Path:
        """Fetch a file from anywhere, with no key."""
        visit = Visit(self.sessions.visits)
        visit.enter()
        try:
            transport, timeout = (await self.sessions.current()).transport, self.settings.timeout
            return await visit.stay(download(transport, url, to, timeout=timeout, **options))
        finally:
            visit.leave()

    @property
    def clock(self) -> Clock:
        """Time and chance."""
        return self.settings.clock

    def begin(self, operation: Operation[Any], params: Mapping[str, Any]) -> Call:
        """Check the keywords of a call and prepare it; nothing is sent yet."""
        return Call(self.settings, self.sessions, self._factory(operation), params)

    def _factory(self, operation: Operation[Any]) -> RequestFactory:
        factory = self._factories.get(operation)
        if factory is None:
            own = self.settings
            factory = RequestFactory(operation, own.provider, own.key, own.headers)
            self._factories[operation] = factory
        return factory


async def _run(call: Call, finish: Callable[[Response], Awaitable[T]]) -> T:
    """Run a call whose answer is read whole, so that its slot is free afterwards."""
    result = await call.run(finish)
    call.complete(result)
    return result
