"""PNG pictures (https://www.w3.org/TR/png-3/) of any size, made in no time."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

_MAGIC = b"\x89PNG\r\n\x1a\n"
_LEVELS = 256


def png(width: int, height: int, color: int) -> bytes:
    """Draw a gradient: red grows to the right, green downwards; blue is ``color`` (0-255)."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    data = zlib.compress(_rows(width, height, color), level=1)
    return _MAGIC + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _rows(width: int, height: int, color: int) -> bytes:
    """Write differences, to the pixel on the left in the first row, then to the row above."""
    right = b"".join(bytes([step, 0, 0]) for step in _steps(width))
    first = b"\1" + bytes([0, 0, color]) + right
    rows = [b"\2" + bytes([0, step, 0]) * width for step in _steps(height)]
    return first + b"".join(rows)


def _steps(length: int) -> list[int]:
    """Spread the 255 steps of a channel over a side."""
    levels = [place * (_LEVELS - 1) // max(1, length - 1) for place in range(length)]
    return [after - before for before, after in pairwise(levels)]


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
