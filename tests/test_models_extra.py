"""Unknown fields: kept where they stood, shown as ``extra``, and sent back with the message."""

import copy
import json
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.counting import calls
from zai_async import models
from zai_async.models import (
    ChatCompletion,
    ChatCompletionChunk,
    Delta,
    FunctionCall,
    Message,
    Reply,
    ToolCall,
)
from zai_async.models.encoding import encode
from zai_async.models.extra import EXTRA_KEY, extra_of, flattened, with_extra
from zai_async.models.json_object import JSONObject
from zai_async.models.reply import attach_call
from zai_async.models.tolerant import decode, read

CHUNK = msgspec.json.Decoder(ChatCompletionChunk)
COMPLETION = msgspec.json.Decoder(ChatCompletion)

OBJECTS = [
    found
    for name in models.__all__
    if isinstance(found := getattr(models, name), type) and issubclass(found, JSONObject)
]


def chunk(**changes):
    delta = {"content": "Hi", **changes.pop("delta", {})}
    return {"id": "c1", "choices": [{"index": 0, "delta": delta}], **changes}


def sent(*messages):
    return json.loads(encode({"messages": messages}))["messages"]


# --- kept and shown --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_object_keeps_what_it_does_not_know(kind):
    found = read(kind, {"brand_new": {"a": [1]}, "__dict__": 1})
    assert isinstance(found, kind)
    assert found.extra == {"brand_new": {"a": [1]}, "__dict__": 1}
    assert "brand_new" in repr(found)
    assert repr(found).startswith(f"{kind.__name__}(")
    for copied in (copy.copy(found), copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert copied == found
        assert type(copied) is type(found)
        assert copied.extra == found.extra


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_without_unknown_fields_is_of_the_public_class_and_has_none(kind):
    found = read(kind, {})
    assert type(found) is kind
    assert found.extra == {}
    with pytest.raises(TypeError):
        found.extra["a"] = 1
    assert "extra" not in kind.__struct_fields__


def test_unknown_fields_are_kept_at_every_place_of_a_chunk():
    call = {"index": 0, "function": {"name": "f", "parsed": 1}, "mcp": {"server": "s"}}
    found = decode(
        CHUNK,
        json.dumps(
            {
                "id": "c1",
                "service_tier": "x",
                "choices": [
                    {
                        "logprobs": None,
                        "delta": {"content": "a", "refusal": "no", "tool_calls": [call]},
                    }
                ],
            }
        ).encode(),
    )
    choice = found.choices[0]
    assert found.extra == {"service_tier": "x"}
    assert choice.extra == {"logprobs": None}
    assert choice.delta.extra == {"refusal": "no"}
    assert choice.delta.tool_calls[0].extra == {"mcp": {"server": "s"}}
    assert choice.delta.tool_calls[0].function.extra == {"parsed": 1}
    assert (found.id, found.text) == ("c1", "a")


def test_unknown_fields_stay_with_what_the_call_adds():
    found = read(ChatCompletion, {"id": "a", "system_fingerprint": "fp"})
    attach_call(found, attempts=(), outcome="length")
    for copied in (copy.copy(found), pickle.loads(pickle.dumps(found))):
        assert (copied.outcome, copied.extra) == ("length", {"system_fingerprint": "fp"})


def test_a_field_that_is_unset_does_not_hide_that_two_objects_differ():
    assert read(Delta, {"content": "a", "x": 1}) == read(Delta, {"content": "a", "x": 1})
    assert read(Delta, {"content": "a", "x": 1}) != read(Delta, {"content": "a"})


def test_extra_of_anything():
    assert extra_of(models.Timeout()) == extra_of(Message()) == {}
    assert extra_of(read(Message, {"x": 1})) == {"x": 1}


def test_unknown_fields_can_be_replaced():
    message = with_extra(Message(content="a"), {"x": 1})
    assert message == read(Message, {"content": "a", "x": 1})
    assert with_extra(message, {"y": 2}).extra == {"y": 2}
    assert with_extra(message, {}) == Message(content="a")
    reply = Reply(request_id="r")
    attach_call(reply, attempts=(), outcome="length")
    assert with_extra(reply, {"x": 1}).outcome == "length"


# --- sent back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "ok", "reasoning_details": [{"signature": "s"}]},
        {"role": "assistant", "content": "", "reasoning": "Hm."},
        {"role": "assistant", "reasoning": "Hm.", "reasoning_content": "Other."},
        {"role": "assistant", "reasoning": {"effort": "high"}, "reasoning_content": "Hm."},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "1", "type": "mcp", "mcp": {"type": "mcp_call", "arguments": "{}"}},
                {"id": "2", "type": "function", "function": {"name": "f", "arguments": "", "x": 1}},
                {
                    "id": "3",
                    "type": "function",
                    "function": {"name": "f", "arguments": "{}"},
                    "extra_content": {"google": {"thought_signature": "s"}},
                },
            ],
        },
        {"role": "assistant", "content": "a", EXTRA_KEY: 3},
    ],
)
def test_a_message_goes_back_as_it_came(message):
    answer = decode(COMPLETION, json.dumps({"choices": [{"message": message}]}).encode())
    assert sent(answer.message) == [message]
    assert sent({"role": "assistant", "tool_calls": answer.tool_calls})[0]["tool_calls"] == (
        message.get("tool_calls", [])
    )


def test_reasoning_that_came_by_both_names_goes_back_by_the_one_that_is_documented():
    message = read(Message, {"role": "assistant", "reasoning": "a", "reasoning_content": "a"})
    assert sent(message) == [{"role": "assistant", "reasoning_content": "a"}]


def test_reasoning_that_was_removed_does_not_go_back():
    message = read(Message, {"role": "assistant", "content": "a", "reasoning": "Hm."})
    message.reasoning_content = None
    assert sent(message) == [{"role": "assistant", "content": "a"}]


def test_known_fields_win_over_unknown_ones():
    message = read(Message, {"role": "assistant", "x": 1})
    message.extra["role"] = "system"
    assert sent(message) == [{"role": "assistant", "x": 1}]


def test_a_message_that_msgspec_encoded_loses_nothing():
    message = read(Message, {"role": "assistant", "content": "a", "x": [1, {"y": 2}]})
    stored = json.loads(msgspec.json.encode(message))
    assert sent(stored) == [{"role": "assistant", "content": "a", "x": [1, {"y": 2}]}]


def test_a_text_that_looks_like_the_mark_is_a_text():
    assert sent({"role": "user", "content": EXTRA_KEY}) == [{"role": "user", "content": EXTRA_KEY}]
    assert flattened(({EXTRA_KEY: 1},)) == [{}]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.text(max_size=12).map("x_".__add__), json_values))
def test_any_unknown_fields_go_back_unchanged(extra):
    try:
        data = json.dumps(
            {"choices": [{"message": {"role": "assistant", **extra}}]}, allow_nan=False
        ).encode()
    except ValueError:
        return
    assert sent(decode(COMPLETION, data).message) == [{"role": "assistant", **extra}]


# --- other names -----------------------------------------------------------------------------


def test_reasoning_is_read_by_its_other_name():
    found = read(ChatCompletionChunk, chunk(delta={"content": "", "reasoning": "Let me"}))
    assert found.thinking == "Let me"
    assert found.choices[0].delta.extra == {"reasoning": "Let me"}
    whole = {"choices": [{"message": {"content": "a", "reasoning": "Let me"}}]}
    assert read(ChatCompletion, whole).thinking == "Let me"


def test_a_message_in_place_of_a_delta_is_one():
    found = read(ChatCompletionChunk, {"choices": [{"message": {"content": "a", "x": 1}}]})
    assert found.text == "a"
    assert found.choices[0].extra == {}
    assert found.choices[0].delta.extra == {"x": 1}
    assert read(ChatCompletion, {"choices": [{"delta": {"content": "a"}}]}).text == "a"


def test_a_message_beside_a_delta_is_kept_as_unknown():
    found = read(
        ChatCompletionChunk, {"choices": [{"delta": {"content": "a"}, "message": {"content": "b"}}]}
    )
    assert found.text == "a"
    assert found.choices[0].extra == {"message": {"content": "b"}}


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["-1", "9007199254740992", "1" * 401, "1e300", '"-5"', "true"])
def test_a_count_that_no_counter_reaches_is_absent(number):
    data = b'{"id":"a","usage":{"prompt_tokens":%b,"total_tokens":7}}' % number.encode()
    found = decode(COMPLETION, data)
    assert (found.usage.prompt_tokens, found.usage.total_tokens, found.id) == (0, 7, "a")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
@pytest.mark.parametrize("place", [b'{"role":"assistant","content":%b}', b'{"tool_calls":[%b]}'])
def test_what_is_no_number_is_never_turned_into_text(number, place):
    data = b'{"choices":[{"message":' + place % number + b"}]}"
    with pytest.raises(msgspec.DecodeError, match="JSON lacks"):
        decode(COMPLETION, data)
    arguments = b'{"tool_calls":[{"function":{"name":"f","arguments":{"a":%b}}}]}' % number
    with pytest.raises(msgspec.DecodeError, match="JSON lacks"):
        decode(COMPLETION, b'{"choices":[{"message":' + arguments + b"}]}")


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_what_is_no_number_costs_a_number_only(number):
    content = b'[{"type":"text","text":"a","n":%b}]' % number
    data = b'{"created":%b,"x":{"y":[%b]},"choices":[{"message":{"content":%b}}]}'
    found = decode(COMPLETION, data % (number, number, content))
    assert (found.created, found.text, found.extra) == (0, "a", {"x": {"y": [None]}})
    assert found.message.content == [{"type": "text", "text": "a", "n": None}]


# --- the cost --------------------------------------------------------------------------------


def test_the_work_of_mending_a_document_grows_with_its_size_only():
    def work(count):
        many = [
            {"id": n, "function": {"name": "f", "arguments": {"n": n}, f"x{n}": n}}
            for n in range(count)
        ]
        data = json.dumps({"choices": [{"message": {"tool_calls": many}}]}).encode()
        answer = decode(COMPLETION, data)
        assert answer.tool_calls[-1].arguments == f'{{"n":{count - 1}}}'
        return calls(lambda: decode(COMPLETION, data))

    assert work(1600) < 16 * 1.2 * work(100)


def test_a_function_call_without_unknown_fields_takes_no_more_room():
    plain = ToolCall(function=FunctionCall(name="f"))
    assert type(read(ToolCall, {"function": {"name": "f"}})) is type(plain)
