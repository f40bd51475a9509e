"""Values for JSON schemas, judged by a validator that is not ours."""

import datetime as dt
import enum
import json
import re
import uuid
from decimal import Decimal
from ipaddress import IPv6Network
from typing import Annotated, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema.validators import validator_for
from pydantic import UUID4, Base64Str, BaseModel, Field, HttpUrl, Json, TypeAdapter

from tests.effort import times
from zai_async.testing.emulator.pattern_text import PatternError, matching_texts
from zai_async.testing.emulator.scalar_values import SchemaError
from zai_async.testing.emulator.schema_check import SchemaCheck
from zai_async.testing.emulator.schema_values import sample


def judge(value, schema):
    """Raise when a value does not satisfy a schema."""
    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    kind.check_schema(schema)
    kind(schema).validate(value)


# Generated schemas: each can be satisfied by the way it is made


def ordered(values):
    return st.lists(values, min_size=2, max_size=2).map(sorted)


@st.composite
def integers(draw):
    low, high = draw(ordered(st.integers(-(10**6), 10**6)))
    step = draw(st.none() | st.integers(1, 50))
    schema = {"type": "integer"}
    for key, bound in (("inimum", low), ("aximum", high + 2 + (step or 0))):
        letter = "m"
        match draw(st.sampled_from(["none", "plain", "exclusive", "draft4"])):
            case "plain":
                schema[letter + key] = bound
            case "exclusive":
                schema["exclusiveM" + key] = bound
            case _:
                pass
    return schema | ({} if step is None else {"multipleOf": step})


@st.composite
def numbers(draw):
    low, high = draw(ordered(st.floats(-1e6, 1e6)))
    step = draw(st.none() | st.sampled_from([0.01, 0.1, 0.5, 1, 3, 2.5]))
    # Of multiples of 0.01 few are exact, and only those are multiples for a validator.
    room = 1 if step is None else max(1, 2 * step)
    schema = {"type": "number"}
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = high + room
    return schema | ({} if step is None else {"multipleOf": step})


PATTERNS = [
    *(r"^[a-z]+$", r"^\d{4}-\d{2}-\d{2}$", r"^[A-Z]{2,5}\d*$", r"a|b|cd", r"^(foo|ba[rz])+\.txt$"),
    *(r"^[^\s@]+@[^\s@]+\.[a-z]{2,}$", r"^#(?:[0-9a-fA-F]{3}){1,2}$", r"^\+?[1-9]\d{1,14}$", r"x"),
    *(r"^(?=.*[A-Z])(?=.*\d).{8,}$", r"^(?!bad)\w{3,}$", r"^[\w.\-]+$", r"^\$\{\w+\}$", r"^$", r""),
    *(
        r"^(?P<a>x)(y)?$",
        r"^\x41\u0042$",
        r"^[^a-z]$",
        r"^[\]\-a]{2}$",
        r"^.\S\D\W$",
        r"^a{2}b{1,}?c{0,2}$",
    ),
]


@st.composite
def strings(draw):
    low, high = draw(ordered(st.integers(0, 60)))
    return draw(
        st.fixed_dictionaries(
            {"type": st.just("string")},
            optional={"minLength": st.just(low), "maxLength": st.just(high)},
        )
        | st.builds(
            lambda pattern: {"type": "string", "pattern": pattern}, st.sampled_from(PATTERNS)
        )
        | st.builds(
            lambda kind: {"type": "string", "format": kind},
            st.sampled_from(["date", "date-time", "email", "uri", "uuid", "ipv4", "hostname"]),
        )
    )


VALUES = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
FIXED = (
    st.builds(lambda value: {"const": value}, VALUES)
    | st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=4))
    | st.sampled_from([{"type": "null"}, {"type": "boolean"}, {}, True])
)
LEAVES = integers() | numbers() | strings() | FIXED
NAMES = st.sampled_from(["a", "b", "name", "date", "x-y", "ключ"])


@st.composite
def objects(draw, inner):
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required = [name for name in properties if draw(st.booleans())]
    schema = {"type": "object", "properties": properties, "required": required}
    return schema | draw(
        st.sampled_from([{}, {"additionalProperties": False}, {"minProperties": 6}])
        | st.builds(lambda part: {"additionalProperties": part, "minProperties": 6}, LEAVES)
    )


@st.composite
def arrays(draw, inner):
    low, high = draw(ordered(st.integers(0, 4)))
    return {"type": "array", "items": draw(inner), "minItems": low, "maxItems": high}


def compounds(inner):
    def tagged(key, part):
        properties = {"k": {"const": key}, "v": part}
        return {"type": "object", "properties": properties, "required": ["k"]}

    return st.one_of(
        objects(inner),
        arrays(inner),
        st.builds(
            lambda first, rest: {"type": "array", "prefixItems": first, "items": rest},
            st.lists(inner, min_size=1, max_size=3),
            st.just(False) | inner,
        ),
        st.builds(lambda part: {"anyOf": [part, {"type": "null"}]}, inner),
        st.builds(lambda a, b: {"oneOf": [tagged("a", a), tagged("b", b)]}, inner, inner),
        st.builds(
            lambda a, b: {"type": "object", "allOf": [tagged("a", a), {"properties": {"w": b}}]},
            inner,
            inner,
        ),
        st.builds(
            lambda low: {"allOf": [{"minimum": low}, {"maximum": low + 3}, {"multipleOf": 2}]},
            st.integers(-100, 100),
        ),
        st.just({"$ref": "#/$defs/d"}),
    )


SCHEMAS = st.builds(
    lambda schema, part: {"allOf": [schema], "$defs": {"d": part}},
    st.recursive(LEAVES, compounds, max_leaves=6),
    LEAVES,
)


@settings(max_examples=times(1_000, 50))
@given(SCHEMAS)
def test_samples_satisfy_generated_schemas(schema):
    judge(sample(schema), schema)


@given(SCHEMAS, st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3)))
def test_the_check_agrees_with_a_validator(schema, value):
    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    assert SchemaCheck(schema).fits(value, schema) == kind(schema).is_valid(value)


# What frameworks send


class Color(enum.Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Node(BaseModel):
    """A type that contains itself."""

    value: Annotated[int, Field(gt=3, lt=5)]
    children: list["Node"] = []
    parent: "Node | None" = None


class Item(BaseModel):
    """Everything that pydantic writes into a schema."""

    model_config = {"extra": "forbid"}
    sku: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{4}$")]
    price: Annotated[float, Field(multiple_of=0.01, gt=0, le=9.99)]
    count: Annotated[int, Field(ge=10, multiple_of=7, lt=30)]
    tags: Annotated[set[str], Field(min_length=3, max_length=5)]
    pair: tuple[int, str, Color]
    when: dt.datetime
    id: uuid.UUID
    maybe: float | None = None
    literal: Literal["a", 3] | None
    union: Annotated[int, Field(ge=7)] | Annotated[str, Field(min_length=70)] | None
    below: Annotated[float, Field(lt=-3)]
    nodes: dict[str, Node]
    password: Annotated[str, Field(min_length=8, max_length=12)]


@pytest.mark.parametrize("model", [Node, Item])
def test_samples_satisfy_pydantic(model):
    schema = model.model_json_schema()
    value = sample(schema)
    judge(value, schema)
    model.model_validate(value, strict=False)


class Cat(BaseModel):
    """One kind of pet."""

    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=2, le=9)]


class Dog(BaseModel):
    """Another one."""

    kind: Literal["dog"]
    tricks: Annotated[list[str], Field(min_length=2)]


@pytest.mark.parametrize(
    "kind",
    [
        Decimal,
        Annotated[Decimal, Field(max_digits=5, decimal_places=2)],
        dt.timedelta,
        dt.time,
        bytes,
        IPv6Network,
        UUID4,
        Base64Str,
        Json[list[int]],
        HttpUrl,
        frozenset[int],
        Annotated[set[Literal["a", "b", "c"]], Field(min_length=3)],
        Annotated[dict[Annotated[str, Field(pattern="^[A-Z]{3}$")], int], Field(min_length=4)],
        Annotated[Cat | Dog, Field(discriminator="kind")],
        tuple[()],
        tuple[int, ...],
        Annotated[float, Field(gt=1e300)],
        Annotated[float, Field(gt=0, lt=1e-10)],
        Annotated[int, Field(multiple_of=3, gt=100)],
        Annotated[str, Field(pattern=r"^\+?[0-9]{7,15}$", min_length=9)],
    ],
    ids=str,
)
def test_samples_are_read_by_pydantic(kind):
    reader = TypeAdapter(kind)
    schema = reader.json_schema()
    value = sample(schema)
    judge(value, schema)
    reader.validate_json(json.dumps(value))


DRAFT4 = {"$schema": "http://json-schema.org/draft-04/schema#"}
INTEGER = {"type": "integer"}
DRAFT7 = {"$schema": "http://json-schema.org/draft-07/schema#"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["string", "null"]},
        {"const": None},
        {"enum": [None]},
        {"anyOf": [{"type": "null"}]},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 2},
        {"type": "array", "contains": {"const": 7}, "items": {"type": "integer"}, "minItems": 4},
        {"type": "array", "contains": {"const": 7}, "minContains": 3},
        {"type": "array", "contains": {"type": "null"}, "maxContains": 1, "minItems": 3},
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": False, "maxItems": 0},
        {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "array"}},
        {
            "type": "array",
            "minItems": 3,
            "uniqueItems": True,
            "items": {
                "type": "object",
                "properties": {"a": {"type": "integer"}},
                "required": ["a"],
            },
        },
        {"oneOf": [{"type": "number", "multipleOf": 5}, {"type": "number", "multipleOf": 3}]},
        {"type": "integer", "not": {"const": 1}},
        {"type": "string", "not": {"pattern": "^t"}},
        {"not": {"type": "string"}, "type": ["string", "integer"]},
        {
            "type": "object",
            "properties": {"k": {"enum": [1, 2]}},
            "if": {"properties": {"k": {"const": 1}}},
            "then": {"required": ["x"]},
            "else": {"required": ["y"]},
        },
        {"if": {"type": "integer"}, "then": {"minimum": 5}, "type": ["integer"]},
        {"type": "object", "minProperties": 4, "propertyNames": {"pattern": "^x_"}},
        {
            "type": "object",
            "patternProperties": {"^a\\d+$": {"type": "integer"}},
            "additionalProperties": False,
            "minProperties": 2,
        },
        {"type": "object", "required": ["a1"], "patternProperties": {"^a": {"type": "integer"}}},
        {"type": "object", "properties": {"a": False, "b": True}},
        {"type": "object", "dependentRequired": {"a": ["b"]}, "properties": {"a": {}}},
        {"dependentSchemas": {"a": {"required": ["c"]}}, "properties": {"a": {}}, "type": "object"},
        {"type": "object", "dependencies": {"a": ["b"]}, "properties": {"a": {}}} | DRAFT7,
        {"type": "object", "dependencies": {"a": {"required": ["b"]}}, "required": ["a"]} | DRAFT7,
        {
            "properties": {"a": {}, "b": {}, "c": {}},
            "required": ["c"],
            "maxProperties": 2,
            "type": "object",
        },
        {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object", "maxProperties": 1},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
        {"type": "number", "maximum": -0.5},
        {"type": "integer", "multipleOf": 0.5, "minimum": 7},
        {"type": "integer", "minimum": 5, "exclusiveMinimum": True} | DRAFT4,
        {"type": "integer", "maximum": 5, "exclusiveMaximum": True, "minimum": 4} | DRAFT4,
        {
            "type": "array",
            "items": [{"type": "string"}, {"type": "integer"}],
            "additionalItems": {"type": "null"},
            "minItems": 4,
        }
        | DRAFT7,
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer", "maximum": -5}}},
        {"$ref": "#/$defs/list/anyOf/1", "$defs": {"list": {"anyOf": [{}, {"type": "null"}]}}},
        {"$ref": "#named", "$defs": {"a": {"$anchor": "named", "type": "boolean"}}},
        {"properties": {"a": {"$ref": "item"}}, "$defs": {"i": {"$id": "item", "type": "null"}}},
        {"$ref": "#/$defs/a", "minimum": 4, "$defs": {"a": {"type": "integer", "maximum": 4}}},
        {"allOf": [{"type": ["integer", "null"]}, {"type": ["null", "string"]}]},
        {"allOf": [{"type": "number"}, {"type": "integer"}]},
        {"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4]}]},
        {"allOf": [{"type": "array", "items": {"minimum": 2}}, {"items": {"maximum": 2}}]},
        {
            "allOf": [
                {"properties": {"a": {"minimum": 2}}},
                {"additionalProperties": {"type": "integer"}},
            ],
            "type": "object",
        },
        {
            "allOf": [{"properties": {"a": {"minimum": 3}}}, {"properties": {"a": {"maximum": 3}}}],
            "type": "object",
        },
        {"allOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"},
        {"allOf": [{"title": "x"}, {"title": "y"}, {"minLength": 2}, {"maxLength": 3}]},
        {"default": 7, "type": "string"},
        {"examples": [7, "x"], "type": "string"},
        {"required": ["b"]},
        {"prefixItems": [{"type": "null"}]},
        {"minimum": 7},
        {"type": "string", "minLength": 3, "maxLength": 3, "pattern": "^[a-c]+$"},
        {"type": "string", "pattern": "^x", "maxLength": 1},
        {"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "z$"}]},
        {"type": "string", "pattern": r"^([\w-]+\.)+[A-Za-z]{2,}$"},
        {
            "type": "array",
            "uniqueItems": True,
            "minItems": 50,
            "items": {"maximum": 49, "minimum": 0},
        },
        {
            "type": "array",
            "uniqueItems": True,
            "minItems": 12,
            "items": {
                "properties": {"a": {"type": "boolean"}, "b": {"enum": [1, 2, 3, 4, 5, 6]}},
                "required": ["a", "b"],
            },
        },
        {
            "type": "array",
            "uniqueItems": True,
            "minItems": 4,
            "items": {"prefixItems": [{"type": "boolean"}] * 2, "minItems": 2, "maxItems": 2},
        },
        {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "contains": {"type": "string"},
            "minContains": 2,
            "maxContains": 2,
            "minItems": 4,
        },
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"properties": {"a": {}, "b": {}}, "required": ["a"], "not": {"required": ["b"]}},
    ],
)
def test_samples_satisfy(schema):
    judge(sample(schema), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 100_000_000},
        {"type": "array", "minItems": 9_000, "uniqueItems": True},
        {"type": "string", "minLength": 10**9},
        {"type": "object", "minProperties": 10**9},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"$ref": "#"},
        {"type": "array", "minItems": 1, "items": {"$ref": "#"}},
        {"allOf": [{"$ref": "#"}]},
        False,
        {"type": "object", "required": ["a"], "properties": {"a": False}},
        {"type": 7, "enum": 3},
    ],
)
def test_what_cannot_be_is_refused(schema):
    with pytest.raises(SchemaError):
        sample(schema)


def test_a_type_with_many_properties_of_its_own_type_ends_early():
    names = "abcdefgh"
    inner = {"type": "object", "properties": {name: {"$ref": "#/$defs/a"} for name in names}}
    schema = {"$ref": "#/$defs/a", "$defs": {"a": inner}}
    judge(sample(schema), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "^[z-"},
        {"type": "string", "pattern": "a\\"},
        {"type": "string", "pattern": "^[]$"},
        {"type": "string", "pattern": "a)"},
        {"type": "string", "pattern": "*"},
        {"type": "string", "pattern": r"^(a)\1(b)\2$"},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "properties": [], "required": {"a": 1}},
        {"minimum": "a", "type": "integer", "items": 3, "multipleOf": 0},
        {"type": "string", "pattern": "^a{100001}$"},
        {"$ref": 3},
        {"$ref": "#/a/7", "a": [1]},
    ],
)
def test_damaged_schemas_get_some_value(schema):
    sample(schema)


def test_a_deep_schema_is_refused():
    schema = {"type": "null"}
    for _ in range(5_000):
        schema = {"anyOf": [schema]}
    with pytest.raises(SchemaError):
        sample(schema)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_texts_match_their_pattern(pattern):
    texts = list(matching_texts(pattern))
    fitting = [text for text in texts if re.search(pattern, text)]
    assert fitting
    # What an assertion asks for is a guess; all others are right by the way they are made.
    assert "(?" in pattern.replace("(?:", "").replace("(?P", "") or fitting == texts


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ([1, 2], {"contains": {"const": 3}}),
        ([3, 3], {"contains": {"const": 3}, "maxContains": 1}),
        ([3], {"contains": {"const": 3}, "minContains": 2}),
        ([1, True, 1.0], {"uniqueItems": True}),
        ({"a": 1}, {"dependentRequired": {"a": ["b"], "c": ["d"]}}),
        ({"a": 1}, {"dependentSchemas": {"a": {"required": ["b"]}, "c": False}}),
        ({"a": 1}, {"propertyNames": {"maxLength": 0}}),
        ({"a": 1}, {"minProperties": 2}),
        ([1], {"minItems": 2}),
        ("x", {"$ref": "#"}),
        ("x", {"type": "integer"}),
        ("x", {"type": ["integer", 7, "unknown"]}),
        ("x", {"const": "y"}),
        (1, {"enum": [True, "1"]}),
        (4, {"multipleOf": 3}),
        (0.3, {"multipleOf": 0.1}),
        (1e300, {"multipleOf": 1e-300}),
        (1, {"not": {}}),
        (1, {"oneOf": [{}, {}]}),
        (1, {"anyOf": [False]}),
        (1, {"if": {"type": "integer"}, "then": {"minimum": 5}}),
        (1, False),
    ],
)
def test_what_does_not_fit(value, schema):
    assert not SchemaCheck(schema).fits(value, schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "const": 1}, 1),
        ({"allOf": [{"minimum": 3}, {"minimum": 5, "maximum": 9}, {"maximum": 7}]}, 5),
        ({"type": "number", "minimum": 0.5, "not": {"enum": [21.5, 0.5, 1.5, 0.75, 1.0]}}, 2.0),
        ({"anyOf": [{"required": ["a"], "properties": {"a": False}}, {"const": 2}]}, 2),
        ({"type": "object", "properties": {"a": {"const": 1, "type": "null"}}}, {}),
        (
            {"type": "array", "uniqueItems": True, "minItems": 3, "items": {"type": "boolean"}},
            [True, False],
        ),
        ({"type": "object", "minProperties": 2, "propertyNames": {"enum": ["x"]}}, {"x": "x"}),
        ({"$ref": "#deep", "a": 1}, "text"),
    ],
)
def test_the_best_there_is(schema, value):
    assert sample(schema) == value


def test_a_schema_with_a_long_way_to_its_anchor():
    schema = {"$anchor": "end", "type": "null"}
    for _ in range(100):
        schema = {"$defs": {"next": schema}}
    assert sample(schema | {"$ref": "#end"}) == "text"


def test_references_that_python_cannot_follow(monkeypatch):
    def without_end(*_):
        raise RecursionError

    monkeypatch.setattr(SchemaCheck, "fits", without_end)
    with pytest.raises(SchemaError, match="nested too deeply"):
        sample({})


@pytest.mark.parametrize("pattern", [r"^\p{Lu}\p{L}\P{N}\p{Script=Han}$", r"[\u{41}-C]\n\b"])
def test_patterns_that_python_cannot_read(pattern):
    assert next(iter(matching_texts(pattern)))
    assert sample({"type": "string", "pattern": pattern})


@pytest.mark.parametrize("pattern", ["(", "[a", "a\\", "a)", "[^\\s\\S]"])
def test_damaged_patterns(pattern):
    with pytest.raises(PatternError):
        list(matching_texts(pattern))
