import copy
import json
import pickle
from typing import Any, get_type_hints, is_typeddict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async import models
from zai_async.errors import Attempt, ToolCallMalformedError
from zai_async.models import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatParams,
    Choice,
    FunctionCall,
    Message,
    Reply,
    ToolCall,
    Usage,
)
from zai_async.models.encoding import encode
from zai_async.models.reply import attach_call
from zai_async.models.tolerant import decode

COMPLETION = msgspec.json.Decoder(ChatCompletion)
CHUNK = msgspec.json.Decoder(ChatCompletionChunk)
MESSAGE = msgspec.json.Decoder(Message)

STRUCTS = [
    found for name in models.__all__ if hasattr(found := getattr(models, name), "__struct_fields__")
]
TYPED_DICTS = [found for name in models.__all__ if is_typeddict(found := getattr(models, name))]
ATTEMPTS = (Attempt(number=1, started=0.0, duration=0.2, status_code=200),)

# The body fields of the published request schemas, both sites, and those of the official SDKs.
BODY_FIELDS = {
    "do_sample",
    "max_tokens",
    "messages",
    "meta",
    "model",
    "reasoning_effort",
    "request_id",
    "response_format",
    "seed",
    "sensitive_word_check",
    "stop",
    "temperature",
    "thinking",
    "tool_choice",
    "tool_stream",
    "tools",
    "top_p",
    "user_id",
    "watermark_enabled",
}

ANSWER = b"""{"id":"20261120094223aa","request_id":"mine-000001","created":1791482096,
 "object":"chat.completion","model":"glm-5.3","choices":[{"index":0,"finish_reason":"tool_calls",
 "message":{"role":"assistant","content":"Let me look.","reasoning_content":"Hm.","tool_calls":[
 {"index":0,"id":"call_-76","type":"function","function":{"name":"f","arguments":"{\\"a\\":1}"}}]}}],
 "usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,"prompt_tokens_details":
 {"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}},"new_field":{},
 "web_search":[{"title":"T","link":"https://example.org","refer":"ref_1"}],
 "content_filter":[{"role":"assistant","level":0}]}"""


def answer(finish_reason="stop", **message):
    return ChatCompletion(choices=[Choice(finish_reason=finish_reason, message=Message(**message))])


# --- the whole answer -----------------------------------------------------------------------


def test_an_answer_is_read_whole():
    completion = decode(COMPLETION, ANSWER)
    assert (completion.id, completion.request_id) == ("20261120094223aa", "mine-000001")
    assert (completion.created, completion.object) == (1791482096, "chat.completion")
    assert (completion.text, completion.thinking) == ("Let me look.", "Hm.")
    assert (completion.finish_reason, completion.outcome) == ("tool_calls", "tool_calls")
    assert [source.refer for source in completion.web_search] == ["ref_1"]
    assert [found.level for found in completion.content_filter] == [0]


def test_a_tool_call_reads_without_its_wrapping():
    (call,) = decode(COMPLETION, ANSWER).tool_calls
    assert (call.id, call.type, call.index) == ("call_-76", "function", 0)
    assert (call.name, call.arguments) == ("f", '{"a":1}')


def test_an_empty_answer_has_the_same_shape():
    completion = decode(COMPLETION, b"{}")
    assert completion.message == Message()
    assert (completion.text, completion.thinking, completion.tool_calls) == ("", "", [])
    assert (completion.finish_reason, completion.outcome) == (None, "empty")
    assert completion.usage.total_tokens == 0


@pytest.mark.parametrize(
    ("completion", "outcome"),
    [
        (answer(content="Hi"), "completed"),
        (answer(content=[{"type": "text", "text": "Hi"}]), "completed"),
        (answer(tool_calls=[ToolCall(id="1", function=FunctionCall(name="f"))]), "completed"),
        (answer(audio=models.Audio(id="a")), "completed"),
        (answer(), "empty"),
        (answer(content=" \n", reasoning_content="Hm."), "empty"),
        (answer("length", reasoning_content="Hm."), "empty"),
        (answer("sensitive"), "sensitive"),
        (answer("stopped_by_moonlight", content="Hi"), "other"),
    ],
    ids=range(9),
)
def test_outcome_of_an_answer(completion, outcome):
    assert completion.outcome == outcome


# --- usage ----------------------------------------------------------------------------------


def test_usage_reports_its_details():
    usage = decode(COMPLETION, ANSWER).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 7, 12)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (3, 2)


@pytest.mark.parametrize(
    ("told", "total", "undivided"),
    [
        ({}, 0, 0),
        ({"total_tokens": 7}, 7, 7),
        ({"prompt_tokens": 3, "completion_tokens": 4}, 7, 0),
        ({"prompt_tokens": 3, "total_tokens": 7}, 7, 4),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 5}, 7, 0),
    ],
)
def test_a_total_is_at_least_the_sum_of_its_parts(told, total, undivided):
    usage = Usage.from_dict(told)
    assert (usage.total_tokens, usage.undivided_tokens) == (total, undivided)
    assert Usage.from_dict(usage.to_dict()) == usage


def test_usage_without_details_counts_none():
    assert (Usage().cached_tokens, Usage().reasoning_tokens) == (0, 0)


# --- function arguments ---------------------------------------------------------------------


class Place(msgspec.Struct):
    city: str


def test_arguments_are_parsed_on_demand():
    call = FunctionCall(name="f", arguments='{"city": "Oslo", "more": 1}')
    assert call.parse() == {"city": "Oslo", "more": 1}
    assert call.parse(Place) == Place("Oslo")


def test_no_arguments_are_an_empty_object():
    assert FunctionCall(name="f").parse() == {}


@pytest.mark.parametrize("arguments", ['{"city": 1}', "[]", '{"city', "{}{}", '{"city": "\ud800"}'])
def test_bad_arguments_raise_when_parsed(arguments):
    call = ToolCall(function=FunctionCall(name="f", arguments=arguments))
    with pytest.raises(ToolCallMalformedError) as caught:
        call.parse(Place)
    assert (caught.value.name, caught.value.raw) == ("f", arguments)


# --- the message, there and back ------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ("Hi", "Hi"),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": 1}, {"text": "b"}], "ab"),
    ],
)
def test_text_of_a_message(content, text):
    assert Message(content=content).text == text


@pytest.mark.parametrize(
    "sent",
    [
        {"role": "assistant"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "", "reasoning_content": ""},
        {"role": "tool", "content": [{"type": "text", "text": "x", "unknown": None}]},
        {
            "role": "assistant",
            "reasoning_content": " \n two\u2028lines ",
            "tool_calls": [
                {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{ "a" :1 }'},
                    "index": 0,
                },
            ],
        },
        {"role": "assistant", "content": "x", "audio": {"id": "a", "data": ""}},
    ],
    ids=range(6),
)
def test_a_message_goes_back_as_it_came(sent):
    assert json.loads(encode(decode(MESSAGE, json.dumps(sent)))) == sent


def test_a_message_built_by_hand_keeps_its_role():
    message = Message(tool_calls=[ToolCall(function=FunctionCall(name="f"))])
    assert json.loads(encode({"messages": [message]})) == {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "", "type": "function", "function": {"name": "f", "arguments": ""}}
                ],
            }
        ]
    }


def test_what_the_wire_left_out_stays_out():
    received = b'{"content":null,"reasoning_content":null,"tool_calls":[],"audio":null}'
    assert encode(decode(MESSAGE, received)) == b'{"role":"assistant"}'


any_text = st.text(st.characters(codec="utf-8"), max_size=20)


@given(content=any_text, thinking=any_text, arguments=any_text)
def test_no_character_is_lost_between_answer_and_request(content, thinking, arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    sent = {
        "role": "assistant",
        "content": content,
        "reasoning_content": thinking,
        "tool_calls": [call],
    }
    received = decode(COMPLETION, json.dumps({"choices": [{"message": sent}]}).encode())
    assert json.loads(encode([received.message])) == [sent]


# --- chunks ---------------------------------------------------------------------------------


def chunk(**choice: Any) -> ChatCompletionChunk:
    return decode(CHUNK, json.dumps({"id": "1", "choices": [choice]}))


def test_a_chunk_tells_what_it_adds():
    thought = chunk(index=0, delta={"role": "assistant", "reasoning_content": "\n"})
    said = chunk(index=0, delta={"content": [{"type": "text", "text": "Hi"}]})
    assert (thought.thinking, thought.text) == ("\n", "")
    assert (said.thinking, said.text) == ("", "Hi")


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":"","object":"","created":0,"model":"","system_fingerprint":null,"choices":null}',
        b'{"choices":[]}',
        b'{"choices":[{"index":0}]}',
        b'{"choices":[{"delta":null}]}',
        b'{"choices":[{"delta":{"content":null,"reasoning_content":null,"tool_calls":null}}]}',
        b"{}",
    ],
    ids=range(6),
)
def test_a_chunk_may_add_nothing(frame):
    empty = decode(CHUNK, frame)
    assert (empty.text, empty.thinking, empty.usage, empty.error) == ("", "", None, None)


def test_the_last_chunk_counts_the_tokens():
    last = decode(
        CHUNK,
        b'{"id":"1","choices":[{"index":0,"finish_reason":"stop","delta":{"content":""},'
        b'"usage":{"total_tokens":2}}],"usage":{"total_tokens":1}}',
    )
    assert last.usage == Usage(total_tokens=1)
    assert last.choices[0].usage == Usage(total_tokens=2)


def test_fragments_of_a_tool_call():
    fragment = {"index": 0, "function": {"arguments": '{"a'}}
    (found,) = chunk(delta={"tool_calls": [fragment]}).choices[0].delta.tool_calls
    assert (found.index, found.id, found.type) == (0, None, None)
    assert (found.function.name, found.function.arguments) == (None, '{"a')


@pytest.mark.parametrize("error", [{"code": "1302", "message": "slow down"}, "text", [1], 7])
def test_an_error_in_place_of_a_chunk_is_kept_as_it_is(error):
    found = decode(CHUNK, json.dumps({"error": error}))
    assert (found.error, found.choices) == (error, [])


# --- the call behind a reply ----------------------------------------------------------------


def duplicates(value):
    return [copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))]


def test_a_reply_starts_without_a_call():
    assert (Reply().attempts, Reply().outcome, Reply().request_id) == ((), "completed", None)


def test_the_call_goes_with_every_copy():
    reply = decode(COMPLETION, ANSWER)
    attach_call(reply, attempts=ATTEMPTS, outcome="truncated")
    for duplicate in duplicates(reply):
        assert duplicate == reply
        assert (duplicate.attempts, duplicate.outcome) == (ATTEMPTS, "truncated")


def test_a_copy_is_independent():
    reply = Reply()
    duplicate = copy.copy(reply)
    attach_call(duplicate, attempts=ATTEMPTS)
    assert (reply.attempts, duplicate.attempts) == ((), ATTEMPTS)


def test_an_answer_judges_itself_when_the_call_does_not():
    reply = answer("length", content="Hi")
    attach_call(reply, attempts=ATTEMPTS)
    assert (reply.outcome, reply.attempts) == ("length", ATTEMPTS)


def test_the_call_is_not_encoded_and_the_wire_cannot_fake_it():
    reply = decode(COMPLETION, b'{"attempts":[1],"outcome":"error","call":1,"__dict__":{}}')
    assert (reply.attempts, reply.outcome) == ((), "empty")
    plain = encode(reply)
    attach_call(reply, attempts=ATTEMPTS, outcome="empty")
    assert encode(reply) == plain
    assert reply.extra == {"attempts": [1], "outcome": "error", "call": 1, "__dict__": {}}


# --- every model ----------------------------------------------------------------------------


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_struct_has_defaults_and_survives_copying(struct):
    assert [type(duplicate) for duplicate in duplicates(struct())] == [struct] * 3
    assert duplicates(struct()) == [struct()] * 3


@pytest.mark.parametrize("typed_dict", TYPED_DICTS)
def test_every_request_type_resolves_at_run_time(typed_dict):
    assert set(get_type_hints(typed_dict)) == (
        typed_dict.__required_keys__ | typed_dict.__optional_keys__
    )


def test_every_export_exists_once():
    assert [name for name in models.__all__ if hasattr(models, name)] == models.__all__
    assert len(set(models.__all__)) == len(models.__all__)


def test_chat_takes_every_field_of_the_contract():
    keys = ChatParams.__required_keys__ | ChatParams.__optional_keys__
    assert keys - {"options", "extra"} == BODY_FIELDS
    assert ChatParams.__required_keys__ == {"model", "messages"}


def test_a_chunk_of_another_choice_says_nothing_about_the_first():
    found = decode(CHUNK, b'{"choices":[{"index":1,"delta":{"content":"a"}},{"index":0}]}')
    assert (found.text, found.thinking) == ("", "")
    only = decode(CHUNK, b'{"choices":[{"index":1,"delta":{"content":"a"}}]}')
    assert (only.text, only.thinking) == ("", "")
