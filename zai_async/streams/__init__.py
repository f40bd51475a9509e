"""Streams: asynchronous iterators over what the platform sends, with exactly one outcome each."""

from zai_async.streams.chat import ChatStream
from zai_async.streams.event_stream import EventStream
from zai_async.streams.outcomes import ensure_proper_end

__all__ = ["ChatStream", "EventStream", "ensure_proper_end"]
