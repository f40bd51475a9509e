"""Compare ways to use the platform: `python -m benchmarks`, or `make bench`.

The server has one core and the client another; each measurement is a process of its own, and the
contestants take turns. Ratios within one run mean something, microseconds belong to the machine.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import limiter
from benchmarks.contestants import NAMES, contestant
from benchmarks.report import Runs, machine, summary, table
from benchmarks.scenarios import SCENARIOS, Scenario

RESULTS = Path(__file__).with_name("results.json")
EVENTS = 30_000
ROUNDS = 5


def pinned(core: int) -> list[str]:
    """Return how to start Python on one core; where nobody can, the system decides."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    taskset = ["taskset", "-c", str(cores[core])] if len(cores) > 1 else []
    return [*taskset, sys.executable, "-m"]


@contextmanager
def server(size: float) -> Iterator[str]:
    """Run the server and yield its port."""
    command = [*pinned(0), "benchmarks.server", str(int(EVENTS * size))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def takes_part(scenario: Scenario, name: str) -> bool:
    runner = contestant(name)
    able = all(hasattr(runner, need) for need in scenario.needs)
    return able and scenario.at_once <= getattr(runner, "most", scenario.at_once)


def measure(scenario: str, name: str, port: str, size: float) -> dict[str, float]:
    command = [*pinned(-1), "benchmarks.worker", scenario, name, port, str(size)]
    return json.loads(subprocess.check_output(command, text=True))


def play(key: str, port: str, arguments: argparse.Namespace) -> Runs:
    """Let the contestants take turns, each round beginning with another one."""
    names = [name for name in arguments.contestants if takes_part(SCENARIOS[key], name)]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(arguments.rounds):
        start = number % max(1, len(names))
        for name in names[start:] + names[:start]:
            runs[name].append(measure(key, name, port, arguments.size))
    return runs


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    several = [*SCENARIOS, "limiter"]
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measurements of each")
    parser.add_argument("--only", nargs="+", choices=several, default=several, metavar="SCENARIO")
    parser.add_argument("--contestants", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--size", type=float, default=1.0, help="scale of the work; 1 is all")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    results: dict[str, object] = {"machine": machine(), "rounds": chosen.rounds}
    print(*(f"{name}: {value}" for name, value in results.items()), sep="\n", flush=True)
    with server(chosen.size) as port:
        for key in filter(SCENARIOS.__contains__, chosen.only):
            runs = play(key, port, chosen)
            results[key] = {name: summary(own) for name, own in runs.items()}
            print("", table(SCENARIOS[key], runs), sep="\n", flush=True)
    RESULTS.write_text(json.dumps(results, indent=2), encoding="utf-8")
    if "limiter" in chosen.only:
        limiter.main()


if __name__ == "__main__":
    main()
