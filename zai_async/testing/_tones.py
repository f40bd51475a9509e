"""Sound: sine waves of 24 kHz, 16 bit, one channel, as samples and as WAV files."""

from __future__ import annotations

import io
import math
import struct
import wave

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
