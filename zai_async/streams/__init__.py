"""Streams: asynchronous iterators over what the platform sends, with exactly one outcome each."""

from zai_async.streams.agent import AgentStream, SlidePage
from zai_async.streams.audio import SpeechStream, TranscriptionStream
from zai_async.streams.chat import ChatStream
from zai_async.streams.event_stream import EventStream
from zai_async.streams.parsed import ParsedStream

__all__ = [
    "AgentStream",
    "ChatStream",
    "EventStream",
    "ParsedStream",
    "SlidePage",
    "SpeechStream",
    "TranscriptionStream",
]
