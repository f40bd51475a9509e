"""Many rows, side by side with other ways to answer them: `python -m benchmarks.batch`.

    rates    rows a second and CPU per row: the engine, plain calls of the same client, and others
    memory   what a million rows leave in memory
    kills    a run that is killed again and again: what is paid twice
    limits   hidden limits, found while rows are answered
    ray      two actors of Ray Data, this package's and `ray.data.llm`

The server counts and costs less than any client. Each measurement is a process of its own. What is
not installed is left out.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any, Final
from urllib.request import urlopen

from benchmarks.batch_contestants import AT_ONCE, CONTESTANTS, MODEL, SLOW, client, prompts
from benchmarks.emulator import ZAI, resident
from benchmarks.report import machine
from zai_async.batch import Ok

HIDDEN: Final = [1, 4, 10, 50, 200, 0]
LARGE: Final = {50, 200}
"""Limits for which the search takes a part of the run that counts."""
CHANGING: Final = "20, then 60, then 30"
RESULTS: Final = Path(__file__).with_name("batch_results.json")


@contextmanager
def server(milliseconds: float, limit: float = float("inf")) -> Iterator[str]:
    """Run a server that counts; yield its address."""
    command = [sys.executable, "-m", "benchmarks.counting", str(milliseconds), str(limit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def told(address: str) -> dict[str, Any]:
    """Return what a server has counted, or does when asked to."""
    with urlopen(address) as answer:
        return dict(json.loads(answer.read()))


def rates(size: float, rounds: int) -> dict[str, Any]:
    """Let the contestants take turns."""
    rows, runs = round(20_000 * size), dict[str, list[dict[str, float]]]()
    present = [
        name for name, (_, module) in CONTESTANTS.items() if importlib.util.find_spec(module)
    ]
    for name in CONTESTANTS:
        if name not in present:
            print(f"{name} is left out, there is no module {CONTESTANTS[name][1]}", flush=True)
    with server(50) as url:
        for number in range(rounds):
            start = number % max(1, len(present))
            for name in present[start:] + present[:start]:
                own = rows // SLOW.get(name, 1)
                command = [sys.executable, "-m", "benchmarks.batch_contestants"]
                command += [name, url, str(own)]
                answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
                if answer.returncode:
                    print(f"{name} is left out, it failed", flush=True)
                    present.remove(name)
                    continue
                figures = json.loads(answer.stdout.splitlines()[-1])
                runs.setdefault(name, []).append(figures)
                print(name, figures, flush=True)
    return {
        name: {key: median(each[key] for each in own) for key in own[0]}
        for name, own in runs.items()
    }


# What grows


async def remember(url: str, rows: int) -> dict[str, float]:
    """Answer rows and note the memory at the thousandth and at the last one."""
    marks = dict[int, float]()

    given = ({"custom_id": prompt, "prompt": prompt} for prompt in prompts(rows))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        async with client(url) as zai:
            done, begun = 0, time.perf_counter()
            async for _ in zai.batch.run(given, out=out, model=MODEL, concurrency=AT_ONCE):
                done += 1
                if done in {1_000, 10_000, 100_000, rows // 2, rows}:
                    marks[done] = resident(os.getpid())
                    print(f"{done:,} rows: {marks[done]:.1f} MiB", file=sys.stderr, flush=True)
            wall = time.perf_counter() - begun
    return {
        "rows": done,
        "at 1,000": marks[1_000],
        "at the end": marks[rows],
        "rows/s": rows / wall,
    }


def memory(size: float) -> dict[str, Any]:
    rows = max(2_000, round(1_000_000 * size))
    with server(0) as url:
        command = [sys.executable, "-m", "benchmarks.batch", "--remember", url, str(rows)]
        return dict(json.loads(subprocess.check_output(command, text=True)))


# What is paid twice


def begin(url: str, folder: Path, at_once: int) -> subprocess.Popen[bytes]:
    """Begin a run, or go on with it, in a process of its own."""
    command = [str(ZAI), "batch", "run", str(folder / "in.jsonl"), str(folder / "out.jsonl")]
    command += ["--model", MODEL, "--quiet"]
    command += ["--concurrency", str(at_once), "--base-url", f"{url}/api/paas/v4"]
    return subprocess.Popen(command, env={**os.environ, "ZAI_API_KEY": "key"})


def kills(rows: int = 3_000, at_once: int = 50, times: int = 20, seed: int = 1) -> dict[str, Any]:
    """Kill a run at random moments, tear the last line, and count what was asked twice."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, server(50) as url:
        folder = Path(name)
        out = folder / "out.jsonl"
        lines = (json.dumps({"custom_id": each, "prompt": each}) for each in prompts(rows))
        (folder / "in.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")
        done = torn = 0
        for number in range(times):
            # Each run gets its part of the rows, and dies somewhere on the way there.
            until = rows * (number + chance.random()) / times
            process = begin(url, folder, at_once)
            while told(f"{url}/stats")["answered"] < until and process.poll() is None:
                time.sleep(0.002)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                done += 1
            process.wait()
            if out.exists() and chance.random() < 0.5:
                os.truncate(out, max(0, out.stat().st_size - chance.randrange(1, 60)))
                torn += 1
        last = begin(url, folder, at_once).wait()
        keys = [json.loads(line)["custom_id"] for line in out.read_bytes().splitlines()]
        asked = told(f"{url}/stats")["asked"]
    return {
        "rows": rows,
        "kills": done,
        "requests": asked,
        "allowed": rows + at_once * done + torn,  # a torn line is an answer that is lost
        "lines": len(keys),
        "keys": len(set(keys)),
        "status": last,
    }


# Limits that nobody tells


async def found(
    url: str,
    rows: int,
    out: Path,
    changes: Mapping[int, int] = MappingProxyType({}),
    known: int | None = None,
) -> dict[str, Any]:
    """Answer rows against a limit that is hidden or known, and changes after so many answers."""
    done = 0
    async with client(url, known) as zai:
        # Of a list, as of a file, it is known how many rows come.
        async for row in zai.batch.run(list(prompts(rows)), out=out, model=MODEL):
            done += isinstance(row, Ok)
            if done in changes:
                await asyncio.to_thread(told, f"{url}/limit/{changes[done]}")
    stats = told(f"{url}/stats")
    return {
        "rows": stats["answered"],
        "done": done,
        "of the possible": stats["answered"] / stats["possible"],
        "refused": stats["refused"] / (stats["asked"] + stats["refused"]),
        "seconds": stats["seconds"],
    }


async def beside_an_oracle(url: str, other: str, rows: int, out: Path, limit: int) -> Any:
    """Find a limit beside a run that is told it: whatever else the machine does slows both."""
    told_it = found(other, rows, out.with_suffix(".oracle"), known=limit)
    ours, oracle = await asyncio.gather(found(url, rows, out), told_it)
    return {**ours, "of an oracle": oracle["seconds"] / ours["seconds"]}


def limits(size: float, hidden: list[int]) -> dict[str, Any]:
    """Find these limits, and then one that changes, which is the limit 0."""
    results, seconds = dict[str, Any](), 40 * size

    def search(name: str, latency: float, limit: int, rows: int, out: Path) -> None:
        with server(latency * 1000, limit) as url, server(latency * 1000, limit) as other:
            results[name] = asyncio.run(beside_an_oracle(url, other, rows, out, limit))
        print(name, results[name], flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for limit in filter(None, hidden):
            latency, out = max(0.1, limit / 250), Path(folder) / f"{limit}.jsonl"
            rows = round(limit / latency * seconds)
            search(f"{limit}", latency, limit, rows, out)
            if limit in LARGE:
                # The next run over the same output: what it takes to search is over.
                search(f"{limit}, in the next run", latency, limit, 2 * rows, out)
        if 0 in hidden:
            rows = round(100 * seconds)
            changes = {rows // 4: 60, rows * 3 // 4: 30}
            out = Path(folder) / "changing.jsonl"
            with server(200, 20) as url:
                results[CHANGING] = asyncio.run(found(url, rows, out, changes))
            print(CHANGING, results[CHANGING], flush=True)
    return results


PARTS: Final = ("rates", "memory", "kills", "limits")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--size", type=float, default=1.0, help="scale of the work; 1 is all")
    parser.add_argument(
        "--hidden",
        nargs="+",
        type=int,
        default=HIDDEN,
        help="limits to find; 0 is one that changes",
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each rate")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--remember", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.remember:
        print(json.dumps(asyncio.run(remember(chosen.remember[0], int(chosen.remember[1])))))
        return
    results = json.loads(chosen.results.read_text()) if chosen.results.exists() else {}
    results["machine"] = machine()
    own = {
        "rates": lambda: rates(chosen.size, chosen.rounds),
        "memory": lambda: memory(chosen.size),
        "kills": lambda: kills(rows=round(3_000 * chosen.size)),
        "limits": lambda: limits(chosen.size, chosen.hidden),
    }
    for part in chosen.only:
        results[part] = own[part]()
        print(part, json.dumps(results[part], indent=2), flush=True)
        chosen.results.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
