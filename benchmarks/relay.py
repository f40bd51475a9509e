"""What relaying costs, side by side with how others relay: `python -m benchmarks.relay`.

    tokens   CPU of a backend per token that it relays, through FastAPI and uvicorn
    first    how much later the first byte of a relayed answer comes than that of a direct one
    storm    a thousand readers behind nginx, of whom a third leave, while the platform fails

`--publish RESULTS` writes the part about them on docs/web.md. What is not installed is left out;
LITELLM may name the command of a LiteLLM proxy.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import aiohttp

from benchmarks import pages, relay_storm
from benchmarks.emulator import cpu
from benchmarks.relay_site import ASK, SITES
from benchmarks.report import machine
from zai_async import AsyncZai

RESULTS: Final = Path(__file__).with_name("relay_results.json")
PUBLISHED: Final = Path(__file__).with_name("relay_published.json")
LITELLM: Final = "LiteLLM proxy"
BASE: Final = "openai + sse-starlette"
SETUPS: Final = {"httptools, uvloop": ("uvloop", "httptools"), "h11, asyncio": ("asyncio", "h11")}
EVENTS: Final = 1_000
AT_ONCE: Final = 8
REQUEST: Final = (
    b"POST /%b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nAccept: */*\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
)


@contextmanager
def upstream() -> Iterator[int]:
    """Run the platform, which costs less than anybody who reads it."""
    command = [sys.executable, "-m", "benchmarks.server", str(EVENTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(cast("Any", process.stdout).readline())
        finally:
            process.terminate()


@contextmanager
def site(name: str, url: str, setup: tuple[str, str], log: Any = None) -> Iterator[tuple[int, int]]:
    """Run a backend; yield its process and its port."""
    if name == LITELLM:
        with litellm(url) as started:
            yield started
        return
    command = [sys.executable, "-m", "benchmarks.relay_site", name, url, *setup]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            yield process.pid, int(cast("Any", process.stdout).readline())
        finally:
            process.terminate()


def command_of_litellm() -> str | None:
    return os.environ.get("LITELLM") or shutil.which("litellm")


@contextmanager
def litellm(url: str) -> Iterator[tuple[int, int]]:
    """Run a proxy of LiteLLM as its manual says, without a database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    entry = {
        "model_name": ASK["model"],
        "litellm_params": {"model": f"openai/{ASK['model']}", "api_base": url, "api_key": "k"},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"  # which JSON is, too
        path.write_text(json.dumps({"model_list": [entry]}))
        command = [str(command_of_litellm()), "--config", str(path), "--host", "127.0.0.1"]
        own = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            # It is reached by this machine alone, and no key is looked up that would cost it time.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        }
        with subprocess.Popen(
            [*command, "--port", str(port)],
            env=os.environ | own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                while process.poll() is None:
                    with socket.socket() as probe:
                        if not probe.connect_ex(("127.0.0.1", port)):
                            break
                    time.sleep(0.2)
                yield process.pid, port
            finally:
                process.terminate()


async def read(port: int, path: str, body: bytes) -> int:
    """Read one answer to its end; return how many bytes there were."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST % (path.encode(), len(body), body))
    size, head = 0, b""
    while piece := await reader.read(2**18):
        head = head or piece
        size += len(piece)
    writer.close()
    if b" 200 " not in head[:20]:
        raise RuntimeError(head[:500].decode(errors="replace"))
    return size


async def answers(port: int, path: str, count: int) -> None:
    body = json.dumps({**ASK, "stream": True}).encode()
    left = iter(range(count))

    async def ask() -> None:
        for _ in left:
            await read(port, path, body)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(ask())


def tokens(size: float, rounds: int) -> dict[str, Any]:
    """Let the backends take turns; return microseconds of CPU per token, setup by setup."""
    runs = dict[str, dict[str, list[float]]]()
    present = list(SITES) + [LITELLM] * (command_of_litellm() is not None)
    with upstream() as port:
        for number in range(rounds):
            start = number % len(present)
            for setup, settings in SETUPS.items():
                for name in present[start:] + present[:start]:
                    if name == LITELLM and setup != next(iter(SETUPS)):
                        continue  # it brings its own
                    path = "v1/chat/completions" if name == LITELLM else "chat"
                    each = 100 if name.startswith("ours") else 6 if name == LITELLM else 16
                    count = max(1, round(each * size))
                    with site(name, f"http://127.0.0.1:{port}/spoken", settings) as (pid, at):
                        asyncio.run(answers(at, path, 2))
                        before = cpu(pid)
                        asyncio.run(answers(at, path, count))
                        used = (cpu(pid) - before) / count / EVENTS * 1e6
                    runs.setdefault(setup, {}).setdefault(name, []).append(used)
                    print(f"{setup}: {name}: {used:.2f} us", flush=True)
    return {
        setup: {name: median(values) for name, values in own.items()} for setup, own in runs.items()
    }


async def first_bytes(platform: str, relay: str, count: int) -> dict[str, list[float]]:
    """Ask in turns; return how many ms it took until an answer began, after the first few."""
    direct, relayed = list[float](), list[float]()
    async with (
        AsyncZai(base_url=platform, api_key="k.s") as zai,
        aiohttp.ClientSession() as session,
    ):
        for _ in range(count):
            begun = time.perf_counter()
            async with zai.chat.completions.stream(**ASK) as stream:
                await anext(stream.events)
                direct.append((time.perf_counter() - begun) * 1e3)
                await stream.completion()
            begun = time.perf_counter()
            async with session.post(relay, json=ASK) as answer:
                await answer.content.readany()
                relayed.append((time.perf_counter() - begun) * 1e3)
                await answer.read()
    return {"direct": direct[count // 10 :], "relayed": relayed[count // 10 :]}


def first(size: float) -> dict[str, float]:
    """Compare the first event of a stream with the first byte that a reader of a backend gets."""
    with upstream() as port:
        direct = f"http://127.0.0.1:{port}/first"
        name, settings = next(iter(SITES)), SETUPS["httptools, uvloop"]
        with site(name, direct, settings) as (_, at):
            relayed = f"http://127.0.0.1:{at}/chat"
            times = asyncio.run(first_bytes(direct, relayed, round(500 * size)))
    return {name: median(values) for name, values in times.items()}


def storm(size: float) -> dict[str, Any]:
    with tempfile.TemporaryFile() as log, relay_storm.platform() as (port, told):
        url = f"http://127.0.0.1:{port}/v1"
        with site(next(iter(SITES)), url, SETUPS["httptools, uvloop"], log) as (_, at):
            found = asyncio.run(relay_storm.run(at, told, round(1_000 * size)))
        log.seek(0)
        return {**found, "tracebacks": log.read().count(b"Traceback")}


# The page


def part(results: dict[str, Any]) -> str:
    """Return what stands on docs/web.md."""
    setups = list(SETUPS)
    heads = ["CPU per relayed token", *(f"{setup}, us | to {BASE}" for setup in setups)]
    rows = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * 2 * len(setups) + "|"]
    for name in results["tokens"][setups[0]]:
        cells = [name]
        for setup in setups:
            own = results["tokens"][setup]
            has = name in own
            cells += [f"{own[name]:.1f}", f"{own[name] / own[BASE]:.2f}"] if has else ["", ""]
        rows.append("| " + " | ".join(cells) + " |")
    late, found = results["first"], results["storm"]
    later = late["relayed"] - late["direct"]
    before, after = found["memory"][1], found["memory"][-1]
    words = (
        f"The first byte reaches a reader {later:.2f} ms later than the first event of a stream\n"
        "comes to who asks the platform directly, at the median.\n\n"
        f"{found['readers']:,} readers at once behind nginx, {found['rounds']} times, of whom"
        f" {found['left']:,} left early, while\n{found['faults']:,} of {found['requests']:,}"
        f" requests failed at the platform: {found['open']} streams were left open there,"
        f" {found['permits']} places in the\nlimiter were not given back, and the log had"
        f" {found['tracebacks']} tracebacks. Memory was {before:.0f} MiB after the second time\n"
        f"and {after:.0f} MiB after the last."
    )
    return "\n".join(rows) + "\n\n" + words


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=float, default=1.0, help="a part of the whole run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["tokens", "first", "storm"])
    parser.add_argument("--publish", metavar="RESULTS", help="write them on the page")
    arguments = parser.parse_args()
    if arguments.publish:
        results = json.loads(Path(arguments.publish).read_text(encoding="utf-8"))
        PUBLISHED.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        pages.put("web.md", {"relay": part(results)})
        return
    parts = {
        "tokens": lambda: tokens(arguments.size, arguments.rounds),
        "first": lambda: first(arguments.size),
        "storm": lambda: storm(arguments.size),
    }
    results = {"machine": machine()}
    for name, run in parts.items():
        if arguments.only in {None, name}:
            results[name] = run()
            print(name, results[name], flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
