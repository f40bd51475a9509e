"""The guards of conftest.py, each met by a test that deserves it."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.calls import KEY, PROMPT

ROOT = Path(__file__).parents[1]

HERE = ["localhost", b"localhost", "127.0.0.1", "::1", None]

GUILTY = """
import asyncio, socket, time
import aiohttp, pytest
from hypothesis import given, strategies as st

ZAI = {}
exec(compile("import time\\ndef block(): time.sleep(0.001)", f"{PACKAGE}/x.py", "exec"), ZAI)

async def test_blocking_in_the_loop():
    ZAI["block"]()

async def test_task_left_running():
    globals()["task"] = asyncio.create_task(asyncio.Event().wait())

async def test_socket_left_open():
    globals()["server"] = await asyncio.start_server(print, "127.0.0.1", 0)

async def test_session_left_open():
    cycle = [aiohttp.ClientSession()]
    cycle.append(cycle)

@pytest.mark.timeout(0.2)
async def test_hang():
    await asyncio.Event().wait()

async def test_remote_host_behind_aiohttp():
    async with aiohttp.ClientSession() as session:
        await session.get("http://api.z.ai/")
"""

TELLTALE = """
import logging, pytest
from zai_async import APIError

def test_a_key_in_a_log():
    logging.getLogger("zai_async").debug("%s", {"key": "a.secret9876543210"})

def test_a_prompt_in_a_traceback():
    try:
        raise KeyError("prompt9876543210")
    except KeyError:
        logging.getLogger("zai_async").debug("failed", exc_info=True)

def test_a_token_in_an_error():
    APIError("eyJhbGciOiJIUzI1NiJ9.eyJhcGlfa2V5IjoiYSJ9.c2lnbmF0dXJlc2lnbmF0dXJl")

def test_what_nobody_asked_for_is_not_shown(caplog):
    logging.getLogger("zai_async").info("unseen")
    assert caplog.messages == []

def test_what_somebody_asked_for_is_shown(caplog):
    caplog.set_level("DEBUG", "zai_async")
    logging.getLogger("zai_async").debug("seen")
    assert caplog.messages == ["seen"]
"""

TALKATIVE = """
import asyncio, logging
import pytest
from hypothesis import given, strategies as st

def test_lines():
    for number in range(5000):
        print("printed", number)
        logging.getLogger("zai_async").warning("logged %d", number)
    assert [number] == ["the reason"]

@given(st.builds(list, st.just([{"a": number} for number in range(60)])))
def test_draws(values):
    assert values == "the reason"

def deep(level):
    assert level, "the reason"
    deep(level - 1) if level % 2 else deeper(level)

def deeper(level):
    deep(level - 1)

def test_frames():
    deep(100)

@pytest.fixture
def broken():
    test_lines()

def test_setup(broken):
    pass

async def test_group():
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(fail())

async def fail():
    raise ValueError("the reason")
"""

INNOCENT = """
import asyncio
import pytest
from hypothesis import given, strategies as st

@pytest.fixture
async def server():
    async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0) as server:
        yield server

async def test_connection_and_task(server):
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    task = asyncio.create_task(reader.read())
    assert await task == b""
    writer.close()

@given(st.integers())
async def test_property(number):
    await asyncio.sleep(0)

def test_what_ignores_interrupts_is_interrupted():
    import signal
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
"""


@pytest.fixture
def guarded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return an empty project with this project's settings and guards."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it measures code made up below
    monkeypatch.setenv("COLUMNS", "200")  # the summary cuts its lines there
    pytester.makepyprojecttoml((ROOT / "pyproject.toml").read_text())
    conftest = (ROOT / "tests" / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("PATIENCE = 300", "PATIENCE = 20"))
    return pytester


def run(project: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    project.mkdir("tests").joinpath("test_it.py").write_text(source)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    try:
        return project.runpytest_subprocess("-p", "no:cacheprovider", *options)
    finally:
        signal.signal(signal.SIGINT, before)


def test_guilty_tests_are_convicted(guarded: pytest.Pytester) -> None:
    result = run(guarded, f"PACKAGE = {str(ROOT / 'zai_async')!r}\n" + GUILTY)
    result.assert_outcomes(passed=3, failed=3, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "ERROR */test_it.py::test_task_left_running - *left behind*",
            "ERROR */test_it.py::test_socket_left_open - *left behind*",
            "ERROR */test_it.py::test_session_left_open - *ClientSession.__del__*",
            "FAILED */test_it.py::test_blocking_in_the_loop - *BlockingError*time.sleep*",
            "FAILED */test_it.py::test_hang - *Timeout*",
            "FAILED */test_it.py::test_remote_host_behind_aiohttp - *HarmError*",
        ]
    )


def test_telltale_tests_are_convicted_and_innocent_ones_left_alone(guarded) -> None:
    result = run(guarded, TELLTALE + INNOCENT)
    result.assert_outcomes(passed=5 + 3, errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "ERROR */test_it.py::test_a_key_in_a_log - *told*",
            "ERROR */test_it.py::test_a_prompt_in_a_traceback - *told*",
            "ERROR */test_it.py::test_a_token_in_an_error - *told*",
        ]
    )


def test_a_failure_is_told_in_forty_lines(guarded: pytest.Pytester) -> None:
    output = run(guarded, TALKATIVE, "-n", "1").stdout.str()  # it comes from another process
    told, _, summary = output.partition("short test summary")
    failures = re.split(r"^_{3,} .+ _{3,}\n", told, flags=re.MULTILINE)[1:]
    assert len(failures) == len(re.findall("^(?:FAILED|ERROR) ", summary, re.MULTILINE)) == 5
    for failure in failures:
        assert "the reason" in failure
        lines = [line for line in failure.splitlines() if not line.startswith("===")]
        assert len(lines) <= 38
    assert "logged 4999" in output
    assert "FAILED tests/test_it.py::test_frames - AssertionError: the reason" in summary


def test_all_of_a_failure_is_told_if_asked_for(guarded: pytest.Pytester) -> None:
    assert len(run(guarded, TALKATIVE, "-v", "-k", "lines").stdout.lines) > 10_000


def test_what_does_no_more_in_a_thorough_run_is_left_out_if_asked_for(guarded) -> None:
    guarded.mkdir("more").joinpath("test_plain.py").write_text("def test_plain(): pass")
    run(guarded, INNOCENT, "--only-more", "tests", "more").assert_outcomes(passed=3, deselected=1)


def test_only_tests_themselves_ask_how_much_is_to_be_tried() -> None:
    """Or one that asks through a helper would pass for one that does no more."""
    asking = {
        path.stem
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"^from tests\.effort import", path.read_text(), re.MULTILINE)
    }
    assert {name for name in asking if not name.startswith("test_")} == {"conftest", "mutants"}


def test_a_device_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RuntimeError, match="would take a device away"):
        (tmp_path / "file").replace("/dev/zai-test")


@pytest.mark.parametrize("_", range(2), ids=["leaves a level", "does not mind"])
def test_a_level_that_was_left_deafens_nobody(eavesdropper: logging.Filter, _: int) -> None:
    test_the_canaries_are_in_use(eavesdropper)
    logging.getLogger("zai_async").setLevel(logging.ERROR)


def test_the_canaries_are_in_use(eavesdropper: logging.Filter) -> None:
    for secret in (KEY, PROMPT):
        logging.getLogger("zai_async").debug(secret)
    told, eavesdropper.told = eavesdropper.told, []
    assert len(told) == 2


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("api.z.ai", 443)])
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_remote_address_is_refused(method: str, address: tuple[str, int]) -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match="tests stay on this machine"):
        getattr(sock, method)(address)


@pytest.mark.parametrize("host", ["api.z.ai", b"api.z.ai", "192.0.2.1", "2001:db8::1"], ids=repr)
def test_remote_name_is_refused(host: str | bytes) -> None:
    with pytest.raises(RuntimeError, match="tests stay on this machine"):
        socket.getaddrinfo(host, 443)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_remote_name_is_refused_by_the_loop(loop: str) -> None:
    module = pytest.importorskip(loop)
    with (
        asyncio.Runner(loop_factory=module.new_event_loop) as runner,
        pytest.raises(RuntimeError, match="tests stay on this machine"),
    ):
        runner.run(look_up("api.z.ai"))


async def look_up(host: str) -> list:
    return await asyncio.get_running_loop().getaddrinfo(host, 443)


def test_datagram_to_a_remote_host_is_refused() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        pytest.raises(RuntimeError, match="tests stay on this machine"),
    ):
        sock.sendto(b"", ("192.0.2.1", 53))


@pytest.mark.parametrize("host", HERE, ids=repr)
def test_loopback_is_let_through(host: str | bytes | None) -> None:
    assert socket.getaddrinfo(host, 443)


def test_unix_socket_is_let_through(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
        sock.connect(str(tmp_path / "absent"))
