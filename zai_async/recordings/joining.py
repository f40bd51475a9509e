"""What was heard in the parts of a recording, as if it had been transcribed whole."""

import re
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from zai_async.models import TranscribedPart, Transcription, TranscriptionSegment

__all__ = ["joined", "separator"]

# Chinese and Japanese put no spaces between words.
_WITHOUT_SPACES: Final = re.compile(r"[\u3000-\u30ff\u31f0-\u9fff\uf900-\ufaff\uff00-\uffef]")


def separator(before: str, after: str) -> str:
    """Return what belongs between two texts that were spoken one after the other."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return "" if _WITHOUT_SPACES.match(before[-1]) or _WITHOUT_SPACES.match(after[0]) else " "


def joined(parts: Sequence[TranscribedPart]) -> Transcription:
    """Return one transcription for parts in their order, with the times of the whole."""
    text = ""
    segments: list[TranscriptionSegment] = []
    for part in parts:
        said = part.transcription
        text += separator(text, said.text) + said.text
        # Most services tell no times within a part: then it is one segment.
        told = said.segments or [
            TranscriptionSegment(end=part.end - part.start, text=said.text.strip())
        ]
        segments += [
            replace(each, id=number, start=part.start + each.start, end=part.start + each.end)
            for number, each in enumerate(told, start=len(segments))
        ]
    first = parts[0].transcription
    whole = replace(
        first,
        text=text,
        segments=segments,
        duration=sum(part.end - part.start for part in parts),
    )
    vars(whole)["attempts"] = tuple(each for part in parts for each in part.transcription.attempts)
    return whole
