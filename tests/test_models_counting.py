"""What would stop the loop while it is decoded is counted before, wherever it comes from."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import ASK, COMPLETION, ask, scripted
from tests.counting import counted
from zai_async import (
    ChatDecoder,
    EmptyAnswerError,
    EventTooLargeError,
    LimitError,
    StreamMalformedError,
    StructuredOutputError,
    ToolCall,
    ToolCallMalformedError,
)
from zai_async.errors import InvalidBodyError
from zai_async.models import ChatCompletion
from zai_async.models import counting as room
from zai_async.models.counting import LARGE, MOST_AT_ONCE, counted_values, has_more_values
from zai_async.models.tasks import read_results
from zai_async.session import manager
from zai_async.testing import FakeReply
from zai_async.web.asgi import read_json

VALUES = st.recursive(
    st.text('ab"\\{[:,\n\u00e9') | st.integers() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('a"\\:,'), inner),
    max_leaves=20,
)
MANY = b"[" + b"{}," * 500_000 + b"{}]"
LONG = "a" * 2 * LARGE


def values_in(value: object) -> int:
    """Return what is to be counted, after decoding: begun and followed values, and fields."""
    items = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(items, list):
        return 0
    fields = len(items) if isinstance(value, dict) else 0
    return 1 + fields + max(len(items) - 1, 0) + sum(map(values_in, items))


@given(value=VALUES, size=st.integers(1, 9), ascii=st.booleans())
def test_what_is_counted_is_what_is_there(value, size, ascii):
    text = json.dumps(value, ensure_ascii=ascii).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_SLICE", size)
        *_, count = counted_values(text)
    assert count == values_in(value)


@pytest.mark.parametrize("unit", [b"{},", b'"a",', b'"\\n\\"",', b"\\\\", b'"', b"{"])
def test_counting_is_linear_whatever_is_sent(unit):
    work = []
    for times in (20_000, 160_000):
        module, counter = counted(room.__name__)
        *_, _ = module.counted_values(unit * times)
        work.append(counter.work)
    assert work[1] < 9 * work[0]


def test_small_texts_are_not_looked_at():
    assert not has_more_values(b"[" * LARGE, 0)
    assert has_more_values(b"[" * (LARGE + 1), 0)


# Answers


async def test_answer_of_too_many_values_is_refused():
    zai, transport = scripted(FakeReply(steps=(b'{"choices":' + MANY + b"}",)))
    async with zai:
        with pytest.raises(LimitError, match="more than 400000 values") as caught:
            await ask(zai)
    assert (caught.value.limit, len(transport.requests)) == (400_000, 1)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(COMPLETION | {"note": LONG}).encode(),
        b"data: " + json.dumps(COMPLETION | {"note": LONG}).encode() + b"\n\ndata: [DONE]\n\n",
    ],
    ids=["document", "events"],
)
async def test_large_answer_is_decoded_in_a_thread(body, monkeypatch):
    threads = []

    def watched(*args):
        threads.append(threading.current_thread())
        return parse(*args)

    parse = manager.parse_answer
    monkeypatch.setattr(manager, "parse_answer", watched)
    zai, _ = scripted(FakeReply(steps=(body,)))
    async with zai:
        answer = await ask(zai)
    assert answer.text == "Hi"
    assert threads != [threading.main_thread()]


async def test_error_of_a_large_answer_is_raised_where_it_is_awaited():
    body = json.dumps({"choices": [], "note": LONG}).encode()
    zai, _ = scripted(FakeReply(steps=(body,)))
    async with zai:
        with pytest.raises(EmptyAnswerError):
            await ask(zai)


@pytest.mark.parametrize("before", [b"", b"data: "], ids=["document", "event"])
def test_stream_of_too_many_values_at_once_is_refused(before):
    decoder = ChatDecoder()
    data = before + b'{"choices":' + MANY + b"}\n\n"
    decoder.feed(data[:9])
    decoder.feed(data[9:-2])
    with pytest.raises(EventTooLargeError, match=f"than {MOST_AT_ONCE} values"):
        decoder.feed(data[-2:] if before else b"")


def test_an_event_of_halves_of_characters_has_no_more_than_an_answer_could():
    """Each of them has to be looked at in Python."""
    text = b"\\ud83d" * 140_000
    event = (
        b'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "' + text + b'"}}]}\n\n'
    )
    with pytest.raises(StreamMalformedError):
        ChatDecoder().feed(event)


def test_large_event_of_few_values_is_read():
    decoder = ChatDecoder()
    chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": LONG}}]}
    data = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    items = [item for half in (data[:9], data[9:]) for item in decoder.feed(half)]
    assert [item.text for item in items] == [LONG]


# What a model has written


def test_arguments_of_too_many_values_are_malformed():
    call = ToolCall.from_dict({"id": "1", "function": {"name": "f", "arguments": MANY.decode()}})
    with pytest.raises(ToolCallMalformedError, match="values"):
        call.parse(list)


async def test_structured_answer_of_too_many_values_does_not_fit():
    message = {"role": "assistant", "content": MANY.decode()}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    zai, _ = scripted(FakeReply.json(COMPLETION | {"choices": [choice]}))
    async with zai:
        with pytest.raises(StructuredOutputError, match="values"):
            await zai.chat.completions.parse(list[dict], **ASK, repairs=0)


def test_line_of_too_many_values_is_unreadable():
    fine = json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": COMPLETION}})
    results = read_results(b'{"response":' + MANY + b"}\n" + fine.encode())
    assert [result.error and result.error.code for result in results] == ["unreadable", None]
    assert isinstance(results[1].completion, ChatCompletion)


# What a page has posted


@pytest.mark.parametrize("body", [MANY, json.dumps(LONG).encode()], ids=["many", "long"])
async def test_body_of_too_many_values_is_refused(body):
    pieces = [body[: 2**16], body[2**16 :]]

    async def receive():
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    scope = {"headers": [(b"content-type", b"application/json")]}
    if body is MANY:
        with pytest.raises(InvalidBodyError, match="values") as caught:
            await read_json(scope, receive, 2**24)
        assert caught.value.to_http().status == 413
    else:
        assert await read_json(scope, receive, 2**24) == body
