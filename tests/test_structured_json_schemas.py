"""JSON Schemas as types: what fits them, by the judgement of a library of others."""

import json

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async import ConfigurationError
from zai_async.structured import AnswerFormat
from zai_async.structured.json_schemas import type_from

SCALARS = st.sampled_from(["boolean", "integer", "null", "number", "string"])
SIZES = st.integers(0, 3)
NAMES = st.sampled_from(["a", "b", "class", "two words"])
LEAVES = st.one_of(
    st.builds(lambda kind: {"type": kind}, SCALARS),
    st.builds(lambda kinds: {"type": kinds}, st.lists(SCALARS, min_size=1, unique=True)),
    st.builds(lambda least: {"type": "integer", "minimum": least}, SIZES),
    st.builds(lambda most: {"type": "number", "exclusiveMaximum": most}, SIZES),
    st.builds(lambda step: {"type": "integer", "multipleOf": step + 1}, SIZES),
    st.builds(lambda least: {"type": "string", "minLength": least, "pattern": "^[a-c]*$"}, SIZES),
    st.builds(lambda values: {"enum": values}, st.lists(SIZES, min_size=1, unique=True)),
    st.builds(lambda value: {"const": value}, st.sampled_from(["a", "b", 1, None])),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items, "maxItems": 2}, inner),
        st.builds(
            lambda members, needed: {
                "type": "object",
                "properties": members,
                "required": needed,
            },
            st.dictionaries(NAMES, inner, max_size=3),
            st.lists(NAMES, max_size=1),
        ),
    ),
    max_leaves=4,
)
VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, 0.5, 2.5, "", "a", "abc", "d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def fits(schema, value):
    try:
        found = msgspec.json.decode(json.dumps(value), type=type_from(schema))
    except msgspec.ValidationError:
        return False
    return is_part(found, value)


def is_part(found, value):
    """Tell whether a value is another one, but for members that no schema names."""
    if isinstance(found, dict):
        return all(is_part(each, value[name]) for name, each in found.items())
    if isinstance(found, list):
        return len(found) == len(value) and all(map(is_part, found, value))
    return found == value and type(found) is type(value)


@given(SCHEMAS, VALUES)
def test_what_fits_is_what_others_find_valid(schema, value):
    assert fits(schema, value) == jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "fitting"),
    [
        ({}, 7),
        ({"properties": {"a": {"type": "string"}}}, {"a": "x"}),
        ({"type": "object"}, {"whatever": [1]}),
        ({"enum": [True, 1.5]}, "is not looked at"),
        ({"enum": []}, "is not looked at"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        # Types cannot tell two kinds of objects apart.
        ({"oneOf": [{"type": "object"}, {"properties": {"a": {"type": "null"}}}]}, {"a": 1}),
    ],
)
def test_what_is_left_open(schema, fitting):
    assert fits(schema, fitting)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "strin"},
        {"type": 5},
        {"type": "string", "pattern": "("},
        {"type": "string", "minLength": "x"},
        {"type": "object", "properties": [1]},
        {"type": "object", "required": 5},
        {"type": "array", "items": []},
        {"enum": 5},
        {"$ref": "#/$defs/Missing"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}},
    ],
)
def test_what_is_no_schema_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="the schema is none: "):
        AnswerFormat(wrong)
