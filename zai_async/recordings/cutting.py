"""Where a long recording is cut: in the quietest moment, so that no word is torn apart. No I/O.

A piece is as long as the platform takes. Only its second half is looked at, for a cut before that
would make more requests: in it, the sound of 0.3 seconds at a time is measured, and the last of
the quiet moments is taken. Quiet is relative, as rooms hum and microphones hiss.
"""

import sys
from array import array
from itertools import accumulate
from math import gcd
from typing import Final

import msgspec

from zai_async.errors import InvalidFileError
from zai_async.uploads.waves import WaveFormat, WaveReader

__all__ = ["Cutter", "Piece"]

_WINDOWS: Final = 50
"""Measurements for each second of sound."""
_QUIET: Final = 15
"""Windows that have to be quiet in a row, or nearly so."""
_NEARLY: Final = 0.05
"""What counts as quiet, as a part of the way from the quietest moment to the loudest."""
_SAMPLES: Final = 8_000
"""Samples of a second that are looked at; speech has little above half of that."""
_SIGNED: Final = bytes(byte ^ 0x80 for byte in range(256))


class Piece(msgspec.Struct, frozen=True):
    """A piece of a recording, as a WAV of its own."""

    number: int
    """0 for the first."""
    start: float
    """Seconds from the beginning of the recording."""
    end: float
    wave: bytes


class Cutter:
    """Cuts a WAV into pieces while its bytes come; together they are all of its frames.

    Args:
        name: What it is called in errors.
        max_seconds: The longest piece.
        max_bytes: The largest piece, its header included.

    Raises:
        InvalidFileError: It is not a WAV of uncompressed sound.
    """

    def __init__(self, name: str, max_seconds: float, max_bytes: int) -> None:
        self._name = name
        self._reader = WaveReader(name)
        self._limits = max_seconds, max_bytes
        self._frames = bytearray()
        self._done = 0
        self._number = 0

    @property
    def seconds(self) -> float | None:
        """How long it plays; None while that is unknown, which is to the end for some."""
        reader = self._reader
        if reader.format is None or reader.size is None:
            return None
        return reader.size / reader.format.frame / reader.format.rate

    def feed(self, data: bytes) -> list[Piece]:
        """Return the pieces that are complete with the next bytes of the file."""
        self._frames += self._reader.feed(data)
        pieces: list[Piece] = []
        if (form := self._reader.format) is not None:
            # A second more than a piece: what is left at the end should not be a single word.
            while self._waiting(form) >= self._most(form) + form.rate:
                pieces.append(self._cut(form))
        return pieces

    def end(self) -> list[Piece]:
        """Return what is left."""
        form = self._reader.end()
        if not self._number and not self._waiting(form):
            raise InvalidFileError(f"{self._name} holds no sound", limit="size")
        pieces: list[Piece] = []
        while self._waiting(form) > self._most(form):
            pieces.append(self._cut(form))
        # There is a rest: a piece is cut while a second more than it takes is there.
        return [*pieces, self._take(form, self._waiting(form))]

    def _waiting(self, form: WaveFormat) -> int:
        return len(self._frames) // form.frame

    def _most(self, form: WaveFormat) -> int:
        """Return the frames of the longest piece."""
        max_seconds, max_bytes = self._limits
        return min(int(max_seconds * form.rate), (max_bytes - len(form.header(0))) // form.frame)

    def _cut(self, form: WaveFormat) -> Piece:
        """Return a piece that ends in a quiet moment."""
        # Where the recording ends soon, half a second of it is left for the last piece.
        most = self._most(form)
        last = min(most, self._waiting(form) - min(form.rate, most) // 2)
        first = last // 2
        with memoryview(self._frames) as view, view[first * form.frame : last * form.frame] as part:
            levels = loudness(part, form)
        sums = [0, *accumulate(levels)]
        width = min(_QUIET, len(levels))
        # The sound of so many windows from each on; the cut is in the middle of them.
        smooth = [after - before for before, after in zip(sums, sums[width:], strict=False)]
        low, high = min(smooth), max(smooth)
        quiet = low + (high - low) * _NEARLY
        place = max(number for number, level in enumerate(smooth) if level <= quiet)
        return self._take(form, first + (2 * place + width) * (form.rate // _WINDOWS) // 2)

    def _take(self, form: WaveFormat, frames: int) -> Piece:
        size = frames * form.frame
        # Counted in frames, as sums of rounded seconds would drift in an hour.
        start, self._done = self._done, self._done + frames
        with memoryview(self._frames) as view:
            wave = form.header(size) + view[:size]
        del self._frames[:size]
        number, self._number = self._number, self._number + 1
        return Piece(number, start / form.rate, self._done / form.rate, wave)


def loudness(frames: memoryview, format: WaveFormat) -> list[int]:
    """Return how loud each fiftieth of a second is, in units of no meaning."""
    width = format.width
    # The two bytes of each sample that say most; a sample of one byte has no sign.
    high, top = bytearray(len(frames) // width * 2), sys.byteorder == "little"
    if width == 1:
        high[top::2] = bytes(frames).translate(_SIGNED)
    else:
        high[not top :: 2], high[top::2] = frames[width - 2 :: width], frames[width - 1 :: width]
    samples = array("h", bytes(high))
    window = format.rate // _WINDOWS * format.channels
    # Some of the samples tell as much as all, if all channels are among them.
    step = max(1, format.rate * format.channels // _SAMPLES)
    while gcd(step, format.channels) != 1:
        step += 1
    starts = range(0, len(samples) - window + 1, window)
    return [sum(map(abs, samples[start : start + window : step])) for start in starts]
