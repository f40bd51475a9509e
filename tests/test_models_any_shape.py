"""Whatever stands in the fields of an answer, it is read, and its properties hold."""

import inspect
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import times
from tests.reading import read
from zai_async import models

STRUCTS = [
    found
    for name in models.__all__
    if inspect.isclass(found := getattr(models, name))
    and issubclass(found, msgspec.Struct)
    and found.__module__ != "zai_async.models.options"
]

any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def documents(struct: type[msgspec.Struct], depth: int = 3) -> st.SearchStrategy[Any]:
    """Make objects with the struct's own keys, holding its own shapes or anything at all."""
    fields = msgspec.structs.fields(struct)
    shapes = {field.encode_name: shape(field.type, depth) | any_json for field in fields}
    return st.fixed_dictionaries({}, optional=shapes)


def shape(kind: Any, depth: int) -> st.SearchStrategy[Any]:
    """Find the structs in an annotation; the rest is left to chance."""
    inner = [
        part for part in walk(kind) if inspect.isclass(part) and hasattr(part, "__struct_fields__")
    ]
    if not inner or not depth:
        return any_json
    one = documents(inner[0], depth - 1)
    return one | st.lists(one, max_size=2)


def walk(kind: Any) -> list[Any]:
    return [kind, *(part for each in getattr(kind, "__args__", ()) for part in walk(each))]


@pytest.mark.parametrize("struct", STRUCTS)
def test_any_object_is_read(struct):
    @settings(max_examples=times(100, 5))
    @given(documents(struct))
    def holds(document):
        answer = read(struct, document)
        assert isinstance(answer, struct)
        for name, _ in inspect.getmembers(struct, lambda member: isinstance(member, property)):
            getattr(answer, name)

    holds()
