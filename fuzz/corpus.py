"""The inputs that have shown something: a text file for each target, one bytes literal a line."""

import hashlib
from ast import literal_eval
from collections.abc import Iterable
from pathlib import Path

__all__ = ["load", "save", "unpack"]

FOLDER = Path(__file__).parents[1] / "tests" / "fuzz_corpus"


def load(target: str) -> list[bytes]:
    lines = (FOLDER / f"{target}.txt").read_text("ascii").splitlines()
    return [literal_eval(line) for line in lines]


def save(target: str, inputs: Iterable[bytes]) -> None:
    lines = [f"{data!r}\n" for data in sorted(set(inputs), key=lambda data: (len(data), data))]
    (FOLDER / f"{target}.txt").write_text("".join(lines), "ascii")


def unpack(target: str, folder: Path) -> None:
    """Write each input to a file of its own, as libFuzzer wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in load(target):
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
