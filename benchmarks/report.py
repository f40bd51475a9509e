"""Figures to tables: the median, half the range, and ratios, which are all that lasts."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.scenarios import Scenario

Rows = Mapping[str, Mapping[str, float]]
"""The summary of each contestant."""


def machine() -> dict[str, Any]:
    """Return where the figures come from."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        **_node(),
    }


def _node() -> dict[str, str]:
    """Return the version of Node if there is one."""
    if not (node := shutil.which("node")):
        return {}
    return {"node": subprocess.check_output([node, "--version"], text=True).strip("v\n")}


def _processor() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        names = (line.partition(": ")[2].strip() for line in lines if "model name" in line)
        return next(names, "unknown")


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median, half the range in per cent, and the medians of all other figures."""
    values = sorted(run["value"] for run in runs)
    middle = median(values)
    spread = (values[-1] - values[0]) / 2 / (middle or 1.0) * 100  # the memory may not have grown
    others = {name: median(run[name] for run in runs) for name in runs[0] if name != "value"}
    return {"median": middle, "spread": spread, **others}


def table(scenario: Scenario, rows: Rows) -> str:
    """Return the table of one scenario in Markdown."""
    also = [name for name in next(iter(rows.values()), {}) if name not in _COLUMNS]
    heads = [f"{scenario.title}, {scenario.unit}", "median", "spread", "to ours", *also]
    lines = [_line(*heads, "server busy"), "| --- |" + " --: |" * len(heads)]
    for name, row in rows.items():
        extra = [f"{row[figure]:.2f}" for figure in also]
        cells = f"{row['median']:.2f}", f"±{row['spread']:.0f} %", _ratio(row, rows.get("ours"))
        lines.append(_line(name, *cells, *extra, f"{row['server']:.0%}"))
    return "\n".join(lines + _warning(rows))


_COLUMNS = {"median", "spread", "server", "lost"}
_MUCH = 0.05


def _warning(rows: Rows) -> list[str]:
    """Say so where the figures are worth little, because the core was not the client's alone."""
    lost = max((row["lost"] for row in rows.values()), default=0.0)
    return [f"\nOthers had the client's core for {lost:.0%} of the time."] if lost > _MUCH else []


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(row: Mapping[str, float], ours: Mapping[str, float] | None) -> str:
    return f"{row['median'] / ours['median']:.2f}" if ours and ours["median"] else ""
