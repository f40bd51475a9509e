"""A Z.AI platform on loopback: real sockets, scripted answers, scripted faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self

import anyio
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from anyio.from_thread import BlockingPortal, start_blocking_portal

from zai_async.testing.emulator.connection import Listener, Peer
from zai_async.testing.emulator.delivery import ReplyDelivery
from zai_async.testing.emulator.faults import NO_FAULT, InjectedFault
from zai_async.testing.emulator.platform import Platform
from zai_async.testing.emulator.reply import HTML_TYPE, PAGE, PlannedReply, Refusal
from zai_async.testing.emulator.requests import RecordedRequest, RequestLog, Waiting
from zai_async.testing.emulator.site_policy import SitePolicy

_P = ParamSpec("_P")

MAX_BODY = 128 * 2**20  # more than the largest documented upload
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to reach who listens there


def arming(
    build: Callable[_P, InjectedFault],
) -> Callable[Concatenate[Emulator, _P], InjectedFault]:
    """Turn the constructor of a fault into a method that arms what it builds.

    So the method has the constructor's signature, for type checkers and editors alike.
    """

    @wraps(build, updated=())
    def fault(self: Emulator, /, *args: _P.args, **kwargs: _P.kwargs) -> InjectedFault:
        armed = build(*args, **kwargs)
        self.faults.append(armed)
        return armed

    return fault


class Emulator:
    """Serve the platform on loopback, deterministic from a seed.

    ``async with Emulator() as emulator`` serves in the running event loop, ``with Emulator() as
    emulator`` in a thread of its own, for synchronous clients and fixtures. Scripting, figures and
    waiting work from any thread.

    Args:
        api_key: The only accepted key; ``id.secret`` is also accepted as a JWT signed with it.
            ``None`` accepts every key that does not begin with ``bad``. A wrong key is answered
            with 401 and code 1000, a missing one with 1001, a token with 1002 to 1004.
        seed: Answers depend on it and on the messages, on nothing else.
        pace: 0 answers at full speed, 1 as fast as a real model (60 tokens per second), 2 takes
            twice as long.
        port: The port to listen on; 0 picks a free one.
        host: The address to listen on.
        allowed_hosts: Names by which clients may call the emulator, besides ``localhost``, ``host``
            and every IP address. Other names are refused with 403, as are requests of web pages.
        keep: How many of the latest requests ``requests`` shows, at least 1. Each takes about
            4 KiB and its body, all bodies together at most 64 MiB.

    ``chat`` scripts answers; without a script the emulator writes its own. ``tasks`` scripts how
    videos, images and asynchronous chats end, ``audio`` what is heard in recordings, ``files``
    holds what was uploaded. ``account`` limits what clients may do. ``lowcodeapi`` and ``truto``
    choose between the forms those gateways have. ``fault`` makes requests fail; ``faults`` lists
    the armed ones in order, and the first that fits a request hits it.

    Results point to files that the emulator serves itself and that need no key; who sends one all
    the same shows in ``requests`` (operation ``cdn``).
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        seed: int = 0,
        pace: float = 0.0,
        port: int = 0,
        host: str = "127.0.0.1",
        allowed_hosts: Sequence[str] = (),
        keep: int = 10_000,
    ) -> None:
        self._platform = Platform(api_key, seed)
        self.account = self._platform.account
        self.chat = self._platform.chat
        self.tasks = self._platform.tasks
        self.files = self._platform.files
        self.lowcodeapi = self._platform.lowcodeapi
        self.truto = self._platform.truto
        self.audio = self._platform.audio
        if keep < 1:
            raise ValueError("keep must be at least 1")
        self._keep = keep
        self._pace = pace
        self._address = host, port
        self._site_policy = SitePolicy(host, allowed_hosts)
        self._listener = Listener(self._serve, lambda: self._log)
        self.faults: list[InjectedFault] = []
        self._thread: tuple[BlockingPortal, ExitStack] | None = None
        self._log = RequestLog(self._keep)

    # Lifetime

    async def __aenter__(self) -> Self:
        """Start in the running event loop."""
        await self._listener.start(*self._address)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; connections still open are reset."""
        await self._listener.stop()

    def __enter__(self) -> Self:
        """Start in a new thread."""
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self))
            # Only now: a port that is taken must leave no thread behind.
            self._thread = portal, stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server and its thread."""
        stack = self._thread[1] if self._thread else ExitStack()
        self._thread = None
        stack.close()

    @property
    def root_url(self) -> str:
        """The root of all operations, ending in ``/api``."""
        return f"{self._origin}/api"

    @property
    def url(self) -> str:
        """The base URL for clients, ending in ``/api/paas/v4``."""
        return f"{self.root_url}/paas/v4"

    @property
    def lowcodeapi_url(self) -> str:
        """The base URL at which LowCodeAPI's dialect is spoken."""
        return f"{self._origin}/lowcodeapi"

    @property
    def truto_url(self) -> str:
        """The base URL at which Truto's dialect is spoken."""
        return f"{self._origin}/truto"

    @property
    def _origin(self) -> str:
        # A server that is gone has no address: asking for one is a mistake of the test.
        host, port = self._address[0], self._listener.port
        if port is None:
            raise RuntimeError("the emulator is not running; enter it with `with` or `async with`")
        host = _ANY_ADDRESS.get(host, host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def reset(self) -> None:
        """Forget scripts, faults, requests and figures, and reset open connections.

        Call it from the thread that started the emulator.
        """
        # Scripts first, connections last: a request that is still being answered must find the new
        # state.
        self._forget()
        if self._thread is None:
            self._listener.reset()
            return

        async def reset_in_the_loop() -> None:
            self._listener.reset()
            await self.wait_closed()
            # Such a request has been written down since, and whoever comes next would count it.
            self._forget()

        self._thread[0].call(reset_in_the_loop)

    def _forget(self) -> None:
        self.faults.clear()
        self._platform.reset()
        self._log = RequestLog(self._keep)

    # Scripting

    fault = arming(InjectedFault)

    # Figures

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in order of arrival.

        The last ``keep`` are kept, and of their bodies the last 64 MiB.
        """
        return self._log.requests

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        return self._log.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._listener.peers)

    @property
    def in_flight(self) -> int:
        """How many requests are being answered now."""
        return self._log.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The largest number of requests answered at once."""
        return self._log.peak_in_flight

    def wait_until(self, condition: Callable[[], bool], timeout: float = 30.0) -> Waiting:
        """Wait until a condition on these figures holds, looked at after each change.

        ``await`` it in any event loop, or call ``.result()`` in a thread.

        Raises:
            TimeoutError: It did not hold within ``timeout`` seconds.
        """
        return self._log.wait(condition, timeout, "condition")

    def wait_requests(self, n: int = 1, timeout: float = 30.0) -> Waiting:
        """Wait until ``n`` requests have arrived; see ``wait_until``."""
        log = self._log
        return log.wait(lambda: log.arrived >= n, timeout, f"{n} request(s)")

    def wait_disconnected(self, n: int = 1, timeout: float = 30.0) -> Waiting:
        """Wait until ``n`` clients have left before the end of their answer; see ``wait_until``."""
        log = self._log
        return log.wait(lambda: log.disconnected >= n, timeout, f"{n} disconnection(s)")

    def wait_closed(self, timeout: float = 30.0) -> Waiting:
        """Wait until no connection is open; see ``wait_until``."""
        return self._log.wait(lambda: not self._listener.peers, timeout, "no open connection")

    # Serving

    async def _serve(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        log, clock = self._log, asyncio.get_running_loop().time
        reused, peer.used = peer.used, True
        # Written down before its body has come, so that a test can see an upload that stalls.
        record = RecordedRequest(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers=request.headers,
            connection=peer.number,
            reused=reused,
            received_at=clock(),
        )
        log.start(record)
        try:
            response = await self._answer(request, peer, record)
            record.finished_at = clock()
        except (asyncio.CancelledError, ConnectionError) as error:
            # A connection that this side broke is no disconnection of the client's.
            if not peer.dropped:
                log.disconnect(record, clock())
            if isinstance(error, asyncio.CancelledError):
                raise
            return web.Response()  # nobody is there to read it
        finally:
            # A stream counts against the limits until its last byte, and until its client has gone.
            self.account.leave(record)
            log.finish(record)
        return response

    async def _answer(
        self, request: web.BaseRequest, peer: Peer, record: RecordedRequest
    ) -> web.StreamResponse:
        # Before the body and before any fault: whoever it is gets no influence on a test.
        refusal = self._site_policy.refusal(request.method, request.headers)
        fault = NO_FAULT
        if refusal is not None:
            reply = Refusal("1220", refusal).reply(self._platform.new_id())
        elif (damage := await self._receive(request, peer, record)) is not None:
            reply = damage
        else:
            fault, reply = self._plan(record)
        if fault.hang:
            await anyio.sleep_forever()
        if fault.drops:
            await anyio.sleep(fault.delay)
            await peer.drop(fault.how)
            return web.Response()  # never sent: the connection has gone
        record.status = reply.status
        return await ReplyDelivery(request, peer, fault, self._pace).send(reply)

    async def _receive(
        self, request: web.BaseRequest, peer: Peer, record: RecordedRequest
    ) -> PlannedReply | None:
        """Read the body into the record; return the answer to one that is damaged or too large."""
        limit = max(MAX_BODY, self.files.limit + 2**20)

        def too_large() -> PlannedReply:
            # Like the edge in front of the platform, which knows no JSON.
            page, log_id = PAGE % (413, 413), self._platform.new_id()
            return PlannedReply(pieces=(page,), log_id=log_id, status=413, content_type=HTML_TYPE)

        if (request.content_length or 0) > limit:
            return too_large()
        if request.headers.get("Expect", "").lower() == "100-continue":
            peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # RFC 9110, 10.1.1; curl waits for it
        body = bytearray()
        try:
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    return too_large()
        except (HttpProcessingError, web.RequestPayloadError) as error:
            # Damaged chunks, or a coding that the body does not have.
            problem = f"The request body cannot be read: {error}"
            return Refusal("1210", problem).reply(self._platform.new_id())
        self._log.receive(record, bytes(body))
        return None

    def _plan(self, record: RecordedRequest) -> tuple[InjectedFault, PlannedReply]:
        """Choose the fault and the reply; nothing here waits, so nothing comes in between."""
        fault = NO_FAULT
        try:
            record.operation = self._platform.name(record)
            for armed in list(self.faults):
                if armed.hits(record):
                    armed.seen += 1
                    fault = armed
                    break
            return fault, self._platform.reply(record, fault, self._origin)
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer
            return fault, self._platform.failure(record)
