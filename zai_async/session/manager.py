"""The engine of a client: it turns keywords into an answer, or into an open stream."""

import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar, Unpack, cast

from zai_async._clock import Clock
from zai_async._transport import Response
from zai_async._wire import (
    Operation,
    RawRequestFactory,
    RequestFactory,
    parse_reply,
    shown_body,
)
from zai_async.downloads import download
from zai_async.errors import ClientDrainingError, ZaiError
from zai_async.models import BinaryReply, Reply
from zai_async.models.files import Downloadable, DownloadOptions
from zai_async.models.reply import attach_call
from zai_async.session.bodies import answer_in_events, raise_error
from zai_async.session.call import Call
from zai_async.session.loops import InFlightCall, Sessions
from zai_async.session.record import usage_of
from zai_async.session.settings import Settings

__all__ = ["SessionManager"]

T = TypeVar("T")


class SessionManager:
    """Makes the calls of a client; derived clients have their own over the same sessions."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self.settings = settings
        self.sessions = sessions
        # What the requests of an operation have in common is made once for a client.
        self._factories: dict[Operation[Any], RequestFactory] = {}

    async def call(self, operation: Operation[T], params: Mapping[str, Any]) -> T:
        """Make a call and return its decoded answer."""
        factory = self._factories.get(operation) or self._factory(operation)
        call = Call(self.settings, self.sessions, factory, params)
        headers: Mapping[str, str] = {}
        body = b""

        async def accept(response: Response) -> T:
            nonlocal headers, body
            headers, body = response.headers, await call.read(response)
            # One look at a byte for all answers that are what they should be.
            if not body.startswith(b"{") and response.status < HTTPStatus.MULTIPLE_CHOICES:
                found = answer_in_events(
                    operation.result,
                    response,
                    body,
                    self.settings,
                    options=call.options,
                    secrets=call.secrets,
                )
                if found is not None:
                    return cast("T", found)
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

        answer = await call.execute(accept)
        # The permit is free before the caller goes on: its next call may need this very one.
        call.leave(usage_of(answer), completed=True, answer=answer)
        if isinstance(answer, Reply):
            # Beside the fields, as attach_call() has it: no key of the wire can collide with it.
            vars(answer).update(
                attempts=call.record.attempts,
                timing=call.record.timing,
                headers=headers,
                raw=body if call.options.keep_raw else None,
            )
        if isinstance(answer, Downloadable):
            # No copy and no pickle takes the way to the network along.
            for each in (answer, *answer.files):
                vars(each)["downloader"] = self.download
        return answer

    async def fetch(self, operation: Operation[bytes], params: Mapping[str, Any]) -> BinaryReply:
        """Make a call whose answer is no JSON, and return the bytes."""
        call = self.begin(operation, params)
        headers: Mapping[str, str] = {}

        async def accept(response: Response) -> BinaryReply:
            nonlocal headers
            headers, body = response.headers, await call.read(response)
            raise_error(response, body, self.settings, call.secrets)
            kind = response.headers.get("Content-Type", "application/octet-stream")
            request_id = response.headers.get("X-Log-Id")
            reply = BinaryReply(content=body, content_type=kind, request_id=request_id)
            try:
                operation.judge(reply, call.options.allow)
            except ZaiError as error:
                error.body = shown_body(body, call.secrets)
                error.status_code = response.status
                raise
            return reply

        answer = await call.execute(accept)
        call.leave(completed=True, answer=answer)
        attach_call(answer, attempts=call.attempts, timing=call.timing, headers=headers)
        return answer

    async def download(
        self, url: str, to: str | os.PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Path:
        """Fetch a file from anywhere, with no key."""
        # No call of the platform, but a drain waits for it, and ends it, like one.
        in_flight = InFlightCall(self.sessions.calls)
        in_flight.register()
        try:
            transport, timeout = (await self.sessions.current()).transport, self.settings.timeout
            with in_flight:
                return await download(
                    transport,
                    url,
                    to,
                    timeout=timeout,
                    policy=self.settings.retry,
                    clock=self.settings.clock,
                    **options,
                )
            raise ClientDrainingError("the client was drained before the file was whole")
        finally:
            in_flight.leave()

    @property
    def clock(self) -> Clock:
        """Time and chance."""
        return self.settings.clock

    @property
    def origin(self) -> tuple[str, str]:
        """Where calls go, and a fingerprint of the key."""
        key = self.settings.key
        return self.settings.provider.base_url, key.fingerprint() if key is not None else ""

    def begin(self, operation: Operation[Any], params: Mapping[str, Any]) -> Call:
        """Check the keywords of a call and prepare it; nothing is sent yet."""
        factory = self._factories.get(operation) or self._factory(operation)
        return Call(self.settings, self.sessions, factory, params)

    def _factory(self, operation: Operation[Any]) -> RequestFactory:
        own = self.settings
        make = RequestFactory if operation.raw_of is None else RawRequestFactory
        factory = make(operation, own.provider, own.key, own.headers)
        if operation.listed:  # of others there may be one for each address
            self._factories[operation] = factory
        return factory
