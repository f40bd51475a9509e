r"""Reading what a gateway has glued together, or a server cut in two.

When a backend fails, the gateway of the platform may cut a frame anywhere and let the first frame
of a new generation follow in the same line: ``data: {"id":"1","choi`` + ``data: {"id":"2",...}``.
Whole frames may be glued as well. A frame is always decoded as it stands first, because text may
legally contain ``data: {``; only what cannot be decoded comes here.

Servers that count in UTF-16 may end one event with the first half of an emoji, written as
``\ud83d``, and begin the next one with ``\ude00``. Neither half is a character.
"""

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

__all__ = ["END_MARK", "Halves", "Salvaged", "belongs_to", "salvage"]

END_MARK = b"[DONE]"

_GLUE = b"data:"
_SEAM = re.compile(r"\s*(?:data:)?\s*")
_LAST = END_MARK.decode()
_MOST_SEAMS = 64
_BEGINNING = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"]*)("?)')
_scan = json.JSONDecoder().raw_decode
# At the end of a string, and not after an odd number of backslashes.
_FIRST: Final = re.compile(rb'(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})(?=")')
_SECOND: Final = re.compile(rb'(?<=")(?=\\u[dD][c-fC-F][0-9a-fA-F]{2})')


class Salvaged(NamedTuple):
    """What could be read of a damaged frame."""

    frames: tuple[bytes, ...]
    """Whole frames, in order."""
    lost: bool
    """Whether something before them could not be read."""


def salvage(data: bytes, decodes: Callable[[bytes], object]) -> Salvaged:
    """Cut a frame that cannot be decoded into whole frames; ``decodes`` is msgspec's."""
    whole = _split(data)
    if whole:
        return Salvaged(whole, lost=False)
    return Salvaged(_suffix(data, decodes), lost=True)


def belongs_to(lost: bytes, id: str) -> bool:
    """Tell whether a part that was lost was one of the answer with this id.

    Without any id there is but one answer to belong to.
    """
    found = [*filter(None, map(_BEGINNING.match, lost.split(_GLUE)))]
    return any(_has(beginning, id) for beginning in found) if found else not id


def _has(beginning: re.Match[bytes], id: str) -> bool:
    """Tell whether a frame has this id; of one that is cut, half says little: it is the time."""
    read = beginning[1].decode(errors="replace")
    return read == id if beginning[2] else id.startswith(read) and 2 * len(read) > len(id)


def _split(data: bytes) -> tuple[bytes, ...]:
    """Return the documents that the frame consists of, nothing unless it is all documents."""
    frames: list[bytes] = []
    try:
        text = data.decode().strip()
        place = 0
        while (seam := _SEAM.match(text, place)) and (start := seam.end()) < len(text):
            place = _end(text, start)
            frames.append(text[start:place].encode())
    except (ValueError, RecursionError):
        return ()
    return tuple(frames)


def _end(text: str, place: int) -> int:
    """Return the end of the document that begins here; raise ValueError if none does."""
    if text.startswith("{", place):
        return _scan(text, place)[1]
    if text.endswith(_LAST) and place == len(text) - len(_LAST):
        return len(text)
    raise ValueError("neither an object nor the end mark")


def _suffix(data: bytes, decodes: Callable[[bytes], object]) -> tuple[bytes, ...]:
    """Return the first suffix that is a whole frame, or several."""
    start = data.find(_GLUE)
    for _ in range(_MOST_SEAMS):
        if start < 0:
            break
        tail = data[start + len(_GLUE) :].strip()
        if tail.startswith(b"{") and _is_whole(tail, decodes):
            return (tail,)
        if frames := _split(tail):
            return frames
        start = data.find(_GLUE, start + 1)
    return ()


def _is_whole(frame: bytes, decodes: Callable[[bytes], object]) -> bool:
    try:
        decodes(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


class Halves:
    """Keeps a first half back until the event with the second one comes."""

    def __init__(self) -> None:
        self._held = b""

    def join(self, data: bytes) -> bytes:
        """Return an event with the half before put in, and a half at its own end taken out."""
        held, self._held = self._held, b""
        if held:
            data = _SECOND.sub(lambda _: held, data, count=1)
        first = _FIRST.search(data)
        if first is None:
            return data
        self._held = first[1]
        return data[: first.start(1)] + data[first.end(1) :]
