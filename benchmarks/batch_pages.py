"""The figures of batches on docs/performance.md: `python -m benchmarks.batch_pages [RESULTS]`.

With results of `benchmarks.batch`, and of `benchmarks.batch_ray` under "ray", these are published;
without any, the page is written again.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import pages

PUBLISHED: Final = Path(__file__).with_name("batch_published.json")


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rates(results: Mapping[str, Any]) -> str:
    plain = results["rates"]["plain calls"]["us"]
    rows = [
        [name, f"{own['us']:,.0f}", f"{own['us'] / plain:.2f}", f"{own['rows/s']:,.0f}"]
        for name, own in results["rates"].items()
    ]
    return table(["256 rows at once", "us of CPU per row", "to plain calls", "rows/s"], rows)


def limits(results: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{own['rows']:,}",
            f"{own['of an oracle']:.1%}" if "of an oracle" in own else "",
            f"{own['of the possible']:.1%}",
            f"{own['refused']:.1%}",
        ]
        for name, own in results["limits"].items()
    ]
    heads = ["Hidden limit", "rows", "of a run that is told it", "of what the server allows"]
    return table([*heads, "refused"], rows)


def words(results: Mapping[str, Any]) -> str:
    kills, memory = results["kills"], results["memory"]
    killed = (
        f"Killed {kills['kills']} times at random moments, often with a torn line, a run of"
        f" {kills['rows']:,} rows with 50 at once sent {kills['requests']:,} requests and wrote"
        f" {kills['lines']:,} lines, each key once."
    )
    grown = (
        f"Memory was {memory['at 1,000']:.0f} MiB after 1,000 rows and"
        f" {memory['at the end']:.0f} MiB after {memory['rows']:,}: what grows is the keys,"
        " of which each takes 13 bytes."
    )
    said = [killed, grown]
    if "ray" in results:
        ray = results["ray"]
        ours, other = ray["map_chat"], ray["ray.data.llm"]
        said.append(
            f"Two actors of Ray answered {ours['rows/s']:,.0f} rows a second with `map_chat` and"
            f" {other['rows/s']:,.0f} with the HTTP stage of `ray.data.llm`, with"
            f" {other['peak in flight']:,} in flight at most; Ray's start is not counted."
            f" One process without Ray answered {ray['zai.batch']['rows/s']:,.0f}."
        )
    return "\n".join(said)


def part(results: Mapping[str, Any]) -> str:
    """Return what stands on the page."""
    return "\n\n".join([rates(results), words(results), limits(results)])


def main() -> None:
    if sys.argv[1:]:
        results = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        PUBLISHED.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    pages.put("performance.md", {"batch": part(json.loads(PUBLISHED.read_text(encoding="utf-8")))})


if __name__ == "__main__":
    main()
