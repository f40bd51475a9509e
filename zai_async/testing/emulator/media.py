"""Images, videos, PDFs and sound, made in no time: what results point to, and what is spoken.

Images, videos and PDFs are made from their address when they are fetched. Like the
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

from zai_async.testing.emulator.mp4 import mp4
from zai_async.testing.emulator.operation import OperationCall, Route
from zai_async.testing.emulator.reply import HTML_TYPE, PAGE, PlannedReply

PixelSize = tuple[int, int]
"""Width and height in pixels."""

_MAX_PIXELS = 2**22  # 2048 x 2048
_DIGEST = re.compile(r"[0-9a-f]{64}")
_IMAGE = re.compile(r"[0-9a-f]{64}-(\d{1,4})x(\d{1,4})\.png")
_PDF_NAME = re.compile(r"[0-9a-f]{64}\.pdf")
# The smallest file that readers open: one empty page, without a table of objects.
_PDF = (
    b"%PDF-1.4\n"
    b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 960 540]>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)
_VIDEO = re.compile(r"[0-9a-f]{64}-(\d{1,3})s\.mp4")


def image_link(call: OperationCall, prompt: str, size: PixelSize) -> str:
    """Return the address of an image."""
    return call.link(f"cdn/{_digest(prompt)}-{size[0]}x{size[1]}.png")


def video_link(call: OperationCall, prompt: str, seconds: int) -> str:
    """Return the address of a video."""
    return call.link(f"cdn/{_digest(prompt)}-{seconds}s.mp4")


def pdf_link(call: OperationCall, title: str) -> str:
    """Return the address of a PDF."""
    return call.link(f"cdn/{_digest(title)}.pdf")


def _digest(prompt: str) -> str:
    return sha256(prompt.encode(errors="surrogatepass")).hexdigest()


class CdnHandlers:
    """Serve images (PNG), videos (MP4) and PDFs (an empty page as PDF)."""

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        return [Route("cdn", "GET", "/cdn/{name}", self.fetch, access="open")]

    def fetch(self, call: OperationCall) -> PlannedReply:
        """Answer with the bytes."""
        name = call.parameters["name"]
        color = int(name[:2], 16) if _DIGEST.match(name) else 0
        if match := _IMAGE.fullmatch(name):
            width, height = (max(1, int(side)) for side in match.groups())
            # Whoever writes the address chooses the size; the emulator itself offers no larger.
            if width * height <= _MAX_PIXELS:
                return call.data(png(width, height, color), "image/png")
        # The length is part of the name, so that a video need not be kept.
        if match := _VIDEO.fullmatch(name):
            return call.data(mp4(int(match[1]), color), "video/mp4")
        if _PDF_NAME.fullmatch(name):
            return call.data(_PDF, "application/pdf")
        page = PAGE % (404, 404)
        return PlannedReply(pieces=(page,), log_id=call.id, status=404, content_type=HTML_TYPE)


# Images: PNG (https://www.w3.org/TR/png-3/) of any size

_MAGIC = b"\x89PNG\r\n\x1a\n"
_LEVELS = 256


def png(width: int, height: int, color: int) -> bytes:
    """Draw a gradient: red grows to the right, green downwards; blue is ``color`` (0-255)."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    # Rows hold differences (filters 1 and 2): to the pixel on the left in the first row, then to
    # the row above. They are short to write and compress to nothing.
    right = b"".join(bytes([step, 0, 0]) for step in _steps(width))
    first = b"\1" + bytes([0, 0, color]) + right
    rows = [b"\2" + bytes([0, step, 0]) * width for step in _steps(height)]
    data = zlib.compress(first + b"".join(rows), level=1)
    return _MAGIC + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


# 255 steps over any number of pixels: some steps are 0, some more than 1.
def _steps(length: int) -> list[int]:
    """Spread the 255 steps of a channel over a side."""
    levels = [place * (_LEVELS - 1) // max(1, length - 1) for place in range(length)]
    return [after - before for before, after in pairwise(levels)]


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


# Sound: sine waves of 24 kHz, 16 bit, one channel, as samples and as WAV files

RATE = 24_000
_PITCH = 400  # Hz; divides the rate, so that one wave can be repeated
_LOUDNESS = 6_000  # of 32 767
_WAVE = [math.sin(2 * math.pi * place * _PITCH / RATE) for place in range(RATE // _PITCH)]


def pcm(seconds: float, volume: float = 1.0) -> bytes:
    """Return samples, little-endian; ``volume`` 1 is about a fifth of the loudest possible."""
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
    except (wave.Error, EOFError, ZeroDivisionError, struct.error):
        return None  # among them a header that promises no samples per second
