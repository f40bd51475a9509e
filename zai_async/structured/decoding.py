"""JSON of a model, read into a type."""

from typing import Any, TypeVar, cast, overload

import msgspec

from zai_async.models.counting import require_decodable
from zai_async.structured.schemas import is_pydantic

__all__ = ["decode_as"]

T = TypeVar("T")


@overload
def decode_as(kind: type[T], text: str) -> T: ...
@overload
def decode_as(kind: Any, text: str) -> Any: ...
def decode_as(kind: Any, text: str) -> Any:
    """Decode JSON into a type: strictly, else as models write numbers and truth values.

    They put ``"3"`` or ``3.0`` where an integer belongs. What a type of the caller's raises from
    its ``__post_init__`` or validators is an error of the text, too.

    Raises:
        msgspec.DecodeError: The text is no JSON, or a ValidationError that names the place.
    """
    require_decodable(text)
    try:
        try:
            return msgspec.json.decode(text, type=kind, dec_hook=_foreign_value)
        except msgspec.ValidationError as complaint:
            plain = _with_whole_numbers(msgspec.json.decode(text))
            try:
                return msgspec.convert(plain, kind, strict=False, dec_hook=_foreign_value)
            except msgspec.ValidationError:
                # The first complaint is about the text as it is.
                raise complaint from None
    except UnicodeEncodeError:
        raise msgspec.DecodeError("the text holds half of a surrogate pair") from None
    except RecursionError:
        raise msgspec.DecodeError("the text is nested too deeply") from None


def _foreign_value(kind: Any, value: Any) -> Any:
    if not is_pydantic(kind):
        raise TypeError(f"{kind!r} cannot be read from JSON")
    try:
        return kind.model_validate(value)
    except ValueError as error:
        # Pydantic repeats the input and adds links; what a model can use is the place and the rule.
        complaints: list[dict[str, Any]] = getattr(error, "errors", list)()
        text = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ")
            for each in complaints
        )
        raise ValueError(text or str(error)) from None


def _with_whole_numbers(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {key: _with_whole_numbers(each) for key, each in members.items()}
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_with_whole_numbers(each) for each in items]
    return int(value) if isinstance(value, float) and value.is_integer() else value
