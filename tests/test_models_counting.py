"""What would stop the loop while it is decoded is counted before, wherever it comes from."""

import json
import threading
from contextlib import nullcontext, suppress

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
    StructuredOutputError,
    ToolCall,
    ToolCallMalformedError,
)
from zai_async._protocol import sse
from zai_async._threads import ANSWER_THREADS, abandonable
from zai_async.errors import InvalidBodyError
from zai_async.models import ChatCompletion
from zai_async.models import counting as room
from zai_async.models.counting import LARGE, MOST_AT_ONCE, counted_values, has_more_values
from zai_async.models.tasks import read_results
from zai_async.session import bodies, manager
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
    weight = 25 if isinstance(value, dict) else 1
    return weight + fields + max(len(items) - 1, 0) + sum(map(values_in, items))


@given(value=VALUES, size=st.integers(1, 9), ascii=st.booleans())
def test_what_is_counted_is_what_is_there(value, size, ascii):
    text = json.dumps(value, ensure_ascii=ascii).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_SLICE", size)
        for weight in ("_ESCAPES", "_CODES", "_LETTERS", "_BYTES"):
            patch.setattr(room, weight, 10**9)
        *_, count = counted_values(text)
    assert count == values_in(value)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 2**16])
@pytest.mark.parametrize(
    ("weight", "text", "expected"),
    [
        ("_ESCAPES", rb'"\n\"\\\\\u00e9 \\"', 6),
        ("_CODES", rb'"\\u\u00e9\u4e2d"', 2),
        ("_LETTERS", b' [1, "in a text"]  ', 8),
        ("_BYTES", b'"in a text" ', 12),
    ],
)
def test_what_takes_longer_is_counted_too(weight, text, expected, size, monkeypatch):
    monkeypatch.setattr(room, "_SLICE", size)
    monkeypatch.setattr(room, "_SIGNS", {})
    for each in ("_ESCAPES", "_CODES", "_LETTERS", "_BYTES"):
        monkeypatch.setattr(room, each, 1 if each == weight else 10**9)
    *_, count = counted_values(text)
    assert count == expected


def test_text_beyond_ascii_takes_longer():
    *_, plain = counted_values(b'"' + b"a" * 64_000 + b'"')
    *_, other = counted_values(('"' + "\u00e9" * 32_000 + '"').encode())
    assert (plain, other) == (400, 1000)


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
        with pytest.raises(LimitError, match="more than 300000 values") as caught:
            await ask(zai)
    assert (caught.value.limit, len(transport.requests)) == (300_000, 1)
    assert "max_response_values" in str(caught.value)


async def test_whoever_wants_more_values_may_have_them():
    body = json.dumps(COMPLETION | {"note": [{}] * 20_000}).encode()
    for most, fits in ((500_000, False), (600_000, True)):
        zai, _ = scripted(FakeReply(steps=(body,)), max_response_values=most)
        async with zai:
            if fits:
                assert (await ask(zai)).text == "Hi"
                continue
            with pytest.raises(LimitError) as caught:
                await ask(zai)
            assert (caught.value.limit, caught.value.setting) == (most, "max_response_values")


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
    for piece in (data[9:-2], data[-2:] if before else b""):
        with suppress(EventTooLargeError):
            decoder.feed(piece)
    assert decoder.error.message.endswith(f"more than {MOST_AT_ONCE} values")
    assert (decoder.error.limit, decoder.error.setting) == (MOST_AT_ONCE, "max_event_values")


NUMBERS = b"[" + b"0," * 50_000 + b"0]"
WITH_NUMBERS = json.dumps(COMPLETION).encode()[:-1] + b',"note":' + NUMBERS + b"}"


@pytest.mark.parametrize("before", [b"", b"data: "], ids=["document", "event"])
@pytest.mark.parametrize("ways", ["stream", "create"])
@pytest.mark.parametrize("most", [49_000, 60_000])
async def test_how_much_an_event_may_hold_is_a_setting(before, ways, most):
    wire = before + WITH_NUMBERS + (b"\n\ndata: [DONE]\n\n" if before else b"")
    zai, _ = scripted(FakeReply(steps=(wire,)), max_event_values=most)

    async def call():
        if ways == "create":
            return await ask(zai)
        async with zai.chat.completions.stream(**ASK) as stream:
            return await stream.completion()

    async with zai:
        # An answer in one piece that was asked for as such has a limit of its own.
        if most == 60_000 or (ways == "create" and not before):
            assert (await call()).text == "Hi"
            return
        with pytest.raises(EventTooLargeError, match="more than 49000 values") as caught:
            await call()
    assert (caught.value.limit, caught.value.setting) == (49_000, "max_event_values")


def test_a_decoder_of_ones_own_has_the_setting_too():
    event = b"data: " + WITH_NUMBERS + b"\n\n"
    with pytest.raises(EventTooLargeError, match="more than 100 values"):
        ChatDecoder(max_event_values=100).feed(event)
    ChatDecoder(max_event_values=60_000).feed(event)


def test_an_event_of_halves_of_characters_has_no_more_than_an_answer_could():
    """Each of them has to be looked at in Python."""
    text = b"\\ud83d" * 300_000
    event = (
        b'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "' + text + b'"}}]}\n\n'
    )
    with pytest.raises(EventTooLargeError):
        ChatDecoder().feed(event)


PIECE = 2**16
HOSTILE = {
    "text": b'data: {"x": "' + b"a" * 2**21,
    "escapes": b'data: {"x": "' + b"\\n" * 2**19,
    "numbers": b'data: {"x": [' + b"1," * 2**16,
    "comments": b": a\n" * 2**16,
    "lines": b"data: a\n" * 2**16,
    "no field": b"x" * 2**21,
    "blank lines": b"\n" * 2**21,
    "blanks": b" " * 2**21,
    "tiny events": b'data: {"choices": []}\n\n' * 2**16,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_turn_of_the_loop_does_the_work_of_megabytes(kind):
    """What comes piece by piece costs as much with each piece; only its end touches all of it."""
    module, counter = counted(sse.__name__)
    parser = module.SSEParser()
    data = HOSTILE[kind] + b"\n\n"
    work = []
    for start in range(0, len(data), PIECE):
        before = counter.work
        parser.payloads(data[start : start + PIECE])
        work.append(counter.work - before)
    *pieces, end = work
    assert max(pieces) < 60 * PIECE
    assert end < 10 * len(data)


@pytest.mark.parametrize("values", [b"1," * 140_000, b"{}," * 12_000])
def test_an_event_is_counted_from_where_it_begins(values):
    event = b'data: {"x": [' + values + b"1]}\n\n"
    for cut in (b"", event[:9], event[: LARGE + 1], event[:-1]):
        parser = sse.SSEParser()
        with suppress(EventTooLargeError):
            parser.payloads(b"data: 1\n\n" + cut)
        with suppress(EventTooLargeError):
            parser.payloads(event[len(cut) :])
        with pytest.raises(EventTooLargeError):
            parser.payloads(b"data: 1\n\n")


@pytest.mark.parametrize("less", [0, 1])
def test_an_event_may_hold_as_many_values_as_the_setting_says(less):
    event = b'data: {"x": [' + b"1," * LARGE + b"1]}"
    *_, count = counted_values(event)
    parser = sse.SSEParser(max_event_values=count - less)
    with pytest.raises(EventTooLargeError) if less else nullcontext():
        assert parser.payloads(event + b"\n\n") == [event[6:]]


@pytest.mark.parametrize("more", [0, 1])
def test_only_what_is_large_is_counted_while_it_comes(more):
    parser = sse.SSEParser(max_event_values=0)
    with pytest.raises(EventTooLargeError) if more else nullcontext():
        assert parser.payloads(b"data: " + b"[" * (LARGE - 6 + more)) == []


def test_an_event_behind_another_one_of_the_same_read_is_counted():
    event = b'data: {"x": [' + b"1," * 140_000 + b"1]}\n\n"
    with pytest.raises(EventTooLargeError):
        sse.SSEParser().payloads(b"data: 1\n\n" + event)


def test_events_are_counted_one_by_one():
    event = b'data: {"x": [' + b"1," * 100_000 + b"1]}"
    parser = sse.SSEParser()
    ends = []
    for piece in (event, b"\n", b"\n" + event + b"\n\n" + event, b"\n\n"):
        ends += parser.payloads(piece)
    assert ends == [event[6:]] * 3


async def test_large_answer_is_joined_in_a_thread(monkeypatch):
    joined = []

    def watched(work, threads):
        joined.append(threads)
        return abandonable(work, threads)

    monkeypatch.setattr(bodies, "abandonable", watched)
    content = bytes(range(256)) * 2**13
    steps = tuple(content[at : at + 999] for at in range(0, len(content), 999))
    zai, _ = scripted(FakeReply(steps=steps, headers={"Content-Type": "audio/wav"}))
    async with zai:
        speech = await zai.audio.speech.create(model="glm-tts", input="x", voice="tongtong")
    assert speech.content == content
    assert joined == [ANSWER_THREADS]


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
