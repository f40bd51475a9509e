"""Reading what a gateway has glued together.

When a backend fails, the gateway of the platform may cut a frame anywhere and let the first frame
of a new generation follow in the same line: ``data: {"id":"1","choi`` + ``data: {"id":"2",...}``.
Whole frames may be glued as well. A frame is always decoded as it stands first, because text may
legally contain ``data: {``; only what cannot be decoded comes here.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

import msgspec

__all__ = ["END_MARK", "Salvaged", "salvage"]

END_MARK = b"[DONE]"

_GLUE = b"data:"
_MOST_SEAMS = 64
_scan = json.JSONDecoder().raw_decode


class Salvaged(NamedTuple):
    """What could be read of a damaged frame."""

    frames: tuple[bytes, ...]
    """Whole frames, in order."""
    lost: bool
    """Whether something before them could not be read."""


def salvage(data: bytes, decodes: Callable[[bytes], object]) -> Salvaged:
    """Cut a frame that cannot be decoded into whole frames; ``decodes`` raises DecodeError."""
    whole = _split(data)
    if whole:
        return Salvaged(whole, lost=False)
    return Salvaged(_suffix(data, decodes), lost=True)


def _split(data: bytes) -> tuple[bytes, ...]:
    """Return the documents that the frame consists of, nothing unless it is all documents."""
    text = data.decode("utf-8", "surrogateescape")
    frames: list[bytes] = []
    while text := text.strip():
        text = text.removeprefix("data:").lstrip()
        if text.startswith("[DONE]"):
            frames.append(END_MARK)
            break
        try:
            end = _scan(text)[1] if text.startswith("{") else 0
        except (ValueError, RecursionError):
            end = 0
        if not end:
            return ()
        frames.append(text[:end].encode("utf-8", "surrogateescape"))
        text = text[end:]
    return tuple(frames)


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
    except msgspec.DecodeError:
        return False
    return True
