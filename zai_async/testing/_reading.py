"""Reading requests: into a shape, or into the refusal that the platform answers with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields

from zai_async.testing._catalogue import MODELS, Kind, Model
from zai_async.testing._json import is_object
from zai_async.testing._refusal import Refusal

UserId = Annotated[str, Meta(min_length=6, max_length=128)]
"""What every operation takes as ``user_id``."""

_S = TypeVar("_S", bound=Struct)


def read_body(body: bytes, shape: type[_S]) -> _S:
    """Decode a JSON body, raise ``Refusal`` with 1210, 1213 or 1214 when it does not fit.

    Where a field may be left out it may be null: the official clients send one for each that is
    not set.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal("1210", f"The request body is not JSON: {error}") from error
    if is_object(document):
        optional = {field.encode_name for field in fields(shape) if not field.required}
        document = {
            name: value
            for name, value in document.items()
            if value is not None or name not in optional
        }
    return _converted(document, shape, strict=True)


def read_fields(texts: Mapping[str, Any], shape: type[_S]) -> _S:
    """Convert the fields of a form or a query, where everything is text; as ``read_body``.

    An empty text counts as left out.
    """
    given = {name: text for name, text in texts.items() if text != ""}
    return _converted(given, shape, strict=False)


def _converted(document: object, shape: type[_S], *, strict: bool) -> _S:
    try:
        return msgspec.convert(document, shape, strict=strict)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from error


def _refusal(problem: str) -> Refusal:
    """Choose the code: missing is 1213, wrong in the conversation 1214, in a setting 1210."""
    if problem.startswith("Object missing required field"):
        return Refusal("1213", f"A parameter was not received: {problem}")
    if "`$.messages" in problem or "`$.model" in problem:
        return Refusal("1214", f"A parameter is not valid: {problem}")
    return Refusal("1210", f"API parameters are wrong: {problem}")


def find_model(name: str, *kinds: Kind) -> Model:
    """Return the model, ``Refusal`` when there is none of this name or it does something else."""
    model = MODELS.get(name.lower())
    if model is None:
        raise Refusal("1211", f"The model {name} does not exist, check the model code")
    if model.kind not in kinds:
        raise Refusal("1212", f"The model {name} does not support this call method")
    return model


def require(legal: bool, problem: str, code: str = "1210") -> None:
    """Raise ``Refusal`` unless a condition holds."""
    if not legal:
        raise Refusal(code, problem)
