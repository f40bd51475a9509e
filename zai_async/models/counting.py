"""How much a JSON text holds, counted before it is decoded.

Decoding cannot be interrupted, and a text of nothing but tiny objects takes a hundred times as
long as a string of the same size. So what is large is counted first, a slice at a time.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

__all__ = ["LARGE", "MOST_AT_ONCE", "counted_values", "has_more_values", "require_decodable"]

LARGE: Final = 2**17
"""What a smaller text holds takes no time worth counting."""
MOST_AT_ONCE: Final = 2**15
"""So many values may be decoded between two turns of the loop."""
# No model has the tokens for a text of more.
_MOST_OF_A_MODEL: Final = 2**18
_SLICE: Final = 2**16
# One for each object, list and field, and for what follows another one.
_SIGNS: Final = b"{[:,"


def counted_values(text: bytes) -> Iterator[int]:
    """Yield after each slice how many values the text holds so far, a field being two of them."""
    count, inside, rest = 0, False, b""
    for start in range(0, len(text), _SLICE):
        piece = rest + text[start : start + _SLICE]
        # Escapes go, so that a quote is the beginning or the end of a string. Pairs of backslashes
        # first: what is left of a run of them belongs to what follows, in the next slice perhaps.
        piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        rest = b"\\" if piece.endswith(b"\\") else b""
        parts = piece.removesuffix(rest).split(b'"')
        outside = b"".join(parts[inside::2])
        inside ^= len(parts) % 2 == 0
        count += len(outside) - len(outside.translate(None, _SIGNS))
        yield count


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
