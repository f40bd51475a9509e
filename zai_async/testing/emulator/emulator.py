"""A Z.AI platform on loopback: real sockets, scripted answers, scripted faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self

import anyio
from aiohttp import web
from anyio.from_thread import BlockingPortal, start_blocking_portal

from zai_async.testing.emulator.connection import Delivery, Listener, Peer
from zai_async.testing.emulator.platform import Platform
from zai_async.testing.emulator.reply import InjectedFault
from zai_async.testing.emulator.requests import RecordedRequest, RequestLog, Waiting

_P = ParamSpec("_P")


def _arming(
    build: Callable[_P, InjectedFault],
) -> Callable[Concatenate[Emulator, _P], InjectedFault]:
    """Turn the constructor of a fault into a method that arms what it builds."""

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
    ) -> None:
        self._platform = Platform(api_key, seed)
        self.account = self._platform.account
        self.chat = self._platform.chat
        self.tasks = self._platform.tasks
        self.files = self._platform.files
        self.lowcodeapi = self._platform.lowcodeapi
        self.truto = self._platform.truto
        self.audio = self._platform.audio
        self._pace = pace
        self._host, self._wanted_port = host, port
        self._port: int | None = None
        self.faults: list[InjectedFault] = []
        self._threads = ExitStack()
        self._portal: BlockingPortal | None = None
        self._ledger = RequestLog()

    # Life

    async def __aenter__(self) -> Self:
        """Start in the running event loop."""
        self._listener = Listener(self._serve, self._number, self._notify)
        self._port = await self._listener.start(self._host, self._wanted_port)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; connections still open are reset."""
        self._port = None
        await self._listener.stop()

    def __enter__(self) -> Self:
        """Start in a new thread."""
        with ExitStack() as threads:
            self._portal = threads.enter_context(start_blocking_portal())
            threads.enter_context(self._portal.wrap_async_context_manager(self))
            self._threads = threads.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server and its thread."""
        self._portal = None
        self._threads.close()

    @property
    def root_url(self) -> str:
        """Give the root of all operations, ending in ``/api``."""
        return f"{self._origin}/api"

    @property
    def _origin(self) -> str:
        if self._port is None:
            raise RuntimeError("the emulator is not running; enter it with `with` or `async with`")
        return f"http://{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """Give the base URL for clients, ending in ``/api/paas/v4``."""
        return f"{self.root_url}/paas/v4"

    @property
    def lowcodeapi_url(self) -> str:
        """Give the base URL at which LowCodeAPI's dialect is spoken."""
        return f"{self._origin}/lowcodeapi"

    @property
    def truto_url(self) -> str:
        """Give the base URL at which Truto's dialect is spoken."""
        return f"{self._origin}/truto"

    def reset(self) -> None:
        """Forget scripts, faults, requests and figures, and reset open connections.

        Call it from the thread that started the emulator.
        """
        self.faults.clear()
        self._platform.reset()
        self._ledger = RequestLog()
        if self._portal is None:
            self._listener.reset()
        else:
            self._portal.call(self._clear)

    async def _clear(self) -> None:
        self._listener.reset()
        await self.wait_closed()

    # Scripting

    fault = _arming(InjectedFault)

    # Figures

    @property
    def requests(self) -> list[RecordedRequest]:
        """List the requests so far, in order of arrival."""
        return self._ledger.requests

    @property
    def connections(self) -> int:
        """Count the connections opened so far."""
        return self._ledger.connections

    @property
    def open_connections(self) -> int:
        """Count the connections open now."""
        return len(self._listener.peers)

    @property
    def in_flight(self) -> int:
        """Count the requests being answered now."""
        return self._ledger.in_flight

    @property
    def peak_in_flight(self) -> int:
        """Give the largest number of requests answered at once."""
        return self._ledger.peak_in_flight

    def wait_until(self, condition: Callable[[], bool], timeout: float = 1.0) -> Waiting:
        """Wait until a condition on these figures holds, looked at after each change.

        ``await`` it in any event loop, or call ``.result()`` in a thread.

        Raises:
            TimeoutError: It did not hold within ``timeout`` seconds.
        """
        return self._ledger.wait(condition, timeout, "condition")

    def wait_requests(self, n: int = 1, timeout: float = 1.0) -> Waiting:
        """Wait until ``n`` requests have arrived; see ``wait_until``."""
        ledger = self._ledger
        return ledger.wait(lambda: len(ledger.requests) >= n, timeout, f"{n} request(s)")

    def wait_disconnected(self, n: int = 1, timeout: float = 1.0) -> Waiting:
        """Wait until ``n`` clients have left before the end of their answer; see ``wait_until``."""
        ledger = self._ledger
        return ledger.wait(lambda: ledger.disconnected() >= n, timeout, f"{n} disconnection(s)")

    def wait_closed(self, timeout: float = 1.0) -> Waiting:
        """Wait until no connection is open; see ``wait_until``."""
        return self._ledger.wait(lambda: not self._listener.peers, timeout, "no open connection")

    # Serving

    def _number(self) -> int:
        return self._ledger.connected()

    def _notify(self) -> None:
        self._ledger.notify()

    async def _serve(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        ledger, clock = self._ledger, asyncio.get_running_loop().time
        record = _record(request, peer, clock())
        ledger.start(record)
        try:
            response = await self._answer(request, peer, record)
            record.finished_at = clock()
        except (asyncio.CancelledError, ConnectionError) as error:
            record.disconnected_at = None if peer.dropped else clock()
            if isinstance(error, asyncio.CancelledError):
                raise
            return web.Response()  # nobody is there to read it
        finally:
            self.account.leave(record)
            ledger.finish()
        return response

    async def _answer(
        self, request: web.BaseRequest, peer: Peer, record: RecordedRequest
    ) -> web.StreamResponse:
        record.body = await request.read()
        record.operation = self._platform.name(record)
        fault = self._hit(record)
        if fault.hang:
            await anyio.sleep_forever()
        if fault.drops:
            return await _drop(peer, fault)
        reply = self._platform.reply(record, fault)
        record.status = reply.status
        return await Delivery(request, peer, fault, self._pace).send(reply)

    def _hit(self, record: RecordedRequest) -> InjectedFault:
        for fault in list(self.faults):
            if fault.hits(record):
                fault.seen += 1
                return fault
        return InjectedFault()


def _record(request: web.BaseRequest, peer: Peer, now: float) -> RecordedRequest:
    reused, peer.used = peer.used, True
    return RecordedRequest(
        method=request.method,
        path=request.path,
        query=dict(request.query),
        headers=request.headers,
        connection=peer.number,
        reused=reused,
        received_at=now,
    )


async def _drop(peer: Peer, fault: InjectedFault) -> web.StreamResponse:
    await anyio.sleep(fault.delay)
    await peer.drop(fault.how)
    return web.Response()  # never sent: the connection has gone
