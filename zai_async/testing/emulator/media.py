"""Pictures, films, papers and sound, made in no time: what results point to, and what is spoken.

Pictures, films and papers are made from their address when they are fetched. Like the
platform's storage this asks for no key. Whether a client sent one all the same is to be seen in
``emulator.requests``: the operation is called ``cdn``, and ``headers`` are recorded.
"""

from __future__ import annotations

import io
import math
import re
import struct
import wave
import zlib
from hashlib import sha256
from itertools import pairwise

from zai_async.testing.emulator.operation import OperationCall, Route
from zai_async.testing.emulator.reply import HTML_TYPE, PAGE, PlannedReply

Seen = tuple[int, int]
"""Width and height in pixels."""

_PICTURE = re.compile(r"([0-9a-f]{64})-(\d{1,4})x(\d{1,4})\.png")
_PAPER = re.compile(r"[0-9a-f]{64}\.pdf")
_PDF = (
    b"%PDF-1.4\n"
    b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 960 540]>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)
_FILM = re.compile(r"([0-9a-f]{64})-(\d{1,3})s\.mp4")


def picture_link(call: OperationCall, prompt: str, size: Seen) -> str:
    """Give the address of a picture."""
    return call.link(f"cdn/{_digest(prompt)}-{size[0]}x{size[1]}.png")


def film_link(call: OperationCall, prompt: str, seconds: int) -> str:
    """Give the address of a film."""
    return call.link(f"cdn/{_digest(prompt)}-{seconds}s.mp4")


def paper_link(call: OperationCall, title: str) -> str:
    """Give the address of a PDF."""
    return call.link(f"cdn/{_digest(title)}.pdf")


def _digest(prompt: str) -> str:
    return sha256(prompt.encode(errors="surrogatepass")).hexdigest()


class CdnHandlers:
    """Serve pictures (PNG), films (MP4) and papers (an empty page as PDF)."""

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
        return [Route("cdn", "GET", "/cdn/{name}", self.fetch, access="open")]

    def fetch(self, call: OperationCall) -> PlannedReply:
        """Answer with the bytes."""
        name = call.parameters["name"]
        if match := _PICTURE.fullmatch(name):
            digest, width, height = match.groups()
            return call.data(png(int(width) or 1, int(height) or 1, _color(digest)), "image/png")
        if match := _FILM.fullmatch(name):
            digest, seconds = match.groups()
            return call.data(mp4(int(seconds), _color(digest)), "video/mp4")
        if _PAPER.fullmatch(name):
            return call.data(_PDF, "application/pdf")
        page = PAGE % (404, 404)
        return PlannedReply(pieces=(page,), log_id=call.id, status=404, content_type=HTML_TYPE)


def _color(digest: str) -> int:
    return int(digest[:2], 16)


# Pictures: PNG (https://www.w3.org/TR/png-3/) of any size

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


# Films: MP4 (ISO/IEC 14496-12) with one track that shows one picture

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_SCALE = 1000  # units per second


def mp4(seconds: int, color: int) -> bytes:
    """Write a video that shows one picture for some seconds; any player plays it."""
    frame = _key_frame(color)
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
    sides = struct.pack(">2I", _SIDE << 16, _SIDE << 16)
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
    sides = struct.pack(">2H", _SIDE, _SIDE)
    resolution = struct.pack(">2I4xH", 0x480000, 0x480000, 1)  # 72 dpi, one frame per sample
    depth = struct.pack(">32xHh", 24, -1)
    return _box(b"avc1", struct.pack(">6xH16x", 1), sides, resolution, depth, _configuration())


def _configuration() -> bytes:
    sequence, picture = _sequence_set(), _picture_set()
    head = b"\1" + sequence[1:4] + b"\xff\xe1"  # version, profile, lengths of four bytes, one set
    sets = struct.pack(">H", len(sequence)) + sequence + b"\1" + struct.pack(">H", len(picture))
    return _box(b"avcC", head, sets, picture)


# That picture: H.264 (ITU-T H.264, baseline) in uncoded macroblocks, so nothing needs an encoder

_SIDE = 64  # pixels; four macroblocks
_BLOCKS = _SIDE // 16
_PCM = 25  # mb_type I_PCM


def _ue(value: int) -> str:
    """Write an unsigned number as an Exp-Golomb code (section 9.1)."""
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _bytes(bits: str) -> bytes:
    """Fill up the last byte with zeros."""
    size = -(-len(bits) // 8)
    return int(bits.ljust(size * 8, "0"), 2).to_bytes(size, "big")


def _sequence_set() -> bytes:
    """Give the sequence parameter set (section 7.3.2.1): 64 x 64 pixels, profile 66, level 1.0."""
    numbers = _ue(0) + _ue(0) + _ue(2) + _ue(0)  # id, frame_num bits, order by decoding, references
    size = "0" + _ue(_BLOCKS - 1) * 2
    return bytes([0x67, 66, 0xC0, 10]) + _bytes(numbers + size + "1000" + "1")


def _picture_set() -> bytes:
    """Give the picture parameter set (section 7.3.2.2)."""
    return b"\x68" + _bytes(_ue(0) * 2 + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "000" + "1")


def _key_frame(color: int) -> bytes:
    """Give one key frame: brightness grows to the lower right, ``color`` (0-255) tints it.

    Samples stay within 16-235, so that no start code can appear among them.
    """
    tint = 16 + color * 219 // 255
    blocks = [_block(16 + 31 * (row + column), tint) for row, column in _places()]
    return b"\x65" + _bytes(_slice_header() + _ue(_PCM)) + _bytes(_ue(_PCM)).join(blocks) + b"\x80"


def _slice_header() -> str:
    """Write the slice header (section 7.3.3): first block, type I, sets, frame, marking, QP."""
    return _ue(0) + _ue(7) + _ue(0) + "0000" + _ue(0) + "00" + _ue(0)


def _places() -> list[tuple[int, int]]:
    return [(row, column) for row in range(_BLOCKS) for column in range(_BLOCKS)]


def _block(brightness: int, tint: int) -> bytes:
    return bytes([brightness]) * 256 + bytes([tint]) * 64 + bytes([128]) * 64


# Sound: sine waves of 24 kHz, 16 bit, one channel, as samples and as WAV files

RATE = 24_000
_PITCH = 400  # Hz; divides the rate, so that one wave can be repeated
_LOUDNESS = 6_000  # of 32 767
_WAVE = [math.sin(2 * math.pi * place * _PITCH / RATE) for place in range(RATE // _PITCH)]


def pcm(seconds: float, volume: float = 1.0) -> bytes:
    """Give samples, little-endian; ``volume`` 1 is about a fifth of the loudest possible."""
    height = min(32_767.0, _LOUDNESS * volume)
    samples = struct.pack(f"<{len(_WAVE)}h", *(round(height * value) for value in _WAVE))
    return samples * max(1, round(seconds * _PITCH))


def wav(samples: bytes) -> bytes:
    """Wrap samples into a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples)
    return file.getvalue()


def wav_seconds(data: bytes) -> float | None:
    """Measure a WAV file; ``None`` for anything else."""
    try:
        with wave.open(io.BytesIO(data)) as reader:
            return float(reader.getnframes() / reader.getframerate())
    except (wave.Error, EOFError):
        return None
