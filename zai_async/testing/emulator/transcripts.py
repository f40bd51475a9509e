"""The forms of a transcript: the platform's, and those of ``response_format``.

Z.AI documents one form. LowCodeAPI documents ``response_format`` with the values of OpenAI's
transcriptions, and other servers behind the same path take it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from zai_async.testing.emulator.requests import Json

TranscriptFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]

TEXT_TYPE = "text/plain; charset=utf-8"

_SENTENCE = re.compile(r"[^.!?]+[.!?]*\s*")
_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class _Segment:
    start: float
    end: float
    text: str


def _segments(text: str, seconds: float) -> Iterator[_Segment]:
    """Spread sentences over the recording, each for as long as it is part of the text."""
    done = 0
    for sentence in _SENTENCE.findall(text):
        start, done = done, done + len(sentence)
        scale = seconds / len(text)
        yield _Segment(round(start * scale, 3), round(done * scale, 3), sentence.strip())


def subtitles(text: str, seconds: float, kind: Literal["srt", "vtt"]) -> str:
    """Write numbered cues (SubRip), or the same for browsers (WebVTT)."""
    # They differ in the head, in the numbers, and in the mark before the milliseconds.
    point = "," if kind == "srt" else "."
    cues = ["WEBVTT"] if kind == "vtt" else []
    for number, segment in enumerate(_segments(text, seconds), 1):
        times = " --> ".join(clock(moment, point) for moment in (segment.start, segment.end))
        head = f"{number}\n" if kind == "srt" else ""
        cues.append(f"{head}{times}\n{segment.text}")
    return "\n\n".join(cues) + "\n"


def clock(seconds: float, point: str) -> str:
    """Write a moment as ``00:01:02.345``."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}{point}{milliseconds:03}"


def verbose(text: str, seconds: float) -> Json:
    """Return what ``verbose_json`` adds: the language, the length and the segments."""
    segments = [
        {"id": index, "start": segment.start, "end": segment.end, "text": segment.text}
        for index, segment in enumerate(_segments(text, seconds))
    ]
    # The name of the language, as OpenAI's transcriptions have it, not its code.
    language = "chinese" if _HAN.search(text) else "english"
    return {
        "task": "transcribe",
        "language": language,
        "duration": seconds,
        "text": text,
        "segments": segments,
    }
