"""The arguments of a function as a type to decode, and as the schema that a model is shown."""

import inspect
from collections.abc import Callable
from typing import Any, Final, cast, get_type_hints

import msgspec

from zai_async.errors import ConfigurationError
from zai_async.structured import schema_of

__all__ = ["arguments_of"]

_UNNAMED: Final = frozenset(
    {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    }
)
_MUTABLE: Final = (list, dict, set)


def arguments_of(
    function: Callable[..., Any], name: str, descriptions: dict[str, str]
) -> tuple[type[msgspec.Struct], dict[str, Any]]:
    """Return the type of a function's arguments, and its JSON Schema.

    Raises:
        ConfigurationError: A parameter has no annotation, no schema, or cannot be given by name.
    """
    try:
        hints = get_type_hints(
            function if inspect.isroutine(function) else type(function).__call__,
            include_extras=True,
        )
        parameters = inspect.signature(function).parameters.values()
    except (NameError, TypeError, ValueError) as error:
        raise ConfigurationError(f"tool {name!r}: its signature cannot be read: {error}") from None

    fields: list[tuple[str, Any, Any]] = []
    properties: dict[str, Any] = {}
    for parameter in parameters:
        where = f"tool {name!r}: parameter {parameter.name!r}"
        if parameter.kind in _UNNAMED:
            raise ConfigurationError(f"{where} cannot be given by name")
        if parameter.name not in hints:
            raise ConfigurationError(f"{where} has no annotation")
        kind = hints[parameter.name]
        default: Any = parameter.default
        if default is inspect.Parameter.empty:
            default = msgspec.NODEFAULT
        elif isinstance(default, _MUTABLE):
            # msgspec copies empty ones itself, and refuses others.
            default = msgspec.field(default_factory=cast("list[object]", default).copy)
        field = (parameter.name, kind, default)
        # One by one, so that an error names the parameter.
        try:
            schema = schema_of(msgspec.defstruct("Arguments", [field]))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{where} cannot be described: {error}") from None
        fields.append(field)
        properties |= schema["properties"]
        if parameter.name in descriptions:
            properties[parameter.name].setdefault("description", descriptions[parameter.name])

    arguments = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
    required = [field[0] for field in fields if field[2] is msgspec.NODEFAULT]
    return arguments, {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
