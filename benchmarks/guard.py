"""Fail when the hot path takes more instructions than it did: `python -m benchmarks.guard`.

Instructions repeat where microseconds do not. Each workload is done in two sizes, and the
difference is divided by that of the sizes: what starting costs is in neither. Cachegrind counts, or
where there is none the processor, by way of perf. ``--record`` writes the counts to guard.json.

Counts of different interpreters cannot be compared: the records are kept by tool, version of Python
and whether it was built with profile-guided optimization. Whether the packages below us have grown,
or we have, is told by the commit that wrote the records, counted with the packages of today:

    git worktree add /tmp/recorded $(git log -1 --format=%h -- benchmarks/guard.json)
    cd /tmp/recorded && PATH_OF_THIS_CHECKOUT/.venv/bin/python -m benchmarks.guard
"""

import argparse
import compileall
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

RECORDS: Final = Path(__file__).with_name("guard.json")
PACKAGE: Final = Path(__file__).parents[1] / "zai_async"
ALLOWED: Final = 0.05
SIZES: Final = {
    "parser": (200, 2200),
    "stream": (200, 1200),
    "lump": (1000, 6000),
    "call": (100, 500),
    "socket": (100, 600),
    "short": (100, 300),
}
_WORK: Final = [sys.executable, "-m", "benchmarks.workloads"]
_REFERENCES: Final = re.compile(r"^==(\d+)== I +refs: +([\d,]+)$", re.MULTILINE)

Counts = Mapping[str, float]
"""Instructions for one event or call, by workload."""
Totals = Mapping[tuple[str, int], int]
"""Instructions of a whole process, by workload and size."""


def per_item(totals: Totals) -> dict[str, float]:
    """Return what one more item takes."""
    return {
        name: (totals[name, large] - totals[name, small]) / (large - small)
        for name, (small, large) in SIZES.items()
    }


def _runs() -> list[tuple[str, int]]:
    return [(name, size) for name, sizes in SIZES.items() for size in sizes]


def _output(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in which no hash depends on chance."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment)


def cachegrind() -> Totals:
    """Count in children of one process: starting under valgrind takes many seconds."""
    pairs = [str(part) for run in _runs() for part in run]
    tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = _output([*tool, *_WORK, "--fork", *pairs])
    return by_child(done.stdout, done.stderr)


def by_child(children: str, counted: str) -> Totals:
    """Bring together which child did what, and what each was counted."""
    counts = {child: int(count.replace(",", "")) for child, count in _REFERENCES.findall(counted)}
    rows = [line.split() for line in children.splitlines()]
    return {(name, int(size)): counts[child] for child, name, size in rows}


def perf() -> Totals:
    """Count in a process for each; perf cannot tell children apart."""
    return {(name, size): _perf([*_WORK, name, str(size)]) for name, size in _runs()}


def _perf(command: list[str]) -> int:
    done = _output(["perf", "stat", "-x,", "-e", "instructions:u", *command])
    return int(done.stderr.splitlines()[-1].partition(",")[0])


def _has_perf() -> bool:
    """Tell whether there is perf, and a processor that lets itself be counted."""
    try:
        return shutil.which("perf") is not None and _perf(["true"]) > 0
    except (ValueError, subprocess.CalledProcessError):
        return False


def tool() -> tuple[str, Callable[[], Totals]] | None:
    """Return the first tool that works here."""
    if shutil.which("valgrind"):
        return "cachegrind", cachegrind
    return ("perf", perf) if _has_perf() else None


def interpreter() -> str:
    """Return which records count."""
    optimized = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return f"{sys.version_info.major}.{sys.version_info.minor}{' optimized' if optimized else ''}"


def made_with() -> dict[str, str]:
    """Return the versions on which counts depend."""
    packages = {name: version(name) for name in ("aiohttp", "anyio", "msgspec")}
    return {"python": sys.version.split()[0], **packages}


def grown(counts: Counts, recorded: Counts) -> list[str]:
    """Return the workloads that take more than is allowed."""
    limits = {name: count * (1 + ALLOWED) for name, count in recorded.items()}
    return [name for name, count in counts.items() if count > limits.get(name, count)]


def report(counts: Counts, recorded: Counts) -> str:
    lines = ["| Workload | instructions each | recorded | change |", "| --- | --: | --: | --: |"]
    for name, count in counts.items():
        before = recorded.get(name)
        cells = f"{before:,.0f} | {count / before - 1:+.1%}" if before else " | "
        lines.append(f"| {name} | {count:,.0f} | {cells} |")
    return "\n".join(lines)


def load() -> dict[str, Any]:
    return dict(json.loads(RECORDS.read_text(encoding="utf-8"))) if RECORDS.exists() else {}


def record(name: str, counts: Counts) -> None:
    records = load()
    rounded = {work: round(count) for work, count in counts.items()}
    records.setdefault(name, {})[interpreter()] = {"with": made_with(), "counts": rounded}
    RECORDS.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def judge(name: str, counts: Counts) -> int:
    """Print the counts beside the records and return the exit status."""
    entry = load().get(name, {}).get(interpreter(), {"with": None, "counts": {}})
    print(
        f"{name}, Python {interpreter()}, {made_with()}", report(counts, entry["counts"]), sep="\n"
    )
    if not entry["counts"]:
        print("There is no record of this tool and interpreter: --record writes one.")
    elif entry["with"] != made_with():
        print(f"The record is of {entry['with']}: others may have grown, not we.")
    if worse := grown(counts, entry["counts"]):
        print(f"These take more than {ALLOWED:.0%} more than recorded: {', '.join(worse)}.")
    return bool(worse)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the counts to guard.json")
    chosen, found = parser.parse_args(argv), tool()
    if found is None:
        print("bench-guard is skipped: neither valgrind nor a working perf is here.")
        return 0
    name, count = found
    # Or the small run would compile what is imported late, and only that one.
    compileall.compile_dir(PACKAGE, quiet=2)
    counts = per_item(count())
    if chosen.record:
        record(name, counts)
    return judge(name, counts)


if __name__ == "__main__":
    sys.exit(main())
