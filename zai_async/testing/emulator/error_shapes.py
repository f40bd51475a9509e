"""The shapes in which an error of the platform arrives, by way of relays and other surfaces.

The business code decides what a client does next, and each of these hides it somewhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from zai_async.testing.emulator.reply import Refusal
from zai_async.testing.emulator.requests import Json

ErrorShape = Literal[
    "platform",
    "flat",
    "bracketed",
    "relayed",
    "metadata_raw",
    "errors",
    "error_message",
    "title",
]


def shaped(refusal: Refusal, shape: ErrorShape) -> Json:
    """Return an error as JSON data in one of the shapes."""
    return SHAPES[shape](refusal)


def _flat(refusal: Refusal) -> Json:
    # Recorded live at the file parser and the quota monitor: the code is a number here.
    code: int | str = int(refusal.code) if refusal.code.isdecimal() else refusal.code
    return {"code": code, "msg": refusal.message, "success": False}


def _bracketed(refusal: Refusal) -> Json:
    # Recorded live at the platform's surface for Anthropic's clients.
    message = f"[{refusal.code}][{refusal.message}][20261009015456dfa744dc7c144abe]"
    return {"type": "error", "error": {"type": "api_error", "message": message}}


def _relayed(refusal: Refusal) -> Json:
    # LiteLLM and relays like it put the whole answer into the text of their own error.
    text = f"litellm.APIError: ZaiException - {_text(refusal)}"
    own = {"message": text, "type": "api_error", "param": None, "code": str(refusal.status)}
    return {"error": own}


def _metadata_raw(refusal: Refusal) -> Json:
    # OpenRouter's documentation of errors: what the provider said is text inside of the metadata.
    metadata = {"raw": _text(refusal), "provider_name": "Z.AI"}
    own = {"message": "Provider returned error", "code": refusal.status, "metadata": metadata}
    return {"error": own}


def _title(refusal: Refusal) -> Json:
    # RFC 9457, which allows members of one's own.
    return {"title": refusal.message, "status": refusal.status, "code": refusal.code}


def _text(refusal: Refusal) -> str:
    return msgspec.json.encode(refusal.document).decode()


SHAPES: Mapping[ErrorShape, Callable[[Refusal], Json]] = {
    "platform": lambda refusal: refusal.document,
    "flat": _flat,
    "bracketed": _bracketed,
    "relayed": _relayed,
    "metadata_raw": _metadata_raw,
    "errors": lambda refusal: {"errors": [{"message": refusal.message, "code": refusal.code}]},
    "error_message": lambda refusal: {
        "errorCode": refusal.code,
        "errorMessage": refusal.message,
    },
    "title": _title,
}
