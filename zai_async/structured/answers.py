"""Answers of a type of the caller's: what the model is told, and what its text becomes."""

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from zai_async.errors import ConfigurationError, StructuredOutputError
from zai_async.models import ChatCompletion, Usage
from zai_async.models.counting import require_decodable
from zai_async.structured.decoding import decode_as
from zai_async.structured.json_schemas import type_from
from zai_async.structured.schemas import inlined, schema_of

__all__ = ["AnswerFormat", "ParsedCompletion", "with_schema"]

T = TypeVar("T")

_WRAPPER: Final = "value"
_ATTEMPTS: Final = 200
"""Brackets of prose at which a list may begin; each is read to its end."""
_READ_BY_ATTEMPTS: Final = 2**24
# What else is in braces is prose.
_OBJECT: Final = re.compile(r'\{(?=[ \t\r\n]{0,99}["}])')
_ANY: Final = re.compile(rf"{_OBJECT.pattern}|\[")


def with_schema(params: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request that asks for an object which fits a JSON Schema."""
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    instruction = (
        "Answer with one JSON object that fits this JSON Schema, and with nothing else:\n" + text
    )
    messages = params.get("messages")
    if not messages:
        return {**params}  # which is refused as always
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    # Beside an instruction of the caller's own, not in its place.
    match [*messages]:
        case [{"role": "system", "content": str(content), **more}, *others]:
            content = f"{content}\n\n{instruction}"
            messages = [{**more, "role": "system", "content": content}, *others]
        case others:
            messages = [{"role": "system", "content": instruction}, *others]
    return {**params, "messages": messages, "response_format": {"type": "json_object"}}


class ParsedCompletion(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """An answer that fits a type."""

    parsed: T
    """The value."""
    completion: ChatCompletion
    """The answer that it was read from: the last one, where there had to be others."""
    usage: Usage
    """The tokens of all answers."""
    repairs: int
    """How often the model was shown what was wrong."""


class AnswerFormat(Generic[T]):
    """A type as the instruction that a model is given, and the way back.

    The API has no schemas: an object that is asked for in a message is all there is. What is no
    object, such as a list or a union, is the one property of an object. A JSON Schema stands for
    the type of the plain values that fit it.

    Raises:
        ConfigurationError: The type has no JSON Schema, or contains itself, or is an invalid one.
    """

    def __init__(self, kind: Any) -> None:
        self._name = getattr(kind, "__name__", str(kind))
        try:
            if isinstance(kind, Mapping):
                self._name = "the schema"
                schema = inlined(cast("Mapping[str, Any]", kind), {})
                kind = type_from(schema)
                msgspec.json.Decoder(kind)
            else:
                schema = schema_of(kind)
        except (AttributeError, LookupError, TypeError, ValueError, re.error) as error:
            why = f"nothing is called {error}" if isinstance(error, LookupError) else error
            fault = "is none" if isinstance(kind, Mapping) else "has no schema"
            raise ConfigurationError(f"{self._name} {fault}: {why}") from None
        self._kind = kind
        self._wrapper: type[msgspec.Struct] | None = None
        if schema.get("type") != "object":
            self._wrapper = msgspec.defstruct("Answer", [(_WRAPPER, kind)])
            schema = {"type": "object", "properties": {_WRAPPER: schema}, "required": [_WRAPPER]}
        self.schema = schema

    def correction(self, error: StructuredOutputError) -> list[Any]:
        """Return the messages that show a model what is wrong with its answer."""
        wrong = f"That does not fit: {error.reason}. Answer with the right object only."
        answer = cast("ChatCompletion", error.partial)
        return [answer.message, {"role": "user", "content": wrong}]

    def request(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a request that asks for such an answer."""
        return with_schema(params, self.schema)

    def unwrapped(self, value: dict[str, Any] | None) -> Any:
        """Return the part of a partial object that belongs to the type."""
        return value if self._wrapper is None or value is None else value.get(_WRAPPER)

    def read(self, completion: ChatCompletion) -> T:
        """Return the value of an answer.

        One fence or text around the object is passed over; nothing is guessed.

        Raises:
            StructuredOutputError: The text holds no such object, or more than one.
        """
        text = completion.text
        try:
            return self._decode(text)
        except msgspec.DecodeError as error:
            cut = ", which was cut by its limit" if completion.outcome == "length" else ""
            raise StructuredOutputError(
                f"the answer{cut} does not fit {self._name}: {error}",
                raw=text,
                reason=str(error),
                usage=completion.usage,
                partial=completion,
                request_id=completion.request_id,
            ) from None

    def _decode(self, text: str) -> T:
        if self._wrapper is None:
            return cast("T", decode_as(self._kind, _document(text, _OBJECT)))
        document = _document(text, _ANY)
        try:
            return cast("T", getattr(decode_as(self._wrapper, document), _WRAPPER))
        except msgspec.ValidationError as error:
            # Models forget about the object around it.
            try:
                return cast("T", decode_as(self._kind, document))
            except msgspec.ValidationError:
                raise error from None


def _document(text: str, pattern: re.Pattern[str]) -> str:
    """Return the one JSON document of a text; what is none explains itself when it is decoded.

    Raises:
        msgspec.DecodeError: There are two, of which nobody knows which one is meant, or it holds
            more than any model could have written.
    """
    require_decodable(text)
    place, attempts = 0, min(_ATTEMPTS, 1 + _READ_BY_ATTEMPTS // (1 + len(text)))
    for start in islice(pattern.finditer(text), attempts):
        place = start.start()
        try:
            _, end = json.JSONDecoder().raw_decode(text, place)
        except (ValueError, RecursionError):
            if start[0] == "[":
                continue  # a bracket of the prose
            break  # an object that is broken: others inside of it are only parts of it
        if _OBJECT.search(text, end):
            raise msgspec.DecodeError("there are two JSON objects")
        return text[place:end]
    return text[place:].strip()
