"""Functions as tools: what the model is told about them, and what its arguments become."""

import asyncio
import functools
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pytest
from msgspec import Meta, Struct

from zai_async import ConfigurationError, Tool, ToolError, tool
from zai_async.structured import decode_as, schema_of

pydantic = pytest.importorskip("pydantic")


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(Struct):
    """Somewhere."""

    city: Annotated[str, Meta(description="Its name in English")]
    near: "list[str]" = []


@dataclass
class Span:
    first: date
    days: int = 1


class Flags(TypedDict):
    verbose: bool
    reason: NotRequired[str]


class Node(Struct):
    children: "list[Node]" = []


class Item(pydantic.BaseModel):
    title: str = pydantic.Field(description="What it is called")
    count: int = 1


class Cart(pydantic.BaseModel):
    items: list[Item]


class Tree(pydantic.BaseModel):
    below: "list[Tree]"


class Circle(Struct, tag="circle"):
    radius: float


class Square(Struct, tag="square"):
    side: float


@tool
async def get_weather(
    city: str,
    unit: Unit = Unit.CELSIUS,
    days: Annotated[int, Meta(ge=1, le=7, description="How many days")] = 1,
) -> str:
    """Tell the weather
    of a city.

    Works everywhere.

    Args:
        city (str): The name of the city,
            in English: no accents.
        days: Not this one.
        unknown: nothing

    Returns:
        One line.
    """
    return f"{days} days in {city}, {unit.value}"


def described(kind: Any) -> Any:
    """Return the schema of a tool's one parameter."""

    def function(value): ...

    function.__annotations__["value"] = kind
    return tool(function).parameters["properties"]["value"]


def test_signature_becomes_the_schema():
    assert get_weather.param == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tell the weather\nof a city.\n\nWorks everywhere.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {
                        "type": "string",
                        "description": "The name of the city, in English: no accents.",
                    },
                    "unit": {"enum": ["celsius", "kelvin"], "default": "celsius"},
                    "days": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 7,
                        "description": "How many days",
                        "default": 1,
                    },
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


ITEM = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "description": "What it is called"},
        "count": {"type": "integer", "default": 1},
    },
    "required": ["title"],
}
PLACE = {
    "type": "object",
    "description": "Somewhere.",
    "properties": {
        "city": {"type": "string", "description": "Its name in English"},
        "near": {"type": "array", "items": {"type": "string"}, "default": []},
    },
    "required": ["city"],
}


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (Place, PLACE),
        (list[Place], {"type": "array", "items": PLACE}),
        (Place | None, {"anyOf": [PLACE, {"type": "null"}]}),
        (
            Span,
            {
                "type": "object",
                "properties": {
                    "first": {"type": "string", "format": "date"},
                    "days": {"type": "integer", "default": 1},
                },
                "required": ["first"],
            },
        ),
        (
            Flags,
            {
                "type": "object",
                "properties": {"verbose": {"type": "boolean"}, "reason": {"type": "string"}},
                "required": ["verbose"],
            },
        ),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Item, ITEM),
        (
            Cart,
            {
                "type": "object",
                "properties": {"items": {"type": "array", "items": ITEM}},
                "required": ["items"],
            },
        ),
        (dict[str, Item], {"type": "object", "additionalProperties": ITEM}),
    ],
    ids=str,
)
def test_definitions_are_inlined(kind, schema):
    assert described(kind) == schema


def test_union_of_tagged_structs_is_inlined():
    first, second = described(Circle | Square)["anyOf"]
    assert first["properties"]["type"] == {"enum": ["circle"]}
    assert second["required"] == ["type", "side"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Node, "Node refers to itself"),
        (Tree, "Tree refers to itself"),
        (object, "object has no JSON Schema"),
        (str | bytes, "more than one str-like type"),
        (Item | Cart, "more than one custom type"),
    ],
    ids=str,
)
def test_type_without_a_schema_is_refused_with_its_parameter(kind, reason):
    with pytest.raises(ConfigurationError, match="tool 'function': parameter 'value'") as caught:
        described(kind)
    assert reason in str(caught.value)


def without_annotation(x): ...
def positional(x: int, /): ...
def variadic(*x: int): ...
def undefined(x: "Nowhere"): ...  # noqa: F821


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (without_annotation, {}, "parameter 'x' has no annotation"),
        (positional, {}, "parameter 'x' cannot be given by name"),
        (variadic, {}, "parameter 'x' cannot be given by name"),
        (undefined, {}, "its signature cannot be read"),
        (lambda: None, {}, "tool '<lambda>': a name has 1 to 64"),
        (get_weather, {"timeout": 0}, "timeout must be None or seconds above 0"),
    ],
)
def test_function_that_is_no_tool_is_refused(function, options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        tool(function, **options)


def test_docstring_may_say_nothing_about_arguments():
    @tool(name="other", parameters={"type": "object"})
    def function(**anything: Any) -> dict[str, Any]:
        """Do something."""
        return anything

    assert repr(function) == "<Tool other>"
    assert (function.__name__, function.description) == ("function", "Do something.")
    assert function.parameters == {"type": "object"}
    assert function.read('{"a": 1}') == {"a": 1}
    assert function(b=2) == {"b": 2}
    assert isinstance(function, Tool)


def test_arguments_become_what_the_function_takes():
    arguments = get_weather.read('{"city": "Oslo", "unit": "kelvin"}')
    assert arguments == {"city": "Oslo", "unit": Unit.KELVIN, "days": 1}
    assert asyncio.run(get_weather.run(arguments)) == "1 days in Oslo, kelvin"


@pytest.mark.parametrize("written", ['"3"', "3.0", "3"])
def test_numbers_are_read_as_models_write_them(written):
    assert get_weather.read(f'{{"city": "Oslo", "days": {written}}}')["days"] == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("{}", "missing required field `city`"),
        ("", "missing required field `city`"),
        ('{"city": "Oslo", "town": 1}', "unknown field `town`"),
        ('{"city": "Oslo", "days": [3]}', r"Expected `int`, got `array` - at `\$.days`"),
        ('{"city": "Oslo", "days": 9}', r"Expected `int` <= 7 - at `\$.days`"),
        ('{"city": ', "truncated"),
        ('{"city": "\ud800"}', "half of a surrogate pair"),
        ('{"city": ' + "[" * 100_000, "nested too deeply"),
    ],
    ids=lambda text: text[:30],
)
def test_arguments_that_do_not_fit_are_refused(arguments, reason):
    with pytest.raises(msgspec.DecodeError, match=reason):
        get_weather.read(arguments)


def test_models_of_pydantic_check_their_own_values():
    item = decode_as(list[Item], '[{"title": "x", "count": "2"}]')[0]
    assert (item.title, item.count) == ("x", 2)
    with pytest.raises(msgspec.ValidationError) as caught:
        decode_as(list[Item], '[{"count": "many"}]')
    assert str(caught.value) == (
        "title: Field required; count: Input should be a valid integer, "
        "unable to parse string as an integer - at `$[0]`"
    )


def test_validator_may_raise_anything():
    class Odd:
        __pydantic_core_schema__ = None

        @staticmethod
        def model_validate(value):
            raise ValueError("odd")

    with pytest.raises(msgspec.ValidationError, match="odd"):
        decode_as(Odd, "1")
    with pytest.raises(msgspec.ValidationError, match="cannot be read from JSON"):
        decode_as(complex, "1")


def test_default_is_not_shared():
    @tool
    def collect(words: list[str] = ["a"], more: list[str] = []) -> None:  # noqa: B006
        """Collect."""

    first, second = collect.read("{}"), collect.read("{}")
    first["words"].append("b")
    assert second == {"words": ["a"], "more": []}
    assert collect.parameters["required"] == []


class Store:
    def search(self, word: str) -> str:
        return f"found {word}"

    async def __call__(self, word: str) -> str:
        return f"called {word}"


async def test_methods_and_callable_objects_are_tools():
    assert await tool(Store().search).run({"word": "a"}) == "found a"
    assert tool(Store().search).name == "search"
    whole = tool(Store())
    assert whole.name == "Store"
    assert list(whole.parameters["properties"]) == ["word"]
    assert await whole.run({"word": "a"}) == "called a"


async def test_synchronous_function_runs_in_a_thread_with_the_context():
    tenant = ContextVar("tenant", default="none")
    tenant.set("me")

    @tool
    def where() -> tuple[str, str]:
        """Tell."""
        return threading.current_thread().name, tenant.get()

    assert await where.run({}) == ("zai-async-tools", "me")


async def test_synchronous_function_may_return_something_to_await():
    @functools.wraps(get_weather)
    def lazily(*, city, unit):
        return get_weather(city, unit)

    lazy = tool(lazily, name="lazy")
    assert await lazy.run({"city": "Oslo", "unit": Unit.KELVIN}) == "1 days in Oslo, kelvin"


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration(), ToolError("closed")])
async def test_error_of_a_thread_is_raised(error):
    @tool
    def fails() -> None:
        raise error

    kind = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(kind) as caught:
        await fails.run({})
    assert caught.value is error or caught.value.__cause__ is error


async def test_exit_of_a_thread_ends_nothing_else():
    @tool
    def leaves() -> None:
        raise SystemExit

    with pytest.raises(RuntimeError, match="the tool 'leaves' raised SystemExit"):
        await leaves.run({})


def test_approval_may_depend_on_the_arguments():
    def remove(path: str) -> None: ...

    assert tool(remove).needs_approval({"path": "a"}) is False
    assert tool(remove, approve=True).needs_approval({"path": "a"}) is True
    risky = tool(remove, approve=lambda path: path.startswith("/"))
    assert [risky.needs_approval({"path": path}) for path in ("a", "/a")] == [False, True]


def test_schema_of_a_type():
    assert schema_of(list[int]) == {"type": "array", "items": {"type": "integer"}}
