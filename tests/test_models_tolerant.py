import json
import math
from collections import UserDict, UserList, namedtuple
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async.models import (
    ChatCompletion,
    ChatCompletionChunk,
    EmbeddingResponse,
    Message,
    RerankResponse,
)
from zai_async.models.encoding import encode
from zai_async.models.tolerant import decode

COMPLETION = msgspec.json.Decoder(ChatCompletion)
CHUNK = msgspec.json.Decoder(ChatCompletionChunk)

USAGE = {
    "prompt_tokens": 21,
    "completion_tokens": 9,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
SOURCE = {
    "title": "Lighthouses",
    "content": "On lighthouses.",
    "link": "https://example.org/l",
    "media": "Example",
    "icon": "https://example.org/i.png",
    "refer": "ref_1",
    "publish_date": "2026-01-02",
}
CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"q": "灯塔"}'},
}
AUDIO = {"id": "a1", "data": "UklGRg==", "expires_at": 1791490000}
WHOLE = {
    "id": "20261120094223aa",
    "request_id": "mine-000001",
    "created": 1791482096,
    "object": "chat.completion",
    "model": "glm-5.3",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": "Fine.",
                "reasoning_content": "Hm.",
                "tool_calls": [CALL, {**CALL, "index": 1, "id": "call_2"}],
                "audio": AUDIO,
            },
            "usage": USAGE,
        },
        {"index": 1, "finish_reason": "length", "message": {"content": [{"type": "text"}]}},
    ],
    "usage": USAGE,
    "web_search": [SOURCE, {**SOURCE, "refer": "ref_2"}],
    "content_filter": [{"role": "user", "level": 3}],
}
PIECE = {
    **{key: WHOLE[key] for key in ("id", "created", "model", "usage", "web_search")},
    "choices": [
        {
            "index": 0,
            "delta": {
                "role": "assistant",
                "content": "Fi",
                "reasoning_content": "H",
                "tool_calls": [CALL],
                "audio": AUDIO,
            },
            "finish_reason": "stop",
            "usage": USAGE,
        }
    ],
    "content_filter": [{"role": "user", "level": 3}],
}


def completion(document):
    return decode(COMPLETION, json.dumps(document).encode())


# --- coercion -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "kept"),
    [(17, "17"), (1.5, "1.5"), (True, "true"), ({"a": "é"}, '{"a":"é"}'), ([1, 2], "[1,2]")],
)
def test_a_string_field_takes_the_json_text_of_other_values(received, kept):
    assert completion({"id": received}).id == kept


@pytest.mark.parametrize(
    ("received", "kept"),
    [("12", 12), (12.0, 12), ("1e3", 1000), (1.5, 0), ("soon", 0), (True, 0), ([], 0), (None, 0)],
)
def test_an_integer_field_takes_what_is_integral_and_else_its_default(received, kept):
    assert completion({"created": received}).created == kept


def test_an_object_in_place_of_a_list_is_its_only_element():
    part = {"type": "text", "text": "hello"}
    answer = completion({"choices": {"message": {"content": part}}})
    assert answer.choices[0].message.content == [part]
    assert answer.text == "hello"


def test_arguments_given_as_an_object_become_their_json_text():
    calls = [{"id": "1", "function": {"name": "f", "arguments": {"city": "Köln", "days": [1]}}}]
    answer = completion({"choices": [{"message": {"tool_calls": calls}}]})
    assert answer.tool_calls[0].arguments == '{"city":"Köln","days":[1]}'
    assert answer.tool_calls[0].function.parse() == {"city": "Köln", "days": [1]}


def test_null_is_absence():
    document = dict.fromkeys(WHOLE)
    assert completion(document) == ChatCompletion()
    assert completion({"choices": [{"message": None}]}).message == Message()
    assert completion({"choices": [{"message": {"tool_calls": None}}]}).tool_calls == []


def test_elements_that_do_not_fit_are_left_out():
    answer = completion({"web_search": [1, SOURCE, None, "x", {**SOURCE, "link": None}, []]})
    assert [source.link for source in answer.web_search] == [SOURCE["link"], ""]


def test_one_fault_in_many_elements_is_mended_in_one_go():
    sources = [{**SOURCE, "link": None, "icon": 5, "refer": f"ref_{n}"} for n in range(2000)]
    answer = completion({"web_search": sources})
    assert [source.refer for source in answer.web_search] == [s["refer"] for s in sources]
    assert {(source.link, source.icon) for source in answer.web_search} == {("", "5")}


def test_elements_of_another_kind_keep_their_value():
    sources = [{"title": 1}, {"title": "two"}, {"title": None}, {}]
    answer = completion({"web_search": sources})
    assert [source.title for source in answer.web_search] == ["1", "two", "", ""]


class Strict(msgspec.Struct):
    number: int
    scores: dict[str, int] = {}
    keys: dict[int, str] = {}
    pair: tuple[int, int] = (0, 0)
    flag: bool = False


class Strings(msgspec.Struct):
    labels: dict[str, str] = {}


class Foreign(msgspec.Struct):
    strict: list[Strict] = []
    small: list[dict[str, int]] = []
    kept: str = ""


FOREIGN = msgspec.json.Decoder(Foreign)


@pytest.mark.parametrize(
    "broken",
    [
        {"scores": {"a": 1, "b": "many"}},
        {"keys": {"x": "y"}},
        {"pair": [1]},
        {"pair": [1, {}]},
        {"flag": "perhaps"},
    ],
)
def test_a_fault_without_an_address_costs_the_field_around_it(broken):
    document = {"strict": [{"number": 1, **broken}], "kept": "yes"}
    assert decode(FOREIGN, json.dumps(document).encode()) == Foreign([Strict(1)], kept="yes")


def test_an_element_without_a_required_field_is_left_out():
    found = decode(FOREIGN, b'{"strict": [{}, {"number": "2", "flag": "true"}]}')
    assert found.strict == [Strict(2, flag=True)]


def test_a_dictionary_with_a_wrong_entry_is_not_taken_for_text():
    found = decode(msgspec.json.Decoder(Strings), b'{"labels": {"a": 1}}')
    assert found == Strings()


def test_a_document_with_endless_faults_costs_the_field_and_keeps_the_rest():
    document = {"strict": [{"pair": [n]} for n in range(500)], "kept": "yes"}
    assert decode(FOREIGN, json.dumps(document).encode()) == Foreign(kept="yes")


def test_dec_hook_of_the_decoder_is_used():
    decoder = msgspec.json.Decoder(dict[str, complex], dec_hook=lambda _, value: complex(value))
    assert decode(decoder, '\ufeff{"z": "1j"}'.encode()) == {"z": 1j}


# --- documents that are none ----------------------------------------------------------------


@pytest.mark.parametrize("top", [b"[]", b"3", b'"text"', b"null", b"true"])
def test_a_top_level_that_does_not_fit_raises(top):
    with pytest.raises(msgspec.ValidationError, match="Expected `object`"):
        decode(COMPLETION, top)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b'{"id": "a"} trailing',
        b'{"id": "a"data: {"id": "b"}',
        b"<html>",
        b'{"id": "\xff"}',
        b'\xff{"id": 1}',
        b'{"created": ' + b"1" * 5000 + b"}",
        b"[" * 100_000,
        b'{"usage": ' * 100_000,
        b'{"other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=range(12),
)
def test_malformed_json_raises_decode_error_only(data):
    with pytest.raises(msgspec.DecodeError) as caught:
        decode(COMPLETION, data)
    assert type(caught.value) is msgspec.DecodeError


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"id": "\\ud83d"}', "\ufffd"),
        (b'{"\\ud800": 1, "id": "a"}', "a"),
        (b'\xef\xbb\xbf{"id": "a"}', "a"),
        (b'{"id": "a", "created": NaN}', "a"),
        (b'{"id": "a", "created": 1e999}', "a"),
        (b'{"id": "a", "other": 1e999}', "a"),
    ],
)
def test_what_only_the_standard_library_reads_is_read(data, expected):
    assert decode(COMPLETION, data).id == expected


@given(st.binary(max_size=60))
def test_no_bytes_at_all_raise_anything_else(data):
    try:
        answer = decode(COMPLETION, data)
    except msgspec.DecodeError:
        answer = ChatCompletion()
    assert isinstance(answer, ChatCompletion)


# --- property: damage stays local -----------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.integers().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def addresses(node, path=()):
    """List the path of every value below the top of a JSON document."""
    steps = node.items() if isinstance(node, dict) else enumerate(node)
    for step, child in steps if isinstance(node, (dict, list)) else ():
        yield (*path, step)
        if isinstance(child, (dict, list)):
            yield from addresses(child, (*path, step))


def at(node, path):
    for step in path:
        node = node[step]
    return node


def damage(document, data):
    """Change one place of the document; return the path below which nothing is promised."""
    path = data.draw(st.sampled_from(list(addresses(document))))
    parent = at(document, path[:-1])
    how = data.draw(st.sampled_from(["remove", "null", "replace", "add"]))
    if how == "remove":
        del parent[path[-1]]
    elif how == "add" and isinstance(parent, dict):
        parent["brand_new"] = data.draw(json_values)
        return (*path[:-1], "brand_new")
    else:
        parent[path[-1]] = None if how == "null" else data.draw(json_values)
    return path[:-1] if isinstance(path[-1], int) else path


def leaves(value):
    document = msgspec.to_builtins(value)
    return {
        path: leaf
        for path in addresses(document)
        if not isinstance(leaf := at(document, path), (dict, list))
    }


PARTS = [("prompt_tokens",), ("completion_tokens",)]


@pytest.mark.parametrize(("decoder", "original"), [(COMPLETION, WHOLE), (CHUNK, PIECE)])
@given(data=st.data())
def test_damage_anywhere_never_raises_and_stays_where_it_is(decoder, original, data):
    document = json.loads(json.dumps(original))  # without shared parts
    touched = [damage(document, data) for _ in range(data.draw(st.integers(1, 3)))]
    found = leaves(decode(decoder, json.dumps(document).encode()))
    expected = leaves(decoder.decode(json.dumps(original)))
    # A total is at least the sum of its parts: it follows a part that was changed.
    touched += [(*place[:-1], "total_tokens") for place in touched if place[-1:] in PARTS]
    safe = {
        path: leaf
        for path, leaf in expected.items()
        if not any(path[: len(place)] == place for place in touched)
    }
    assert {path: found.get(path) for path in safe} == safe


# --- encode ---------------------------------------------------------------------------------

Point = namedtuple("Point", "x y")  # noqa: PYI024


class Text(str):
    __slots__ = ()


class Ratio(float):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"a": [1, 2.5, True, None, "é"]}, '{"a":[1,2.5,true,null,"é"]}'),
        (MappingProxyType({"a": UserDict(b=UserList([1]))}), '{"a":{"b":[1]}}'),
        (range(3), "[0,1,2]"),
        (Point(1, (2,)), "[1,[2]]"),
        ([Text("a"), Ratio(0.5)], '["a",0.5]'),
        ({"n": 10**30}, '{"n":1000000000000000000000000000000}'),
        (Message(content=""), '{"role":"assistant","content":""}'),
        ({"text": "null NaN Infinity"}, '{"text":"null NaN Infinity"}'),
    ],
)
def test_encode(value, body):
    assert encode(value) == body.encode()


def test_lone_surrogates_are_sent_as_escapes():
    value = {"a\udc80": ["é\ud83d", MappingProxyType({"b": Message(content="\ud800")}), {1: 2}]}
    body = encode(value)
    assert body.isascii()
    assert json.loads(body) == {
        "a\udc80": ["é\ud83d", {"b": {"role": "assistant", "content": "\ud800"}}, {"1": 2}]
    }


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, Ratio("nan")], ids=range(4))
@pytest.mark.parametrize("text", ["", "\ud800"])
def test_numbers_that_json_lacks_are_refused(number, text):
    with pytest.raises(ValueError, match=r"cannot be sent as JSON - at `\$\.a\[1\]\.b`"):
        encode({"a": [text, {"b": number}]})


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_values_that_json_lacks_are_refused(text):
    with pytest.raises(TypeError, match=r"object cannot be sent as JSON - at `\$\.a\[1\]`"):
        encode({"a": [text, object()]})


def test_the_place_of_a_refused_value_can_be_printed():
    with pytest.raises(TypeError) as caught:
        encode({"\ud800": 1j})
    assert str(caught.value).isprintable()


def test_keys_that_json_lacks_are_refused():
    with pytest.raises(TypeError, match=r"^dict has a key that cannot be sent as JSON - at `\$`$"):
        encode({(1, 2): 3})


def test_a_value_that_contains_itself_is_refused():
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="contains itself"):
        encode(value)


@given(json_values)
def test_encode_is_read_back_unchanged(value):
    assert json.loads(encode(value)) == value


# --- types of a caller ----------------------------------------------------------------------


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog", forbid_unknown_fields=True):
    name: str
    puppies: "list[Dog]" = []


class Zoo(msgspec.Struct):
    first: Cat | Dog | None = None
    dog: Dog | None = None
    kept: str = ""


def test_unions_of_structs_are_taken_as_a_whole_or_not_at_all():
    decoder = msgspec.json.Decoder(Zoo)
    document = {"first": {"type": "cat", "lives": 9}, "kept": 1}
    assert decode(decoder, json.dumps(document).encode()) == Zoo(first=Cat(9), kept="1")
    document = {"first": {"type": "cat", "lives": "nine"}, "kept": 1}
    assert decode(decoder, json.dumps(document).encode()) == Zoo(kept="1")


def test_a_tag_is_no_unknown_field():
    document = {"dog": {"type": "dog", "name": 1, "puppies": [{"type": "dog", "name": "b"}]}}
    found = decode(msgspec.json.Decoder(Zoo), json.dumps(document).encode())
    assert found.dog == Dog("1", [Dog("b")])


NUMBERS_IN_QUOTES = ["NaN", "nan", "Infinity", "-inf", "1e999", "-1e999"]


@pytest.mark.parametrize("text", NUMBERS_IN_QUOTES)
def test_no_number_in_quotes_becomes_one_that_json_lacks(text):
    """Else the answer could not be stored or sent again."""
    document = {"results": [{"index": 0, "relevance_score": text}]}
    decoder = msgspec.json.Decoder(RerankResponse)
    answer = decode(decoder, json.dumps(document).encode())
    assert answer.results[0].relevance_score == 0.0
    assert RerankResponse.from_dict(answer.to_dict()) == answer


@pytest.mark.parametrize("item", [*NUMBERS_IN_QUOTES, "x", None, {}])
def test_no_list_of_numbers_loses_one(item):
    """What follows would stand at another place: there is no vector, rather than another one."""
    document = {"data": [{"index": 0, "embedding": [0.5, item, "0.25"]}]}
    decoder = msgspec.json.Decoder(EmbeddingResponse)
    assert decode(decoder, json.dumps(document).encode()).vectors == [[]]
    document["data"][0]["embedding"][1] = "0.125"
    assert decode(decoder, json.dumps(document).encode()).vectors == [[0.5, 0.125, 0.25]]
    document["data"][0]["embedding"] = "abc"
    assert decode(decoder, json.dumps(document).encode()).vectors == [[]]
