"""Videos: MP4 (ISO/IEC 14496-12) with one track that shows one image.

The image is H.264 (ITU-T H.264, baseline) in uncoded macroblocks, so nothing needs an encoder.
"""

from __future__ import annotations

import struct

_SIDE = 64  # pixels; four macroblocks
_BLOCKS = _SIDE // 16
_PCM = 25  # mb_type I_PCM: samples as they are

# The identity: the picture is shown as it is.
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_SCALE = 1000  # units per second


def mp4(seconds: int, color: int) -> bytes:
    """Write a video that shows one picture for some seconds; any player plays it."""
    frame = key_frame(color)
    sample = struct.pack(">I", len(frame)) + frame
    kind = _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
    length = seconds * _SCALE
    # The movie box names the place of the sample behind it, and has the same size for any place.
    offset = len(kind) + len(movie_box(length, len(sample), 0)) + 8
    return kind + movie_box(length, len(sample), offset) + _box(b"mdat", sample)


def movie_box(length: int, size: int, offset: int) -> bytes:
    """Describe one track with one sample of ``size`` bytes at ``offset`` (section 8)."""
    sides = struct.pack(">2H", _SIDE, _SIDE)
    resolution = struct.pack(">2I4xH", 0x480000, 0x480000, 1)  # 72 dpi, one frame per sample
    depth = struct.pack(">32xHh", 24, -1)
    sequence, picture = parameter_sets()
    configuration = _box(
        b"avcC",
        b"\1" + sequence[1:4] + b"\xff\xe1",  # version, profile, lengths of four bytes, one set
        struct.pack(">H", len(sequence)) + sequence,
        b"\1" + struct.pack(">H", len(picture)) + picture,
    )
    entry = _box(b"avc1", struct.pack(">6xH16x", 1), sides, resolution, depth, configuration)
    samples = _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", 1), entry),
        _full(b"stts", 0, struct.pack(">3I", 1, 1, length)),
        _full(b"stsc", 0, struct.pack(">4I", 1, 1, 1, 1)),
        _full(b"stsz", 0, struct.pack(">3I", 0, 1, size)),
        _full(b"stco", 0, struct.pack(">2I", 1, offset)),
    )

    language = struct.pack(">2H", 0x55C4, 0)  # "und"
    place = _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1))  # in this very file
    media = _box(
        b"mdia",
        _full(b"mdhd", 0, struct.pack(">4I", 0, 0, _SCALE, length), language),
        _full(b"hdlr", 0, bytes(4), b"vide", bytes(12), b"video\0"),
        _box(b"minf", _full(b"vmhd", 1, bytes(8)), _box(b"dinf", place), samples),
    )

    numbers = struct.pack(">5I16x", 0, 0, 1, 0, length)
    shown = struct.pack(">2I", _SIDE << 16, _SIDE << 16)
    track = _box(b"trak", _full(b"tkhd", 3, numbers, _MATRIX, shown), media)
    times = struct.pack(">4I", 0, 0, _SCALE, length)
    rates = struct.pack(">IH10x", 0x10000, 0x100)  # normal speed, full volume
    header = _full(b"mvhd", 0, times, rates, _MATRIX, bytes(24), struct.pack(">I", 2))
    return _box(b"moov", header, track)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def _full(kind: bytes, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)


def parameter_sets() -> tuple[bytes, bytes]:
    """Write the sequence and picture parameter sets: 64 x 64 pixels, profile 66, level 1.0."""
    # 7.3.2.1: id, frame_num bits, order by decoding, references; size in macroblocks; flags
    numbers = _ue(0) + _ue(0) + _ue(2) + _ue(0)
    size = "0" + _ue(_BLOCKS - 1) * 2
    sequence = bytes([0x67, 66, 0xC0, 10]) + _bytes(numbers + size + "1000" + "1")
    # 7.3.2.2: all defaults
    picture = b"\x68" + _bytes(_ue(0) * 2 + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "000" + "1")
    return sequence, picture


def key_frame(color: int) -> bytes:
    """Write one key frame: brightness grows to the lower right, ``color`` (0-255) tints it."""
    # Samples stay within 16-235, so that no start code (00 00 01) can appear among them.
    tint = 16 + color * 219 // 255
    blocks = [
        bytes([16 + 31 * (row + column)]) * 256 + bytes([tint]) * 64 + bytes([128]) * 64
        for row in range(_BLOCKS)
        for column in range(_BLOCKS)
    ]
    # 7.3.3, the slice header: first block, type I, sets, frame, marking, QP
    header = _ue(0) + _ue(7) + _ue(0) + "0000" + _ue(0) + "00" + _ue(0)
    return b"\x65" + _bytes(header + _ue(_PCM)) + _bytes(_ue(_PCM)).join(blocks) + b"\x80"


def _ue(value: int) -> str:
    # an unsigned number as an Exp-Golomb code (section 9.1)
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _bytes(bits: str) -> bytes:
    size = -(-len(bits) // 8)  # zeros fill up the last byte
    return int(bits.ljust(size * 8, "0"), 2).to_bytes(size, "big")
