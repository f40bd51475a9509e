"""Types as JSON Schema, and what models write read back into them."""

from zai_async.structured.answers import AnswerFormat, ParsedCompletion, with_schema
from zai_async.structured.decoding import decode_as
from zai_async.structured.partial import PartialJSON
from zai_async.structured.schemas import is_pydantic, schema_of

__all__ = [
    "AnswerFormat",
    "ParsedCompletion",
    "PartialJSON",
    "decode_as",
    "is_pydantic",
    "schema_of",
    "with_schema",
]
