"""What a look at JSON costs that is still being written: `python -m benchmarks.partial_json`.

A document comes in pieces of some characters, as models write it, and after each piece its value
so far is wanted. `--write` puts the table into docs/structured-output.md.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from zai_async.structured import PartialJSON

PAGE = Path(__file__).parents[1] / "docs" / "structured-output.md"
PLACE = re.compile(r"(?<=<!-- partial-json -->\n).*?(?=<!-- end -->)", re.DOTALL)
RECORDS = (5, 40)
ROUNDS = 3
LONG = 1.0
"""Seconds after which a round is not repeated."""

Reader = Callable[[list[str]], Any]


def document(records: int, seed: int = 7) -> str:
    """Return JSON as models write it: texts with escapes, numbers, lists of objects."""
    rng = random.Random(seed)

    def words(count: int) -> str:
        return " ".join(
            rng.choice(("Größe", "tide", '"quoted"', "a\nb", "海", "1/2")) * 2 for _ in range(count)
        )

    items = [
        {
            "title": words(4),
            "text": words(30),
            "sizes": [rng.random() for _ in range(5)],
            "done": n % 2 == 0,
            "next": None,
        }
        for n in range(records)
    ]
    return json.dumps({"items": items}, indent=2)


def pieces(text: str, seed: int = 7) -> list[str]:
    """Cut a text as a stream brings it, in pieces of two to six characters."""
    rng, found, at = random.Random(seed), [], 0
    while at < len(text):
        size = rng.randint(2, 6)
        found.append(text[at : at + size])
        at += size
    return found


def ours(stream: list[str]) -> Any:
    partial = PartialJSON()
    for piece in stream:
        partial.feed(piece)
    return partial.value


def whole_text(parse: Callable[[str], Any]) -> Reader:
    """Return a reader that parses all of the text again after each piece."""

    def read(stream: list[str]) -> Any:
        text, value = "", None
        for piece in stream:
            text += piece
            value = parse(text)
        return value

    return read


def contestants() -> dict[str, Reader]:
    """Return who is installed."""
    readers: dict[str, Reader] = {"zai-async": ours}
    for package, module, make in (
        (
            "jiter",
            "jiter",
            lambda it: lambda text: it.from_json(text.encode(), partial_mode="trailing-strings"),
        ),
        ("partial-json-parser", "partial_json_parser", lambda it: it.loads),
    ):
        try:
            name = f"{package} {metadata.version(package)}"
            readers[name] = whole_text(make(import_module(module)))
        except ImportError:
            continue
    return readers


def table(records: tuple[int, ...] = RECORDS) -> str:
    """Return the microseconds of a look, the best of some rounds, for documents of two sizes."""
    streams = [pieces(document(count)) for count in records]
    sizes = [f"{sum(map(len, stream)) / 1000:.0f} kB, {len(stream)} pieces" for stream in streams]
    lines = ["| µs for each piece | " + " | ".join(sizes) + " |", "|---|" + "--:|" * len(sizes)]
    for name, read in contestants().items():
        cells = [f"{best(read, stream) / len(stream) * 1e6:,.1f}" for stream in streams]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def best(read: Reader, stream: list[str]) -> float:
    times = [timed(read, stream)]
    while times[0] < LONG and len(times) < ROUNDS:
        times.append(timed(read, stream))
    return min(times)


def timed(read: Reader, stream: list[str]) -> float:
    begun = time.process_time()
    value = read(stream)
    seconds = time.process_time() - begun
    if value != json.loads("".join(stream)):
        raise AssertionError("the value at the end is not that of the document")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    write = parser.parse_args().write
    found = table()
    print(found)
    if write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(PLACE.sub(lambda _: found, page), encoding="utf-8")


if __name__ == "__main__":
    main()
