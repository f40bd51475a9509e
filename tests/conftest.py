"""Guards around every test: no network but loopback, no blocking call, nothing open, nothing told.

`test_guards.py` shows that each of them bites.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import ipaddress
import itertools
import logging
import os
import re
import signal
import socket
import sys
from os import listdir, readlink  # before blockbuster makes them slow
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, Phase, settings

from tests.brevity import pytest_runtest_makereport
from tests.effort import THOROUGH, tries_more
from zai_async import ZaiError

try:
    import uvloop
except ImportError:  # Windows, PyPy
    uvloop = None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["pytest_runtest_makereport"]

DESCRIPTORS = "/proc/self/fd"
HAS_DESCRIPTORS = Path(DESCRIPTORS).is_dir()
INTERNET = (socket.AF_INET, socket.AF_INET6)
# Or LiteLLM fetches a list of prices when it is imported; children of tests have it as well.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

# Repeatable by default; a thorough run looks for something new each time, but where it decides what
# lands: there it says of the same commit the same (`--hypothesis-profile=gate`).
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile(
    "usual",
    **UNTIMED,
    derandomize=True,
    max_examples=25,
    phases=set(Phase) - {Phase.explain},  # which takes minutes
)
settings.register_profile("thorough", **UNTIMED, max_examples=500)
settings.register_profile("gate", **UNTIMED, max_examples=500, derandomize=True)
settings.load_profile("thorough" if THOROUGH else "usual")


class HarmError(RuntimeError):
    """A test reached for the network or a device. The library takes no such error for its own."""


def is_local(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def target_of(event: str, args: tuple) -> object:
    """Return the host that the audit event is about, None where there is none."""
    match event, args:
        case "socket.getaddrinfo" | "socket.gethostbyname" | "socket.gethostbyaddr", (host, *_):
            return host
        case "socket.connect" | "socket.sendto", (socket.socket(family=family), (host, *_)):
            return host if family in INTERNET else None
    return None


def refuse_harm(event: str, args: tuple) -> None:
    """Refuse the network, and to put a file in the place of a device, which root may do."""
    if event == "os.rename" and str(args[1]).startswith("/dev/"):
        msg = f"{event} to {args[1]!r}: a test would take a device away"
        raise HarmError(msg)
    if event.startswith("socket.") and not is_local(host := target_of(event, args)):
        msg = f"{event} to {host!r}: tests stay on this machine"
        raise HarmError(msg)


# The interpreter raises these events whoever calls: a library, an event loop, a thread.
sys.addaudithook(refuse_harm)


def first_audited(method: Callable, event: str, pick: slice) -> Callable:
    def audited(*args: object, **kwargs: object) -> object:
        sys.audit(event, *args[pick])
        return method(*args, **kwargs)

    return audited


@pytest.fixture(autouse=True, scope="session")
def hidden_lookups_are_audited() -> Iterator[None]:
    """Raise the event where it is missing: a name given to connect() and the look-ups of libuv."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            connect = first_audited(getattr(socket.socket, name), "socket.connect", slice(2))
            patch.setattr(socket.socket, name, connect)
        if uvloop:
            look_up = uvloop.Loop.getaddrinfo
            look_up = first_audited(look_up, "socket.getaddrinfo", slice(1, None))
            patch.setattr(uvloop.Loop, "getaddrinfo", look_up)
        yield


@pytest.fixture(autouse=True, scope="session")
def blocking_calls_raise() -> Iterator[None]:
    """Raise BlockingError where zai_async sleeps, reads a file or waits for a lock in a loop."""
    with blockbuster_ctx("zai_async") as guard:
        # `with Emulator()` waits for its thread by design: it is the way in for synchronous tests.
        lock = guard.functions["threading.Lock.acquire"]
        lock.can_block_in("zai_async/testing/emulator/emulator.py", {"__enter__", "__exit__"})
        # Coverage takes its lock from within the function that it measures, in each thread.
        lock.deactivate()
        waits = lock.can_block_predicate
        lock.can_block_predicate = lambda taken, *args, **kwargs: (
            taken is coverage_lock() or waits(taken, *args, **kwargs)
        )
        lock.activate()
        yield


@pytest.fixture
def children_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run child processes without coverage, which costs a fifth and finds nothing new here."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def coverage_lock() -> object:
    """Return the lock around what is measured in several threads, None without one."""
    coverage = sys.modules.get("coverage")
    running = coverage.Coverage.current() if coverage else None
    return running and running._collector.data_lock


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Prepare what workers and child processes inherit."""
    # Background jobs of a shell ignore Ctrl-C, and so would each command that is to be interrupted.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Hashes depend on the seed, too: workers must agree on names that are made of sets.
    if isinstance(seed := config.getoption("randomly_seed", None), int):
        os.environ.setdefault("PYTHONHASHSEED", str(seed % 2**32))


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "leave out the tests that do no more in a thorough run than in any other"
    parser.addoption("--only-more", action="store_true", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("only_more"):
        return
    # A test may stand in one module and be run by another, under other circumstances.
    more = [
        item
        for item in items
        if any(map(tries_more, {item.module, sys.modules[item.function.__module__]}))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(more)])
    items[:] = more


def pytest_collection_finish() -> None:
    """Take what the imports made out of the collector's sight: a full collection costs 1 ms."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> None:
    """Apply the leak check to async tests only: sync ones need no event loop for it."""
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("leak_check")


# Parts of the key and of the prompt in calls.py, and the tokens that such keys sign.
KEYS = re.compile(r"secret9876543210|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{20,}")
SECRETS = re.compile(rf"{KEYS.pattern}|prompt9876543210")
LOGGERS = ("zai_async", "aiohttp.client", "aiohttp.internal", "asyncio")
PATIENCE = 300  # turns of an event loop; all but a few last 10 ms
EVERYTHING = 1  # no level of a test's own
COLLECTIONS = itertools.count(1)


class Eavesdropper(logging.Filter):
    """Reads every record down to DEBUG, and lets pass what would be logged without it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.listen(SECRETS, f"{logging.Formatter().format(record)} {record.args!r}")
        wanted = logging.getLogger(record.name).level != EVERYTHING
        return wanted or record.levelno >= logging.getLogger().level

    def listen(self, secrets: re.Pattern[str], text: str) -> None:
        if secrets.search(text):
            self.told.append(text)


@pytest.fixture(autouse=True, scope="session")
def eavesdropper() -> Iterator[Eavesdropper]:
    """Read along wherever a secret could be told: logs, and whatever errors are made of."""
    # The fixture stands in two places, here and beside the benchmarks: one of them listens.
    listening = logging.getLogger(LOGGERS[0]).filters
    if listening:
        yield listening[0]
        return
    reader = Eavesdropper()
    with pytest.MonkeyPatch.context() as patch:
        for logger in map(logging.getLogger, LOGGERS):
            patch.setattr(logger, "filters", [reader])
            patch.setattr(logger, "level", EVERYTHING)
        patch.setattr(ZaiError, "__init__", heard(ZaiError.__init__, reader))
        logging.getLogger().manager._clear_cache()
        yield reader


def heard(make: Callable[..., None], reader: Eavesdropper) -> Callable[..., None]:
    @functools.wraps(make)
    def listening(error: ZaiError, *args: object, **facts: object) -> None:
        make(error, *args, **facts)
        reader.listen(KEYS, f"{error} {facts}")

    return listening


@pytest.fixture(autouse=True)
def nothing_is_told(eavesdropper: Eavesdropper) -> Iterator[None]:
    for name in LOGGERS:  # `zai -v` sets a level, and stays in this process under test
        if (logger := logging.getLogger(name)).level != EVERYTHING:
            logger.setLevel(EVERYTHING)
    yield
    told, eavesdropper.told = eavesdropper.told, []
    assert not told, f"told: {told}"


@pytest.fixture
async def leak_check() -> AsyncIterator[None]:
    """Fail on tasks that still run and sockets that are still open after all other fixtures."""
    before = live_tasks() | open_sockets()
    yield
    left = await settled(lambda: (live_tasks() | open_sockets()) - before)
    assert not left, f"left behind: {left}"
    gc.collect()  # what was dropped unclosed warns now, in the test it belongs to
    if not next(COLLECTIONS) % 10:
        gc.freeze()  # what is left are modules and pytest's own, and would be looked at each time


def live_tasks() -> set[object]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def open_sockets() -> set[object]:
    """Return the kernel's names of this process's sockets, nothing where there is no /proc."""
    if not HAS_DESCRIPTORS:
        return set()
    links = {link_of(f"{DESCRIPTORS}/{number}") for number in listdir(DESCRIPTORS)}
    return {link for link in links if link.startswith("socket:")}


def link_of(path: str) -> str:
    try:
        return readlink(path)
    except OSError:  # the descriptor that listed the directory is gone
        return ""


async def settled(find: Callable[[], set[object]]) -> set[object]:
    """Return what `find` still finds after the closes that are under way, on a busy machine too."""
    for turn in range(PATIENCE):
        if not find():
            break
        await asyncio.sleep(0.01 if turn > 10 else 0)
    return find()
