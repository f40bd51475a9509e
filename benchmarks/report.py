"""Figures to tables: the median, half the range, and ratios, which are all that lasts."""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scenarios import Scenario

Runs = Mapping[str, list[dict[str, float]]]
"""The runs of each contestant."""


def machine() -> dict[str, Any]:
    """Return where the figures come from."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
    }


def _processor() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        names = (line.partition(": ")[2].strip() for line in lines if "model name" in line)
        return next(names, "unknown")


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median, half the range in per cent, and the server's share of its core."""
    values = sorted(run["value"] for run in runs)
    middle = median(values)
    spread = (values[-1] - values[0]) / 2 / (middle or 1.0) * 100  # the memory may not have grown
    return {"median": middle, "spread": spread, "server": median(run["server"] for run in runs)}


def table(scenario: Scenario, runs: Runs) -> str:
    """Return the table of one scenario in Markdown."""
    rows = {name: summary(own) for name, own in runs.items()}
    ours, first = rows.get("ours"), f"{scenario.title}, {scenario.unit}"
    lines = [f"| {first} | median | spread | to ours | server busy |", "| --- |" + " --: |" * 4]
    for name, row in rows.items():
        ratio = f"{row['median'] / ours['median']:.2f}" if ours and ours["median"] else ""
        cells = f"{row['median']:.2f} | ±{row['spread']:.0f} % | {ratio} | {row['server']:.0%}"
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)
