"""What a server adds of its own to an answer, beside the events of the model.

Encoded, each struct is the part of the UI message stream that it stands for; other protocols have
no word for them and leave them out.
"""

from typing import Any, TypeAlias

import msgspec

from zai_async.tools import RunEvent

__all__ = [
    "DataPart",
    "DocumentSource",
    "MetadataPart",
    "RelayPart",
    "RelayedEvent",
    "RelayedFile",
    "ToolApprovalRequest",
    "ToolFailure",
    "ToolOutput",
    "UrlSource",
]


# Readers refuse a null: a field that says nothing must be absent.
class RelayPart(
    msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", tag_field="type", tag=""
):
    """A part of a message that no model writes."""


class ToolOutput(
    RelayPart, frozen=True, tag="tool-output-available", rename={"call_id": "toolCallId"}
):
    """What a tool returned that ran on the server."""

    call_id: str
    output: Any
    """Anything that JSON can carry."""
    preliminary: bool = False
    """Whether another output follows and takes the place of this one."""


class ToolFailure(
    RelayPart,
    frozen=True,
    tag="tool-output-error",
    rename={"call_id": "toolCallId", "text": "errorText"},
):
    """A tool that ran on the server has failed; the page shows ``text``."""

    call_id: str
    text: str


class ToolApprovalRequest(
    RelayPart,
    frozen=True,
    tag="tool-approval-request",
    rename={"call_id": "toolCallId", "approval_id": "approvalId"},
):
    """Ask the person at the page whether a tool may run; the next request brings the answer."""

    call_id: str
    approval_id: str


class UrlSource(RelayPart, frozen=True, tag="source-url", rename={"id": "sourceId"}):
    """A page that the answer is based on."""

    id: str
    url: str
    title: str | None = None


class DocumentSource(
    RelayPart,
    frozen=True,
    tag="source-document",
    rename={"id": "sourceId", "media_type": "mediaType"},
):
    """A document that the answer is based on."""

    id: str
    media_type: str
    title: str
    filename: str | None = None


class RelayedFile(RelayPart, frozen=True, tag="file"):
    """A file that belongs to the answer, at an address or as a data URL."""

    url: str
    media_type: str


class MetadataPart(
    RelayPart, frozen=True, tag="message-metadata", rename={"metadata": "messageMetadata"}
):
    """Facts about the message, merged into those that it has."""

    metadata: dict[str, Any]


class DataPart(msgspec.Struct, frozen=True):
    """Data of the application, as the part ``data-<name>``; the page knows what it means."""

    name: str
    data: Any
    id: str | None = None
    """A later part with the same name and id takes the place of this one."""
    transient: bool = False
    """Whether the page is told of it without keeping it in the message."""


RelayedEvent: TypeAlias = RunEvent | RelayPart | DataPart
