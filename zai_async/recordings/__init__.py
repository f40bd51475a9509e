"""Recordings of any length: cut where it is quiet, transcribed in parts, joined again."""

from zai_async.recordings.reading import Recording
from zai_async.recordings.transcribing import LongTranscriptionStream, OnPart, transcribe

__all__ = ["LongTranscriptionStream", "OnPart", "Recording", "transcribe"]
