"""An MP4 file (ISO/IEC 14496-12) with one track that shows one picture."""

from __future__ import annotations

import struct

from zai_async.testing import _h264 as h264

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_SCALE = 1000  # units per second


def mp4(seconds: int, color: int) -> bytes:
    """Write a video that shows one picture for some seconds; any player plays it."""
    frame = h264.frame(color)
    sample = struct.pack(">I", len(frame)) + frame
    kind = _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
    length = seconds * _SCALE
    offset = len(kind) + len(_movie(length, len(sample), 0)) + 8
    return kind + _movie(length, len(sample), offset) + _box(b"mdat", sample)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def _full(kind: bytes, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)


def _movie(length: int, size: int, offset: int) -> bytes:
    times = struct.pack(">4I", 0, 0, _SCALE, length)
    rates = struct.pack(">IH10x", 0x10000, 0x100)  # normal speed, full volume
    header = _full(b"mvhd", 0, times, rates, _MATRIX, bytes(24), struct.pack(">I", 2))
    return _box(b"moov", header, _track(length, size, offset))


def _track(length: int, size: int, offset: int) -> bytes:
    numbers = struct.pack(">5I16x", 0, 0, 1, 0, length)
    sides = struct.pack(">2I", h264.SIDE << 16, h264.SIDE << 16)
    header = _full(b"tkhd", 3, numbers, _MATRIX, sides)
    return _box(b"trak", header, _media(length, size, offset))


def _media(length: int, size: int, offset: int) -> bytes:
    language = struct.pack(">2H", 0x55C4, 0)  # "und"
    header = _full(b"mdhd", 0, struct.pack(">4I", 0, 0, _SCALE, length), language)
    handler = _full(b"hdlr", 0, bytes(4), b"vide", bytes(12), b"video\0")
    here = _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1))
    information = (_full(b"vmhd", 1, bytes(8)), _box(b"dinf", here), _samples(length, size, offset))
    return _box(b"mdia", header, handler, _box(b"minf", *information))


def _samples(length: int, size: int, offset: int) -> bytes:
    return _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", 1), _entry()),
        _full(b"stts", 0, struct.pack(">3I", 1, 1, length)),
        _full(b"stsc", 0, struct.pack(">4I", 1, 1, 1, 1)),
        _full(b"stsz", 0, struct.pack(">3I", 0, 1, size)),
        _full(b"stco", 0, struct.pack(">2I", 1, offset)),
    )


def _entry() -> bytes:
    sides = struct.pack(">2H", h264.SIDE, h264.SIDE)
    resolution = struct.pack(">2I4xH", 0x480000, 0x480000, 1)  # 72 dpi, one frame per sample
    depth = struct.pack(">32xHh", 24, -1)
    return _box(b"avc1", struct.pack(">6xH16x", 1), sides, resolution, depth, _configuration())


def _configuration() -> bytes:
    sequence, picture = h264.sequence(), h264.picture()
    head = b"\1" + sequence[1:4] + b"\xff\xe1"  # version, profile, lengths of four bytes, one set
    sets = struct.pack(">H", len(sequence)) + sequence + b"\1" + struct.pack(">H", len(picture))
    return _box(b"avcC", head, sets, picture)
