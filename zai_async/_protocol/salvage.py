r"""Reading what a gateway has glued together, or a server cut in two.

When a backend fails, the gateway of the platform may cut a frame anywhere and let the first frame
of a new generation follow in the same line: ``data: {"id":"1","choi`` + ``data: {"id":"2",...}``.
Between the two there may be a line end, a comment, or a field. Whole frames may be glued as well.
A frame is always decoded as it stands first, because text may legally contain ``data: {``; only
what cannot be decoded comes here.

Servers that count in UTF-16 may end one event with the first half of an emoji, written as
``\ud83d``, and begin the next one with ``\ude00``. Neither half is a character.
"""

import json
import re
from typing import Final, NamedTuple

__all__ = [
    "END_MARK",
    "Salvaged",
    "SurrogateJoiner",
    "can_belong",
    "documents",
    "is_prose",
    "may_be_frame",
    "salvage",
]

END_MARK: Final = b"[DONE]"

# Where a frame may begin inside of a damaged one: after its field name, or on a line of its own.
_SEAM: Final = re.compile(rb"data:|\n")
_BETWEEN: Final = re.compile(r"\s*(?:data:)?\s*")
_MOST_SEAMS: Final = 64
_MOST_READ: Final = 2**22
# Frames are longer than this, but for a few of them.
_SHORT: Final = 64
_MOST_SHORT: Final = 64
# What stands in the frames of answers and nowhere else.
_PAGE: Final = re.compile(rb"<(?:!doctype|\?xml|html|head|body|title)", re.IGNORECASE)
_FRAME_SIGNS: Final = (b"data:", b'"choices"', b'"delta"', b'"transcript.')
# A field name that was cut, and what may follow it in the same line.
_CUT_FIELD: Final = re.compile(rb"d(?:a(?:ta?)?)?(?:event|id|retry)?(?::|$)")
# A frame up to its id, however early it was cut.
_HEAD: Final = re.compile(rb'\{\s*"id"\s*:\s*"([^"]*)("?)')
_ID: Final = re.compile(r"[\w-]*", re.ASCII)
# Such heads also begin without any seam before them, behind a frame that was cut.
_PARTS: Final = re.compile(rb'data:|\n|(?=\{\s*"id"\s*:)')
_FIELD: Final = b'data: {"id":"'
_scan = json.JSONDecoder().raw_decode
# At the end of a string. It begins with letters, which are looked for several times as fast as what
# may stand anywhere.
_FIRST_HALF: Final = re.compile(rb'\\u[dD][89abAB][0-9a-fA-F]{2}(?=")')
_SECOND_HALF: Final = re.compile(rb'(?<=")(?=\\u[dD][c-fC-F][0-9a-fA-F]{2})')


class Salvaged(NamedTuple):
    """What could be read of a damaged frame."""

    frames: tuple[bytes, ...]
    """Whole frames, in order."""
    lost: bytes
    """What stands before them and could not be read; all of it, where there are none."""


def salvage(data: bytes) -> Salvaged:
    """Cut a frame that cannot be decoded into whole frames."""
    if whole := documents(data):
        return Salvaged(whole, b"")
    left, place = _MOST_READ, 0
    field, line = data.find(b"data:"), data.find(b"\n")
    for _ in range(_MOST_SEAMS):
        # Two searches for plain bytes take a tenth of the time of one for either.
        if field >= 0 and (field < line or line < 0):
            place = field + len(b"data:")
            field = data.find(b"data:", place)
        elif line >= 0:
            place = line + 1
            line = data.find(b"\n", place)
        else:
            break
        # Each try looks at all that follows.
        left -= len(data) - place
        if left < 0:
            break
        if frames := documents(data[place:]):
            return Salvaged(frames, data[:place])
    return Salvaged((), data)


def can_belong(lost: bytes, id: str) -> bool:
    """Tell whether any part of what was lost can be of the generation with this id.

    It cannot if each part begins like a frame and says, as far as it goes, another id, or is a
    proxy's prose.
    """
    parts = [*filter(None, map(bytes.strip, _PARTS.split(lost)))]
    # Nobody writes an excuse and a frame into one event: it is what is left of another line.
    glued = lost.endswith(b"\n") and is_prose(parts[-1] if parts else b"")
    return not parts or glued or any(_can_be_of(part, id) for part in parts)


def _can_be_of(part: bytes, id: str) -> bool:
    # Of a field name that was cut, a comment or a field may be all that is left of its line.
    if _CUT_FIELD.match(part):
        return True
    head = _HEAD.match(part)
    if head is None:
        return not is_prose(part)
    read = head[1].decode(errors="replace")
    if head[2] or not id:
        return not id or read == id
    # Of an id that was cut, what follows may be a comment's.
    return id.startswith(read) or not _ID.fullmatch(read)


def may_be_frame(line: bytes) -> bool:
    """Tell whether a line of no known field is what a cut has left of a frame, or in its place."""
    is_page = _PAGE.match(line) is not None
    return is_page or any(sign in line for sign in _FRAME_SIGNS) or bool(_CUT_FIELD.match(line))


def is_prose(data: bytes) -> bool:
    """Tell whether a text was never meant to be JSON, like the excuse of a proxy."""
    if _FIELD.startswith(data.strip()):
        return False  # the beginning of a frame
    return not any(mark in data for mark in (b"{", b"}", b'"', b"<"))


def documents(data: bytes) -> tuple[bytes, ...]:
    """Return the JSON objects that a text consists of, nothing unless it is all objects."""
    frames: list[bytes] = []
    try:
        text = data.decode().strip()
        place = 0
        while (seam := _BETWEEN.match(text, place)) and (start := seam.end()) < len(text):
            if text.startswith("{", start):
                place = _scan(text, start)[1]
            elif text[start:] == END_MARK.decode():
                place = len(text)
            else:
                return ()
            frames.append(text[start:place].encode())
            if len(frames) > _MOST_SHORT + place // _SHORT:
                return ()  # each of them costs as much as a long one
    except (ValueError, RecursionError):
        return ()
    return tuple(frames)


class SurrogateJoiner:
    """Keeps a first half back until the event with the second one comes."""

    def __init__(self) -> None:
        self._held = b""

    def join(self, data: bytes) -> bytes:
        """Return an event with the half before put in, and a half at its own end taken out."""
        held, self._held = self._held, b""
        if held:
            data = _SECOND_HALF.sub(lambda _: held, data, count=1)
        done = 0
        for first in _FIRST_HALF.finditer(data):
            start, end = first.span()
            before = data[done:start]
            # After an odd number of backslashes, its own is a character.
            if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
                self._held = first[0]
                return data[:start] + data[end:]
            done = end
        return data
