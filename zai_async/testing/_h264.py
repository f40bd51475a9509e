"""One H.264 picture (ITU-T H.264, baseline): uncoded macroblocks, so nothing needs an encoder."""

from __future__ import annotations

SIDE = 64  # pixels; four macroblocks
_BLOCKS = SIDE // 16
_PCM = 25  # mb_type I_PCM


def _ue(value: int) -> str:
    """Write an unsigned number as an Exp-Golomb code (section 9.1)."""
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _bytes(bits: str) -> bytes:
    """Fill up the last byte with zeros."""
    size = -(-len(bits) // 8)
    return int(bits.ljust(size * 8, "0"), 2).to_bytes(size, "big")


def sequence() -> bytes:
    """Give the sequence parameter set (section 7.3.2.1): 64 x 64 pixels, profile 66, level 1.0."""
    numbers = _ue(0) + _ue(0) + _ue(2) + _ue(0)  # id, frame_num bits, order by decoding, references
    size = "0" + _ue(_BLOCKS - 1) * 2
    return bytes([0x67, 66, 0xC0, 10]) + _bytes(numbers + size + "1000" + "1")


def picture() -> bytes:
    """Give the picture parameter set (section 7.3.2.2)."""
    return b"\x68" + _bytes(_ue(0) * 2 + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "000" + "1")


def frame(color: int) -> bytes:
    """Give one key frame: brightness grows to the lower right, ``color`` (0-255) tints it.

    Samples stay within 16-235, so that no start code can appear among them.
    """
    tint = 16 + color * 219 // 255
    blocks = [_block(16 + 31 * (row + column), tint) for row, column in _places()]
    return b"\x65" + _bytes(_slice() + _ue(_PCM)) + _bytes(_ue(_PCM)).join(blocks) + b"\x80"


def _slice() -> str:
    """Write the slice header (section 7.3.3): first block, type I, sets, frame, marking, QP."""
    return _ue(0) + _ue(7) + _ue(0) + "0000" + _ue(0) + "00" + _ue(0)


def _places() -> list[tuple[int, int]]:
    return [(row, column) for row in range(_BLOCKS) for column in range(_BLOCKS)]


def _block(brightness: int, tint: int) -> bytes:
    return bytes([brightness]) * 256 + bytes([tint]) * 64 + bytes([128]) * 64
