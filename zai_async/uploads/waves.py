"""Sound as WAV: its header, and its frames while they come, without I/O.

A WAV is a list of chunks; what counts are ``fmt``, which says what a frame is, and ``data``, which
holds the frames. What writes a WAV into a pipe does not know their number and puts another one.

Source: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html
"""

import struct
from typing import Final, Self

import msgspec

from zai_async.errors import InvalidFileError

__all__ = ["WaveFormat", "WaveReader"]

# What stands before the frames fits into this many bytes, cover pictures included.
_MOST_HEAD: Final = 2**22
_PCM: Final = 1
_EXTENSIBLE: Final = 0xFFFE
# What microphones do is far inside; what lies outside is damaged, or made to exhaust memory.
_RATES: Final = range(1_000, 400_001)
_CHANNELS: Final = range(1, 33)
_WIDTHS: Final = range(1, 5)


class WaveFormat(msgspec.Struct, frozen=True):
    """What the frames of a sound are: PCM, little-endian, unsigned where it has 8 bits."""

    rate: int
    """Frames a second."""
    channels: int = 1
    """Samples in a frame."""
    width: int = 2
    """Bytes of a sample."""

    @property
    def frame(self) -> int:
        """Bytes of a frame."""
        return self.channels * self.width

    @classmethod
    def of(cls, chunk: bytes, name: str) -> Self:
        """Return what the ``fmt`` chunk of a file says; ``name`` is what it is called in errors.

        Raises:
            InvalidFileError: The frames are compressed, damaged, or no whole numbers.
        """
        if len(chunk) < 16:
            raise InvalidFileError(f"{name} does not say what its frames are", limit="type")
        tag, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", chunk)
        # Where there are more than two channels, the tag proper stands at the head of a GUID.
        if tag == _EXTENSIBLE and len(chunk) >= 26:
            (tag,) = struct.unpack_from("<H", chunk, 24)
        if tag != _PCM:
            raise InvalidFileError(
                f"{name} holds compressed sound, or no whole numbers", limit="type"
            )
        # Samples of 12 or 20 bits lie in the upper bits of whole bytes.
        width = frame // channels if channels in _CHANNELS else 0
        if rate not in _RATES or width not in _WIDTHS or width * 8 != bits + -bits % 8:
            text = f"{name} has {channels} channels of {bits} bits at {rate} Hz"
            raise InvalidFileError(f"{text}, which no recording has", limit="type")
        return cls(rate, channels, width)

    def header(self, size: int) -> bytes:
        """Return what comes before this many bytes of frames."""
        rate, frame = self.rate, self.frame
        form = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE")
        facts = (_PCM, self.channels, rate, rate * frame, frame, 8 * self.width)
        return form + struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, *facts, b"data", size)


class WaveReader:
    """Turns the bytes of a WAV into frames while they come.

    Raises:
        InvalidFileError: It is not a WAV of uncompressed sound.
    """

    def __init__(self, name: str) -> None:
        self.format: WaveFormat | None = None
        """What the frames are, known before the first of them."""
        self.size: int | None = None
        """Bytes of all frames, None where the header does not tell."""
        self._name = name
        self._found: WaveFormat | None = None
        self._left: float = 0
        self._head = bytearray()
        self._next = 12  # where the next chunk begins

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of frames among the next bytes of the file."""
        if self._left:
            frames = data[: int(min(self._left, len(data)))]
            self._left -= len(frames)
            return frames
        if self.format is not None:
            return b""  # what follows the frames are titles and the like
        head = self._head
        head += data
        if len(head) > _MOST_HEAD:
            raise self._invalid("holds no sound among its first bytes")
        if len(head) >= 12 and not (head.startswith(b"RIFF") and head.startswith(b"WAVE", 8)):
            raise self._invalid("is no WAV")
        while len(head) >= self._next + 8:
            name, size = struct.unpack_from("<4sI", head, self._next)
            start = self._next + 8
            if name == b"data":
                if self._found is None:
                    raise self._invalid("does not say what its frames are")
                self.format = self._found
                # 0 and the largest numbers stand for a length that was not known.
                known = 0 < size < 2**32 - 2**12
                self.size = size if known else None
                self._left = size if known else float("inf")
                return self.feed(bytes(head[start:]))
            if name == b"fmt ":
                if len(head) < start + size:
                    break
                self._found = WaveFormat.of(bytes(head[start : start + size]), self._name)
            self._next = start + size + size % 2  # chunks begin at even places
        return b""

    def end(self) -> WaveFormat:
        """Take the end of the file, and return what its frames were."""
        if self.format is None:
            raise self._invalid("ends before its sound")
        return self.format

    def _invalid(self, reason: str) -> InvalidFileError:
        return InvalidFileError(f"{self._name} {reason}", limit="type")
