"""How much a JSON text holds, counted before it is decoded.

Decoding cannot be interrupted, wherever it is done, and a text of nothing but tiny objects takes a
hundred times as long as a string of the same size. So what is large is counted first, a slice at a
time, in units of what a number takes: a tenth of a microsecond.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

__all__ = [
    "LARGE",
    "MOST_AT_ONCE",
    "ValueCounter",
    "counted_values",
    "has_more_values",
    "require_decodable",
]

LARGE: Final = 2**15
"""What a smaller text holds takes no time worth counting."""
MOST_AT_ONCE: Final = 2**17
"""So many values may be decoded between two turns of the loop."""
# No model has the tokens for a text of more.
_MOST_OF_A_MODEL: Final = 2**18
_SLICE: Final = 2**16
_BACKSLASH: Final = 92
# One for each list and field, and for what follows another one. An object takes as long as 25
# values: it may become a struct with all its defaults.
_SIGNS: Final = {ord("{"): 25, ord("["): 1, ord(":"): 1, ord(","): 1}
# What else takes as long as a value.
_ESCAPES, _CODES, _LETTERS, _BYTES = 16, 2, 64, 160


class ValueCounter:
    r"""Counts the values of a JSON text that comes in pieces, a field being two of them.

    What takes longer counts as more: an object as 25, and what surrounds texts or is written in
    them as ``\uXXXX``, with another escape, beyond ASCII or at all as much as the constants say.
    """

    __slots__ = ("_bytes", "_codes", "_escapes", "_inside", "_letters", "_rest", "_signs")

    def __init__(self) -> None:
        self._signs = self._escapes = self._codes = self._letters = self._bytes = 0
        self._inside, self._rest = False, b""

    def count(self, text: bytes) -> Iterator[int]:
        """Yield after each slice of the next piece how much has come so far."""
        for start in range(0, len(text), _SLICE):
            piece = self._rest + text[start : start + _SLICE]
            if piece.isascii():
                self._bytes += len(piece)
            else:
                self._letters += len(piece)
            parts = self._without_escapes(piece).split(b'"')
            outside = b"".join(parts[self._inside :: 2])
            self._inside ^= len(parts) % 2 == 0
            # To look for a byte takes a fortieth of the time of counting it, or less.
            for sign, weight in _SIGNS.items():
                if sign in outside:
                    self._signs += weight * outside.count(sign)
            self._letters += len(outside)  # blanks and digits are looked at one by one
            yield (
                self._signs
                + self._escapes // _ESCAPES
                + self._codes // _CODES
                + self._letters // _LETTERS
                + self._bytes // _BYTES
            )

    def _without_escapes(self, piece: bytes) -> bytes:
        """Count the escapes, and drop them: each quote is the beginning or the end of a string."""
        self._rest = b""
        if _BACKSLASH not in piece:
            return piece
        size = len(piece)
        # Pairs of backslashes first: what is left of a run of them belongs to what follows, in the
        # next slice perhaps.
        piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        rest = self._rest = b"\\" if piece.endswith(b"\\") else b""
        self._escapes += (size - len(piece)) // 2 + piece.count(b"\\") - len(rest)
        self._codes += piece.count(b"\\u")
        return piece.removesuffix(rest)


def counted_values(text: bytes) -> Iterator[int]:
    """Yield after each slice how many values the text holds so far, as a counter does."""
    return ValueCounter().count(text)


def has_more_values(text: bytes, most: int) -> bool:
    """Tell whether a text holds more than so many values."""
    return len(text) > LARGE and any(count > most for count in counted_values(text))


def require_decodable(text: str | bytes) -> None:
    """Refuse what a model is said to have written if decoding it would stop the loop.

    Raises:
        msgspec.DecodeError: It holds more values than any model could have written.
    """
    data = text if isinstance(text, bytes) else text.encode(errors="replace")
    if has_more_values(data, _MOST_OF_A_MODEL):
        raise msgspec.DecodeError(f"it holds more than {_MOST_OF_A_MODEL} values")
