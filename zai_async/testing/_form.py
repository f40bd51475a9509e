"""Multipart bodies (RFC 7578), read whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from typing import Any


@dataclass(frozen=True, slots=True)
class Upload:
    """Hold one file of a form."""

    filename: str
    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Form:
    """Hold the parts of a form: texts (a list where a name came more than once) and files."""

    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    files: Mapping[str, Upload] = field(default_factory=dict[str, Upload])


def read_form(content_type: str, body: bytes) -> Form:
    """Take a body apart; one that is not ``multipart/form-data`` gives an empty form."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = head.get_boundary()
    if head.get_content_type() != "multipart/form-data" or not boundary:
        return Form()
    texts: dict[str, list[str]] = {}
    files: dict[str, Upload] = {}
    for part, data in _parts(boundary.encode(errors="replace"), body):
        name = str(part.get_param("name", "", "Content-Disposition")).removesuffix("[]")
        filename = part.get_filename()
        if filename is None:
            texts.setdefault(name, []).append(data.decode(errors="replace"))
        else:
            files[name] = Upload(filename, data, part.get_content_type())
    return Form({name: _one(name, values) for name, values in texts.items()}, files)


def _parts(boundary: bytes, body: bytes) -> Iterator[tuple[Message, bytes]]:
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        yield HeaderParser().parsestr(head.decode(errors="replace").strip()), data


def _one(name: str, values: list[str]) -> Any:
    return values if name == "hotwords" or len(values) > 1 else values[0]
