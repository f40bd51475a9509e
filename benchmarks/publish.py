"""Make a run the one that the pages show: `python -m benchmarks.publish`.

It must be a whole one. The figures keep four digits, so that the file can be read and compared.
Its tables, and how it does against the goals, go into docs/performance.md.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks import goals, pages
from benchmarks.report import table
from benchmarks.scenarios import SCENARIOS

RESULTS: Final = Path(__file__).with_name("results.json")
PUBLISHED: Final = Path(__file__).with_name("published.json")


def incomplete(results: dict[str, Any]) -> list[str]:
    """Return the scenarios that were not measured, or not with ours."""
    return [key for key in SCENARIOS if "ours" not in results.get(key, {})]


def lines(results: dict[str, Any]) -> str:
    """Return the figures, a line for each contestant."""
    parts = [f" {json.dumps(key)}: {_part(value)}" for key, value in results.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _part(value: Any) -> str:
    if not isinstance(value, dict) or not any(isinstance(row, dict) for row in value.values()):
        return json.dumps(value)
    rows = [f"  {json.dumps(name)}: {json.dumps(short(row))}" for name, row in value.items()]
    return "{\n" + ",\n".join(rows) + "\n }"


def short(row: dict[str, float]) -> dict[str, float]:
    """Return figures with four digits."""
    return {name: float(f"{figure:.4g}") for name, figure in row.items()}


def parts(published: dict[str, Any]) -> dict[str, str]:
    """Return what docs/performance.md takes from the published figures."""
    where = published["machine"]
    named = ", ".join(f"{name} {where[name]}" for name in ("python", "node") if name in where)
    place = (
        f"{published['rounds']} rounds on {where['cores']} cores of {where['processor']},"
        f" {where['system']}, {named}."
    )
    tables = [table(SCENARIOS[key], published[key]) for key in SCENARIOS]
    return {"goals": goals.table(published), "tables": "\n\n".join([place, *tables])}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="figures of one run")
    chosen = parser.parse_args(argv)
    results = json.loads(chosen.results.read_text(encoding="utf-8"))
    if lacking := incomplete(results):
        sys.exit(f"this run is not a whole one, it lacks {', '.join(lacking)}")
    PUBLISHED.write_text(lines(results), encoding="utf-8")
    pages.put("performance.md", parts(json.loads(lines(results))))


if __name__ == "__main__":
    main()
