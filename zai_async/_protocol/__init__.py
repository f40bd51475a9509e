"""The wire without I/O: bytes in, typed items out, and exactly one outcome at the end."""

from zai_async._protocol.agent import AgentDecoder, SlidePage
from zai_async._protocol.audio import SpeechDecoder, TranscriptionDecoder
from zai_async._protocol.chat import ChatDecoder
from zai_async._protocol.context import DecoderContext
from zai_async._protocol.decoder import Decoder
from zai_async._protocol.state import DecoderState

__all__ = [
    "AgentDecoder",
    "ChatDecoder",
    "Decoder",
    "DecoderContext",
    "DecoderState",
    "SlidePage",
    "SpeechDecoder",
    "TranscriptionDecoder",
]
