"""Read a document as the client reads an answer."""

import json
from typing import Any, TypeVar

import msgspec

from zai_async.models.tolerant import decode

T = TypeVar("T")


def read(kind: type[T], document: Any) -> T:
    return decode(msgspec.json.Decoder(kind), json.dumps(document).encode())
