"""Compare ways to use the platform: `python -m benchmarks`, or `make bench`.

The server has one core and the client another; each measurement is a process of its own, and the
contestants take turns. Ratios within one run mean something, microseconds belong to the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import certificates, limiter
from benchmarks.contestants import NAMES, contestant, missing
from benchmarks.report import machine, summary, table
from benchmarks.scenarios import SCENARIOS

RESULTS = Path(__file__).with_name("results.json")
EVENTS = 20_000
ROUNDS = 5
PATIENCE = 300.0
"""Seconds for one measurement."""


def pinned(core: int) -> list[str]:
    """Return how to start Python on one core; where nobody can, the system decides."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    taskset = ["taskset", "-c", str(cores[core])] if len(cores) > 1 else []
    return [*taskset, sys.executable, "-m"]


class Bench:
    """The server, and what measurements are told about it."""

    def __init__(self, size: float, loop: str) -> None:
        self.size = size
        self._loop = loop
        self._ports = ""
        self._authority = ""

    @property
    def tls(self) -> bool:
        return bool(self._authority)

    @contextmanager
    def server(self) -> Iterator[None]:
        """Run the server, with TLS if certificates can be made."""
        with tempfile.TemporaryDirectory() as folder:
            if certificates.available():
                certificates.make(Path(folder))
                self._authority = str(Path(folder) / certificates.AUTHORITY)
            with self._process(folder) as process:
                yield
                process.terminate()

    @contextmanager
    def _process(self, folder: str) -> Iterator[subprocess.Popen[str]]:
        command = [*pinned(0), "benchmarks.server", str(int(EVENTS * self.size))]
        command += [folder] if self.tls else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                ports = [process.stdout.readline().strip() for _ in range(1 + self.tls)]
                self._ports = ",".join(ports)
                yield process
            finally:
                process.terminate()

    def measure(self, key: str, name: str) -> dict[str, Any]:
        """Measure once; the result holds ``skipped`` if that cannot be done."""
        scenario = SCENARIOS[key]
        loop = self._loop or scenario.loop
        command = [*pinned(-1), "benchmarks.worker", key, name, self._ports, str(self.size), loop]
        trust = {"SSL_CERT_FILE": self._authority} if scenario.tls else {}
        try:
            answer = subprocess.check_output(
                command, text=True, timeout=PATIENCE, env={**os.environ, **trust}
            )
        except subprocess.SubprocessError as error:
            return {"skipped": f"it failed: {error}"}
        return dict(json.loads(answer))


def takes_part(key: str, name: str) -> bool:
    """Tell whether a contestant can do what a scenario asks for, and is meant to."""
    scenario, runner = SCENARIOS[key], contestant(name)
    able = all(getattr(runner, need, None) for need in scenario.needs)
    fit = scenario.at_once <= getattr(runner, "most", scenario.at_once)
    return (
        able
        and fit
        and key in getattr(runner, "only", [key])
        and name in (scenario.among or [name])
    )


def play(
    key: str, bench: Bench, names: list[str], rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Let the contestants take turns, each round beginning with another one."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        start = number % max(1, len(names))
        for name in names[start:] + names[:start]:
            run = bench.measure(key, name) if name in runs else {}
            if "skipped" in run:
                print(f"{key}: {name} is left out, {run['skipped']}", flush=True)
                del runs[name]
            elif run:
                runs[name].append(run)
    return runs


def present(names: list[str]) -> list[str]:
    """Return those contestants whose packages are installed, and say who is missing."""
    lacks = {name: missing(name) for name in names}
    for name, module in lacks.items():
        if module:
            print(f"{name} is left out, there is no module {module}", flush=True)
    return [name for name in names if not lacks[name]]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    several = [*SCENARIOS, "limiter"]
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measurements of each")
    parser.add_argument("--only", nargs="+", choices=several, default=several, metavar="SCENARIO")
    parser.add_argument("--contestants", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--size", type=float, default=1.0, help="scale of the work; 1 is all")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], help="for all scenarios")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    return parser.parse_args(argv)


def run(chosen: argparse.Namespace, results: dict[str, Any]) -> None:
    """Play the scenarios that were chosen, and write down each as soon as it is over."""
    names, bench = present(chosen.contestants), Bench(chosen.size, chosen.loop)
    with bench.server():
        for key in filter(SCENARIOS.__contains__, chosen.only):
            if SCENARIOS[key].tls and not bench.tls:
                print(f"{key} is left out, there is no module trustme", flush=True)
                continue
            able = [name for name in names if takes_part(key, name)]
            runs = play(key, bench, able, chosen.rounds)
            results[key] = {name: summary(own) for name, own in runs.items()}
            print("", table(SCENARIOS[key], results[key]), sep="\n", flush=True)
            chosen.results.write_text(json.dumps(results, indent=2), encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    results: dict[str, Any] = {"machine": machine(), "rounds": chosen.rounds}
    print(*(f"{name}: {value}" for name, value in results.items()), sep="\n", flush=True)
    run(chosen, results)
    if "limiter" in chosen.only:
        limiter.main()


if __name__ == "__main__":
    main()
