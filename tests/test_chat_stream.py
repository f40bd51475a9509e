"""The chat stream as a caller reads it."""

import itertools
import json

import pytest

from tests.chat_wire import (
    FIRST,
    GOOD,
    GOOD_TEXT,
    USAGE,
    body,
    chunk,
    client,
    cuts,
    frame,
    last,
    stream,
    texts,
    thoughts,
    tool,
)
from tests.effort import sample
from zai_async import (
    AsyncZai,
    CallOptions,
    ChatCompletion,
    ChatCompletionChunk,
    EmptyAnswerError,
    Finished,
    GenerationFailedError,
    StreamConsumedError,
    StreamMalformedError,
    StreamTruncatedError,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallIncompleteError,
    ToolCallMalformedError,
    ToolCallStarted,
    Usage,
    WebSearch,
)
from zai_async.testing import FakeReply, FakeTransport


async def read(*chunks, view="events", done=True, **options):
    """Return what one view of a stream of these chunks yields."""
    async with client(body(chunks, done=done)) as zai, stream(zai, **options) as answer:
        source = answer if view == "chunks" else getattr(answer, view)
        return [item async for item in source]


# Views.


async def test_chunks_are_structs_as_on_the_wire():
    items = await read(*texts("a", "b"), last(), view="chunks")
    assert all(type(item) is ChatCompletionChunk for item in items)
    assert [item.text for item in items] == ["a", "b", ""]
    assert items[-1].choices[0].finish_reason == "stop"


async def test_text_and_thinking_are_kept_apart():
    chunks = [*thoughts("hm", " hm"), *texts("A", "", "B"), last()]
    assert await read(*chunks, view="text") == ["A", "B"]
    assert await read(*chunks, view="thinking") == ["hm", " hm"]


async def test_events_are_a_closed_union():
    results = [{"title": "t", "link": "https://example.org", "refer": "ref_1"}]
    events = await read(
        *thoughts("hm"), *texts("A"), chunk({}, web_search=results), last(), view="events"
    )
    thinking, text, search, usage, finished = events
    assert (thinking, text) == (ThinkingDelta("hm"), TextDelta("A"))
    assert isinstance(search, WebSearch)
    assert search.results[0].refer == "ref_1"
    assert isinstance(usage, Usage)
    assert usage.total_tokens == USAGE["total_tokens"]
    assert isinstance(finished, Finished)
    assert (finished.outcome, finished.finish_reason) == ("completed", "stop")
    assert finished.completion.text == "A"


async def test_the_whole_answer_after_any_view():
    async with client(GOOD) as zai:
        async with stream(zai) as answer:
            async for text in answer.text:
                assert text == "Grüße"
                break
            whole = await answer.completion()
        assert isinstance(whole, ChatCompletion)
        assert (whole.text, whole.thinking) == (GOOD_TEXT, "Let me think.")
        assert (whole.outcome, answer.outcome) == ("completed", "completed")
        assert (whole.request_id, answer.request_id) == ("log-1", "log-1")
        assert len(whole.attempts) == len(answer.attempts) == 1
        assert answer.usage == whole.usage


async def test_the_snapshot_grows_with_what_was_read():
    async with client(GOOD) as zai, stream(zai) as answer:
        assert (answer.snapshot.text, answer.usage, answer.outcome) == ("", None, None)
        seen = ""
        async for piece in answer.text:
            seen += piece
            assert answer.snapshot.text == seen
        assert answer.snapshot.usage.total_tokens == USAGE["total_tokens"]


async def test_one_view_per_stream():
    async with client(GOOD) as zai, stream(zai) as answer:
        assert await anext(aiter(answer.thinking)) == "Let me "
        with pytest.raises(StreamConsumedError, match="already read as thinking"):
            aiter(answer.text)
        with pytest.raises(StreamConsumedError):
            aiter(answer)
        with pytest.raises(StreamConsumedError):
            aiter(answer.events)
        # The same view goes on where it stopped.
        assert [piece async for piece in answer.thinking] == ["think."]


async def test_a_finished_stream_yields_nothing_more():
    async with client(GOOD) as zai, stream(zai) as answer:
        assert len([item async for item in answer]) == 6
        with pytest.raises(StopAsyncIteration):
            await anext(answer)
        with pytest.raises(StreamConsumedError, match="read to its end"):
            aiter(answer)
        assert (await answer.completion()).text == GOOD_TEXT
    async with client(GOOD) as zai, stream(zai) as answer:
        events = answer.events
        assert isinstance([event async for event in events][-1], Finished)
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_create_with_stream_returns_the_open_stream():
    async with client(GOOD) as zai:
        answer = await zai.chat.completions.create(model="m", messages="hi", stream=True)
        assert answer.request_id == "log-1"
        assert "".join([item.text async for item in answer]) == GOOD_TEXT


async def test_a_stream_opens_at_the_first_read():
    async with client(GOOD) as zai:
        answer = stream(zai)
        assert answer.request_id is None
        assert "".join([piece async for piece in answer.text]) == GOOD_TEXT


async def test_every_cut_of_the_body_reads_the_same():
    for position in sample(range(1, len(GOOD)), 60):
        reply = FakeReply.stream(*cuts(GOOD, position))
        async with client(reply) as zai, stream(zai) as answer:
            assert (await answer.completion()).text == GOOD_TEXT


async def test_the_answer_can_be_sent_back_unchanged():
    chunks = [*thoughts("a\u2028b", "\\c"), tool('{"x": "é\\u00e9"}', id="c1", name="f")]
    transport = FakeTransport(
        FakeReply.sse(*chunks, last("tool_calls")),
        FakeReply.json({"choices": [{"finish_reason": "stop", "message": {"content": "ok"}}]}),
    )
    async with AsyncZai(api_key="id.secret", transport=transport) as zai:
        async with stream(zai) as answer:
            message = (await answer.completion()).message
        history = [message, {"role": "tool", "tool_call_id": "c1", "content": "1"}]
        await zai.chat.completions.create(model="m", messages=history)
    sent = transport.bodies[1]["messages"][0]
    assert sent["reasoning_content"] == "a\u2028b\\c"
    assert sent["tool_calls"][0]["function"]["arguments"] == '{"x": "é\\u00e9"}'
    assert sent["role"] == "assistant"


# Outcomes.


@pytest.mark.parametrize(
    ("finish", "outcome"),
    [
        ("stop", "completed"),
        ("STOP", "completed"),
        ("length", "length"),
        ("sensitive", "sensitive"),
        ("model_context_window_exceeded", "context_exceeded"),
        ("something_new", "other"),
    ],
)
async def test_ends_that_are_answers(finish, outcome):
    async with client(body([*texts("A"), last(finish)])) as zai, stream(zai) as answer:
        assert (await answer.completion()).outcome == outcome
        assert answer.outcome == outcome


@pytest.mark.parametrize(
    ("chunks", "error", "outcome"),
    [
        ([*texts("A"), last("network_error")], GenerationFailedError, "network_error"),
        ([*texts("A"), last("tool_calls")], StreamTruncatedError, "truncated"),
        ([last("tool_calls")], EmptyAnswerError, "empty"),
        ([*thoughts("hm"), last()], EmptyAnswerError, "empty"),
        ([*thoughts("hm"), *texts(" \n"), last()], EmptyAnswerError, "empty"),
        ([last()], EmptyAnswerError, "empty"),
        ([], EmptyAnswerError, "empty"),
        ([chunk(choices=None, id="")], EmptyAnswerError, "empty"),
        ([*texts("A")], StreamTruncatedError, "truncated"),
        ([chunk({"content": "A"}, finish="")], StreamTruncatedError, "truncated"),
    ],
)
async def test_ends_that_are_failures(chunks, error, outcome):
    async with client(body(chunks)) as zai:
        answer = stream(zai)
        with pytest.raises(error) as caught:
            async with answer:
                await answer.completion()
        assert answer.outcome == caught.value.outcome == outcome
        assert caught.value.partial.text == answer.snapshot.text
        assert caught.value.partial.thinking == answer.snapshot.thinking
        assert caught.value.operation == "chat.completions.create"
        assert len(caught.value.attempts) == 1
        async with stream(zai, allow={outcome}) as allowed:
            assert (await allowed.completion()).outcome == outcome


async def test_a_failed_stream_fails_again_when_read_again():
    async with client(body(texts("A"))) as zai, stream(zai) as answer:
        for _ in range(2):
            with pytest.raises(StreamTruncatedError):
                await answer.completion()


async def test_reasoning_that_used_up_the_tokens_is_explained():
    with pytest.raises(EmptyAnswerError) as caught:
        await read(*thoughts("hm"), last("length"))
    assert "raise max_tokens" in str(caught.value)
    assert "only reasoning" in str(caught.value)


@pytest.mark.parametrize("place", ["chunk", "choice", "own"])
async def test_usage_is_read_wherever_it_stands(place):
    end = chunk({"content": ""}, finish="stop")
    own = {"id": FIRST, "choices": [], "usage": USAGE}
    if place == "chunk":
        end["usage"] = USAGE
    if place == "choice":
        end["choices"][0]["usage"] = USAGE
    chunks = [*texts("A"), end, *([own] if place == "own" else [])]
    events = await read(*chunks)
    assert [event.total_tokens for event in events if isinstance(event, Usage)] == [12]
    assert events[-1].completion.usage.total_tokens == 12


# Whole answers are judged like streams.


@pytest.mark.parametrize(
    ("choices", "error"),
    [
        ([{"finish_reason": "network_error", "message": {"content": "A"}}], GenerationFailedError),
        ([{"finish_reason": "stop", "message": {"reasoning_content": "h"}}], EmptyAnswerError),
        ([{"message": {"content": "A"}}], StreamTruncatedError),
        ([], EmptyAnswerError),
        (None, EmptyAnswerError),
    ],
)
async def test_create_never_passes_a_failure_off_as_an_answer(choices, error):
    async with client(FakeReply.json({"id": "x", "choices": choices})) as zai:
        with pytest.raises(error) as caught:
            await zai.chat.completions.create(model="m", messages="hi")
        assert caught.value.attempts[0].status_code == 200
        assert caught.value.operation == "chat.completions.create"
        answer = await zai.chat.completions.create(
            model="m", messages="hi", options=CallOptions(allow={error.outcome})
        )
        assert answer.outcome == error.outcome


# Tool calls.


async def test_a_tool_call_comes_after_the_end():
    events = await read(tool("", id="c1", name="f"), tool('{"a":'), tool("1}"), last("tool_calls"))
    assert events[:3] == [
        ToolCallStarted(0, "c1", "f"),
        ToolCallDelta(0, '{"a":'),
        ToolCallDelta(0, "1}"),
    ]
    call = next(event for event in events if isinstance(event, ToolCall))
    assert events.index(call) == len(events) - 2
    assert (call.id, call.name, call.parse()) == ("c1", "f", {"a": 1})


ARGUMENTS = '{"path": "a.txt", "lines": [1, {"n": 2}]}'


async def test_a_cut_tool_call_is_never_whole():
    for end in range(len(ARGUMENTS)):
        chunks = [tool(ARGUMENTS[:end], id="c", name="f")]
        with pytest.raises(ToolCallIncompleteError) as caught:
            await read(*chunks, done=False)
        assert caught.value.raw == ARGUMENTS[:end]
        assert caught.value.partial.tool_calls == []
        assert isinstance(caught.value, StreamTruncatedError)


async def test_a_call_cut_by_the_token_limit_is_incomplete():
    with pytest.raises(ToolCallIncompleteError) as caught:
        await read(tool('{"a":', id="c", name="f"), last("length"))
    assert (caught.value.raw, caught.value.name, caught.value.call_id) == ('{"a":', "f", "c")


@pytest.mark.parametrize(
    "arguments", ["{}{}", '{"a":1}{"b":2}', "<arg_key>x</arg_key>", '{"a": b"}', "[]", '"x"']
)
async def test_arguments_that_are_no_object_are_malformed(arguments):
    with pytest.raises(ToolCallMalformedError) as caught:
        await read(tool(arguments, id="c", name="f"), last("tool_calls"))
    assert caught.value.raw == arguments
    async with client(body([tool(arguments, id="c", name="f"), last("tool_calls")])) as zai:
        async with stream(zai) as answer:
            whole = await answer.completion()
        assert whole.tool_calls[0].arguments == arguments


async def test_no_arguments_at_all_are_legal():
    events = await read(tool("", id="c", name="now"), last("tool_calls"))
    assert [event.parse() for event in events if isinstance(event, ToolCall)] == [{}]


# The grammar.


async def test_the_corners_of_the_grammar():
    wire = (
        b"\xef\xbb\xbf: keep-alive\r\n\r\ndata:"
        + json.dumps(chunk({"content": "a\u2028b\u2029c\x85d"}), ensure_ascii=False).encode()
        + b"\r\rid: 7\r\nretry: 100\r\nevent: message\ndata: {\ndata: "
        + frame(last())[7:]
        + b": ping\n\ndata:  [DONE] \n\n"
    )
    async with client(wire) as zai, stream(zai) as answer:
        assert (await answer.completion()).text == "a\u2028b\u2029c\x85d"


@pytest.mark.parametrize(
    "oddity", [b"data: null\n\n", b"data:\n\n", b"data: {}\n\n", b"data:  \n\n"]
)
async def test_events_without_content_are_passed_over(oddity):
    wire = frame(chunk({"content": "A"})) + oddity + frame(last()) + oddity
    async with client(wire) as zai, stream(zai) as answer:
        assert (await answer.completion()).text == "A"


async def test_only_the_first_choice_counts():
    second = chunk({"content": "B"})
    second["choices"][0]["index"] = 1
    both = chunk({"content": "A"})
    both["choices"] = [second["choices"][0], both["choices"][0]]
    assert await read(second, both, last(), view="text") == ["A"]


async def test_odd_types_are_mended():
    odd = chunk({"content": "A"}) | {"id": 17, "created": "5", "usage": {"total_tokens": None}}
    items = await read(odd, last(), view="chunks")
    assert (items[0].id, items[0].created, items[0].text) == ("17", 5, "A")


# Numbers of choices.


def numbered(chunks, *numbers):
    """Return chunks whose choices have these numbers in turn."""
    choices = [each["choices"] for each in chunks]
    return [
        each | {"choices": [choice | {"index": number} for choice in found]}
        for each, found, number in zip(chunks, choices, itertools.cycle(numbers), strict=False)
    ]


SAID = [*thoughts("hm"), *texts("a ", "b"), last()]


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("first", [[], [chunk()], [chunk() | {"choices": []}]])
@pytest.mark.parametrize("number", [1, 7])
async def test_the_only_choice_is_the_answer_whatever_its_number(number, first, done):
    """Only one can be asked for: a relay that numbers it otherwise loses nothing of it."""
    wire = body([*first, *numbered(SAID, number)], done=done)
    async with client(wire) as zai, stream(zai) as answer:
        completion = await answer.completion()
    assert (completion.text, completion.thinking, completion.id) == ("a b", "hm", FIRST)
    assert (completion.finish_reason, completion.usage.total_tokens) == ("stop", 12)
    async with client(wire) as zai, stream(zai) as answer:
        said = [item.choices[0].delta.content async for item in answer if item.choices]
    assert "".join(filter(None, said)) == "a b"


@pytest.mark.parametrize("view", ["text", "events", "thinking"])
async def test_what_a_view_could_not_hand_out_is_in_the_error(view):
    with pytest.raises(StreamMalformedError, match="number 3, not 0") as caught:
        await read(*numbered(SAID, 3), view=view)
    assert (caught.value.partial.text, caught.value.repeat) == ("a b", "never")


async def test_calls_of_another_choice_are_the_answer():
    calls = [tool('{"a"', id="x", name="f"), tool(":1}"), last("tool_calls")]
    async with client(body(numbered(calls, 1))) as zai, stream(zai) as answer:
        (call,) = (await answer.completion()).tool_calls
    assert (call.id, call.arguments) == ("x", '{"a":1}')


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (1, 2, 0)])
async def test_of_several_choices_the_first_one_is_read(numbers):
    said = [chunk({"content": str(number)}) for number in numbers]
    said += [chunk({"content": "!"}, finish="stop") for _ in numbers]
    async with client(body(numbered(said, *numbers))) as zai, stream(zai) as answer:
        assert (await answer.completion()).text == "0!"


async def test_of_several_choices_that_are_not_the_first_one_is_read():
    said = [chunk({"content": str(number)}, finish="stop") for number in (2, 1, 3)]
    async with client(body(numbered(said, 2, 1, 3))) as zai, stream(zai) as answer:
        assert (await answer.completion()).text == "2"


async def test_another_choice_may_say_nothing_or_be_cut():
    with pytest.raises(EmptyAnswerError):
        await read(*numbered([chunk({"content": ""}, finish="stop")], 1), view="chunks")
    with pytest.raises(StreamTruncatedError) as caught:
        await read(*numbered(texts("a ", "b"), 1), view="chunks", done=False)
    assert caught.value.partial.text == "a b"
