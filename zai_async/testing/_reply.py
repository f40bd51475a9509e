"""What an operation hands to the wire: a status and the pieces of a body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

JSON_TYPE = "application/json;charset=UTF-8"
HTML_TYPE = "text/html"
STREAM_TYPE = "text/event-stream;charset=UTF-8"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Hold one answer, before any fault and before anything is sent.

    ``pieces`` are the frames of a stream, or one whole body. ``latency`` (before the headers) and
    ``pause`` (after each piece) are the seconds a real server takes; the emulator's pace scales
    them. With an empty ``content_type`` the reply does not say what it is.
    """

    pieces: tuple[bytes, ...]
    log_id: str
    status: int = 200
    content_type: str = JSON_TYPE
    latency: float = 0.0
    pause: float = 0.0

    @property
    def streams(self) -> bool:
        """Say whether the body is an event stream."""
        return self.content_type.startswith("text/event-stream")


def frame(document: Any, *, event: str = "") -> bytes:
    """Encode one server-sent event with a JSON payload."""
    name = f"event: {event}\n".encode() if event else b""
    return b"%sdata: %s\n\n" % (name, msgspec.json.encode(document))
