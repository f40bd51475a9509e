import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.effort import times
from zai_async._protocol.accumulator import ChatAccumulator
from zai_async._protocol.events import (
    EventBuilder,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    WebSearch,
)
from zai_async.errors import ToolCallIncompleteError, ToolCallMalformedError, ZaiError
from zai_async.models import (
    ChatCompletionChunk,
    ChunkChoice,
    ChunkFunction,
    ChunkToolCall,
    Delta,
    SearchResult,
    ToolCall,
    Usage,
)

PAGES = [SearchResult(title="page")]


def chunk(finish_reason=None, **delta):
    choice = ChunkChoice(delta=Delta(**delta), finish_reason=finish_reason)
    return ChatCompletionChunk(id="a", choices=[choice])


def call(arguments, index=0, id="c0", name="f"):
    function = ChunkFunction(name=name, arguments=arguments)
    return chunk(tool_calls=[ChunkToolCall(index=index, id=id, function=function)])


def told(*chunks, outcome="completed"):
    """Return the events of each chunk, and those of the end."""
    answer, events = ChatAccumulator(), []
    builder = EventBuilder(answer)
    for each in chunks:
        answer.add([each])
        events.append(list(builder.push(each)))
    return *events, list(builder.finish(answer.completion(), outcome))


def test_a_chunk_is_told_in_the_order_of_thought():
    both = chunk(content="text", reasoning_content="thought")
    both.usage, both.web_search = Usage(total_tokens=1), PAGES
    assert told(both)[0] == [
        ThinkingDelta("thought"),
        TextDelta("text"),
        WebSearch(PAGES),
        Usage(total_tokens=1),
    ]


def test_nothing_is_told_of_a_chunk_that_says_nothing():
    silent = [
        chunk(),
        chunk(content="", reasoning_content=""),
        chunk("stop"),
        ChatCompletionChunk(),
    ]
    *events, _ = told(*silent)
    assert events == [[], [], [], []]


def test_usage_inside_a_choice_is_told_too():
    inner = ChunkChoice(delta=Delta(), usage=Usage(total_tokens=1))
    assert told(ChatCompletionChunk(choices=[inner]))[0] == [Usage(total_tokens=1)]


def test_a_tool_call_is_told_as_it_grows_and_whole_at_the_end():
    *events, end = told(
        call(""), call('{"a"'), chunk(content="x"), call(":1}"), chunk("tool_calls")
    )
    assert events == [
        [],  # the name may be a piece of one
        [ToolCallStarted(0, "c0", "f"), ToolCallDelta(0, '{"a"')],
        [TextDelta("x")],
        [ToolCallDelta(0, ":1}")],
        [],
    ]
    assert [type(event) for event in end] == [ToolCall, Finished]
    assert (end[0].id, end[0].name, end[0].parse()) == ("c0", "f", {"a": 1})


def test_calls_side_by_side_are_told_by_their_index():
    first, second, third, _ = told(call("{}"), call("{", 1, "c1", "g"), call("}", 1, "c1", "g"))
    assert first == [ToolCallStarted(0, "c0", "f"), ToolCallDelta(0, "{}")]
    assert second == [ToolCallStarted(1, "c1", "g"), ToolCallDelta(1, "{")]
    assert third == [ToolCallDelta(1, "}")]


def test_one_chunk_may_go_on_with_many_calls():
    begun = (
        call("[", 0).choices[0].delta.tool_calls + call("[", 1, "c1").choices[0].delta.tool_calls
    )
    more = call("1", 0).choices[0].delta.tool_calls + call("2", 1, "c1").choices[0].delta.tool_calls
    _, second, _ = told(chunk(tool_calls=begun), chunk(tool_calls=more))
    assert second == [ToolCallDelta(0, "1"), ToolCallDelta(1, "2")]


@pytest.mark.parametrize("arguments", ["", " ", "{}"])
@pytest.mark.parametrize("outcome", ["tool_calls", "completed", "other"])
def test_a_call_without_arguments_is_usable(arguments, outcome):
    *_, whole, finished = [
        event
        for events in told(call(arguments), chunk("tool_calls"), outcome=outcome)
        for event in events
    ]
    assert isinstance(whole, ToolCall)
    assert (whole.arguments, type(finished)) == (arguments, Finished)


@pytest.mark.parametrize("arguments", ["", " "])
@pytest.mark.parametrize(
    "outcome", ["length", "sensitive", "context_exceeded", "network_error", "truncated", "empty"]
)
def test_a_call_may_have_been_cut_before_its_arguments(arguments, outcome):
    error = told(call(arguments), chunk("length"), outcome=outcome)[-1][-2]
    assert type(error) is ToolCallIncompleteError
    assert (error.name, error.raw) == ("f", arguments)


@pytest.mark.parametrize("arguments", ["{}{}", '{"a":1}{"b":2}', "<arg_key>a", '{"a": b"}', "[]"])
def test_arguments_that_are_no_object_are_an_error_with_the_raw_text(arguments):
    error, end = told(call(arguments), chunk("tool_calls"))[-1]
    assert type(error) is ToolCallMalformedError
    assert (error.name, error.call_id, error.raw) == ("f", "c0", arguments)
    assert str(error) == "the arguments of the tool call 'f' are not one JSON object"
    assert error.partial is end.completion


@pytest.mark.parametrize("reason", ["length", "stop", "sensitive", None])
def test_arguments_that_break_off_are_another_error(reason):
    error, end = told(call('{"a":'), chunk(reason))[-1]
    assert type(error) is ToolCallIncompleteError
    assert error.raw == '{"a":'
    assert str(error) == "the arguments of the tool call 'f' break off"
    assert isinstance(end, Finished)


def test_the_end_is_told_last():
    end = told(call("{}"), call("{", 1), chunk("length", content="x"), outcome="length")[-1]
    assert [type(event) for event in end] == [ToolCall, ToolCallIncompleteError, Finished]
    assert (end[-1].outcome, end[-1].finish_reason, end[-1].completion.text) == (
        "length",
        "length",
        "x",
    )


@given(
    st.lists(
        st.builds(chunk, content=st.text(), reasoning_content=st.text())
        | st.builds(call, st.text(max_size=4), st.integers(0, 2), st.sampled_from(["c0", None])),
        max_size=10,
    )
)
def test_the_deltas_add_up_to_the_answer(chunks):
    *events, end = told(*chunks, chunk("tool_calls"))
    completion = end[-1].completion
    flat = [event for group in [*events, end] for event in group]
    texts = {
        kind: [e.text for e in flat if isinstance(e, kind)] for kind in (TextDelta, ThinkingDelta)
    }
    assert "".join(texts[TextDelta]) == completion.text
    assert "".join(texts[ThinkingDelta]) == completion.thinking
    for each in completion.tool_calls:
        deltas = [e.text for e in flat if isinstance(e, ToolCallDelta) and e.index == each.index]
        assert "".join(deltas) == each.arguments
    started = [(e.index, e.id) for e in flat if isinstance(e, ToolCallStarted)]
    assert sorted(started) == sorted((each.index, each.id) for each in completion.tool_calls)
    told_whole = [event for event in end if isinstance(event, ToolCall | ZaiError)]
    assert len(told_whole) == len(started)


def test_the_name_is_told_when_it_is_certain():
    events = told(call('{"a"', id=None, name=None), call("", name="re"), call(":1}", name="ad"))
    flat = [event for group in events for event in group]
    assert flat[:2] == [ToolCallStarted(0, "c0", "read"), ToolCallDelta(0, '{"a"')]
    assert [event.name for event in flat if isinstance(event, ToolCallStarted)] == ["read"]
    pieces = told(call("", name="rea"), call("", name="d"), call("{}", name=None), chunk("stop"))
    assert pieces[:3] == ([], [], [ToolCallStarted(0, "c0", "read"), ToolCallDelta(0, "{}")])


def test_a_call_is_told_with_the_id_that_comes_after_its_arguments():
    early, late, more, *_ = told(
        call('{"a"', id=None), call("", id="c1", name=None), call(":1}", name=None), chunk("stop")
    )
    assert early == []
    assert late == [ToolCallStarted(0, "c1", "f"), ToolCallDelta(0, '{"a"')]
    assert more == [ToolCallDelta(0, ":1}")]


def test_a_call_that_never_gets_an_id_is_told_at_the_end():
    *events, end = told(call('{"a"', id=None), call(":1}", id=None), chunk("stop"))
    assert events == [[], [], []]
    assert end[:3] == [
        ToolCallStarted(0, "", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
    ]


def test_a_call_without_arguments_is_told_at_the_end():
    first, second, *_, end = told(call(""), call("{}", 1, "c1", "g"), chunk("stop"))
    assert first == []
    assert second == [ToolCallStarted(1, "c1", "g"), ToolCallDelta(1, "{}")]
    assert end[0] == ToolCallStarted(0, "c0", "f")


def test_names_may_come_in_pieces_of_several_calls_at_once():
    *events, end = told(
        call("", name="re"),
        call("{", 1, "c1", "g"),
        call("", 2, "c2", "wri"),
        call("", name="ad"),
        call("}", 1, None, None),
        call("", 2, None, "te"),
        call("{}", name=None),
        chunk("stop"),
    )
    flat = [event for group in [*events, end] for event in group]
    names = {event.index: event.name for event in flat if isinstance(event, ToolCallStarted)}
    calls = {event.index: event.name for event in flat if isinstance(event, ToolCall)}
    assert names == calls == {0: "read", 1: "g", 2: "write"}


@pytest.mark.parametrize("count", [31, 32, 33, 1000, times(100_000, 10_000)])
def test_any_number_of_pieces_adds_up(count):
    pieces = [*"ab"] * (count // 2) + ["c"] * (count % 2)
    *events, end = told(
        call('{"x":"'), *(call(piece, name=None) for piece in pieces), call('"}'), chunk("stop")
    )
    deltas = [e.text for group in events for e in group if isinstance(e, ToolCallDelta)]
    assert "".join(deltas) == end[0].arguments == '{"x":"' + "".join(pieces) + '"}'


def test_every_event_is_plain_data_with_a_type():
    events = [event for group in told(call("{}"), chunk("stop", content="x")) for event in group]
    for event in events:
        assert msgspec.json.decode(msgspec.json.encode(event))["type"]


def test_nothing_is_told_of_a_call_without_a_name_and_arguments():
    *events, end = told(call("", name=None), call("{}", 1, "c1", "g"), chunk("stop"))
    assert events == [[], [ToolCallStarted(1, "c1", "g"), ToolCallDelta(1, "{}")], []]
    assert [type(event) for event in end] == [ToolCall, Finished]
