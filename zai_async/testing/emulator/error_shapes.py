"""The shapes in which an error of the platform arrives, by way of relays and other surfaces.

The business code decides what a client does next, and each of these hides it somewhere else.
"""

from __future__ import annotations

from typing import Literal, get_args

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
SHAPES: tuple[ErrorShape, ...] = get_args(ErrorShape)


def shaped(refusal: Refusal, shape: ErrorShape) -> Json:
    """Return an error as JSON data in one of the shapes."""
    code, message, status = refusal.code, refusal.message, refusal.status
    whole = msgspec.json.encode(refusal.document).decode()
    document: Json
    own: Json
    match shape:
        case "platform":
            document = refusal.document
        case "flat":
            # Recorded live at the file parser and the quota monitor: the code is a number here.
            number = int(code) if code.isdecimal() else code
            document = {"code": number, "msg": message, "success": False}
        case "bracketed":
            # Recorded live at the platform's surface for Anthropic's clients.
            text = f"[{code}][{message}][20261009015456dfa744dc7c144abe]"
            document = {"type": "error", "error": {"type": "api_error", "message": text}}
        case "relayed":
            # LiteLLM and relays like it put the whole answer into the text of their own error.
            text = f"litellm.APIError: ZaiException - {whole}"
            own = {"message": text, "type": "api_error", "param": None, "code": str(status)}
            document = {"error": own}
        case "metadata_raw":
            # OpenRouter's description of errors: what the provider said is text in the metadata.
            metadata = {"raw": whole, "provider_name": "Z.AI"}
            own = {"message": "Provider returned error", "code": status, "metadata": metadata}
            document = {"error": own}
        case "errors":
            document = {"errors": [{"message": message, "code": code}]}
        case "error_message":
            # Alibaba's gateways name them so.
            document = {"errorCode": code, "errorMessage": message}
        case _:
            # RFC 9457, which allows members of one's own.
            document = {"title": message, "status": status, "code": code}
    return document
