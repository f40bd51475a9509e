import json
import sys
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.counting import calls
from zai_async._protocol.accumulator import ChatAccumulator
from zai_async._protocol.text import ChunkedText
from zai_async._protocol.tool_calls import PartialToolCall
from zai_async.models import (
    ChatCompletionChunk,
    ChunkChoice,
    ChunkFunction,
    ChunkToolCall,
    ContentFilter,
    Delta,
    SearchResult,
    Usage,
)
from zai_async.models.chat import Audio

PIECES = st.lists(st.text(max_size=5), max_size=8)
NAME, ARGUMENTS = "read_file", '{"path": "update.sh", "ü": [1, {"a": "}"}]}'


def chunk(finish_reason=None, index=0, id="a", usage=None, **delta):
    choice = ChunkChoice(index=index, delta=Delta(**delta), finish_reason=finish_reason)
    return ChatCompletionChunk(id=id, choices=[choice], usage=usage)


def fragment(arguments=None, *, index=0, id=None, name=None, type=None):
    function = ChunkFunction(name=name, arguments=arguments)
    return ChunkToolCall(index=index, id=id, type=type, function=function)


def accumulated(*chunks):
    answer = ChatAccumulator()
    answer.add(chunks)
    return answer


def calls_of(*fragments, finish_reason="tool_calls"):
    """Return (id, name, arguments) of the calls that fragments, one in each chunk, add up to."""
    chunks = [chunk(tool_calls=[each]) for each in fragments]
    answer = accumulated(*chunks, chunk(finish_reason)).completion()
    return [(call.id, call.name, call.arguments) for call in answer.tool_calls]


# Text.


@given(st.integers(0, 1100), st.integers(1, 300))
def test_many_pieces_are_kept_in_blocks(count, at_once):
    pieces = [str(number) for number in range(count)]
    answer = ChatAccumulator()
    for begin in range(0, count, at_once):
        batch = pieces[begin : begin + at_once]
        answer.add([chunk(content=piece, reasoning_content=piece) for piece in batch])
    # Before they are joined, as nobody may ask for the whole while it comes.
    assert len(answer.text) == len(answer.thinking) <= count / 32 + 2 * 32 + at_once
    whole = answer.completion()
    assert whole.text == whole.thinking == "".join(pieces)
    assert len(answer.text) == len(answer.thinking) <= 1


def test_many_pieces_of_arguments_are_kept_in_blocks():
    call = PartialToolCall(0, "")
    for number in range(1000):
        assert call.add(fragment(f"{number},")) == f"{number},"
    assert call.arguments == "".join(f"{number}," for number in range(1000))
    assert len(call.pieces) < 64


@given(PIECES, PIECES)
def test_the_pieces_add_up_to_the_whole(thinking, text):
    chunks = [chunk(reasoning_content=piece) for piece in thinking]
    chunks += [chunk(content=piece) for piece in text]
    answer = accumulated(*chunks, chunk("stop")).completion()
    assert answer.thinking == "".join(thinking)
    assert answer.text == "".join(text)
    assert answer.message.content == ("".join(text) if text else None)
    assert answer.message.reasoning_content == ("".join(thinking) or None)


def test_text_may_come_as_a_list_of_parts():
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    answer = accumulated(chunk(content=parts), chunk(content="c"))
    assert answer.completion().message.content == "abc"


@pytest.mark.parametrize(
    ("delta", "progress"),
    [
        ({}, False),
        ({"role": "assistant"}, False),
        ({"content": ""}, False),
        ({"content": []}, False),
        ({"reasoning_content": ""}, False),
        ({"tool_calls": []}, False),
        ({"content": "x"}, True),
        ({"reasoning_content": "x"}, True),
        ({"content": "", "reasoning_content": "x"}, True),
        ({"content": "x", "tool_calls": []}, True),
        ({"tool_calls": [fragment()]}, True),
        ({"audio": Audio(id="a")}, True),
    ],
)
def test_only_content_is_progress(delta, progress):
    assert bool(ChatAccumulator().add([chunk(**delta)])) is progress


def test_progress_is_counted_over_many_chunks():
    chunks = [chunk(content="a"), chunk(), chunk(reasoning_content="b"), chunk("stop", content="c")]
    assert ChatAccumulator().add(chunks) == 3
    assert ChatAccumulator().add([]) == 0


@pytest.mark.parametrize(
    "delta", [{"content": "x"}, {"reasoning_content": "x"}, {"audio": Audio(id="a")}], ids=str
)
@pytest.mark.parametrize("finish_reason", [None, "stop"])
def test_each_piece_of_content_counts_once(delta, finish_reason):
    assert ChatAccumulator().add([chunk(finish_reason, **delta)]) == 1


def test_an_empty_text_is_not_the_same_as_none():
    assert accumulated(chunk(content="")).completion().message.content == ""
    assert accumulated(chunk()).completion().message.content is None


def test_blocks_are_made_of_many_pieces(monkeypatch):
    """Or each token would join what is there."""
    packed = 0

    def pack(_):
        nonlocal packed
        packed += 1

    monkeypatch.setattr(ChunkedText, "pack", pack)
    answer = ChatAccumulator()
    for number in range(1000):
        answer.add([chunk(content=str(number))])
    assert packed <= 2 * (1000 // 32 + 1)


def test_an_empty_fragment_of_a_known_call_is_no_progress():
    answer = ChatAccumulator()
    assert answer.add([chunk(tool_calls=[fragment(id="c", name="f")])])
    assert not answer.add([chunk(tool_calls=[fragment("", id="c", name="f")])])
    assert answer.add([chunk(tool_calls=[fragment("{"), fragment("")])])


def test_a_chunk_without_a_delta_or_choices_is_no_progress():
    answer = ChatAccumulator()
    assert not answer.add([ChatCompletionChunk()])
    assert not answer.add([ChatCompletionChunk(choices=[ChunkChoice()])])
    assert answer.chunks == 2


def test_other_choices_than_the_first_are_left_out():
    answer = ChatAccumulator()
    assert not answer.add([chunk("stop", index=1, content="second")])
    assert answer.add([chunk(content="first")])
    assert (answer.completion().text, answer.finish_reason) == ("first", None)
    assert answer.completion().choices[0].index == 0


@pytest.mark.parametrize(
    "delta", [{"content": "x"}, {"reasoning_content": "x"}, {"tool_calls": [fragment("{}")]}]
)
def test_of_other_choices_nothing_is_kept_once_the_first_has_said_something(delta):
    answer = ChatAccumulator()
    answer.add([chunk(index=1, content="second")])
    assert answer.other is not None
    answer.add([chunk(**delta), chunk(index=1, content="more")])
    assert answer.other is None
    assert answer.take_other() == 0


def test_the_only_choice_is_read_whatever_its_number():
    answer = ChatAccumulator()
    answer.add([chunk(index=2, content="a"), chunk(index=3, content="b")])
    only = ChunkChoice(
        index=2, delta=Delta(content="c"), finish_reason="stop", usage=Usage(total_tokens=7)
    )
    answer.add([ChatCompletionChunk(id="a", choices=[only])])
    assert answer.take_other() == 2
    whole = answer.completion()
    assert (whole.text, whole.finish_reason, whole.usage.total_tokens) == ("ac", "stop", 7)


# What stands beside the text.


def test_the_first_chunk_introduces_the_answer():
    answer = accumulated(
        ChatCompletionChunk(request_id="r"),
        ChatCompletionChunk(id="a", created=5, model="glm-5.3"),
        ChatCompletionChunk(id="b", created=6, model="other", request_id="other"),
    ).completion()
    assert (answer.created, answer.model, answer.request_id) == (5, "glm-5.3", "r")
    assert answer.object == "chat.completion"
    assert answer.message.role == "assistant"


@pytest.mark.parametrize(
    ("ids", "last"), [(["a", "a", ""], "a"), (["", "a"], "a"), (["a", "b", "c"], "c")]
)
def test_the_last_id_stays(ids, last):
    answer = accumulated(*(ChatCompletionChunk(id=each) for each in ids))
    assert answer.completion().id == last


def test_usage_comes_from_the_chunk_or_from_its_choice():
    inner = ChunkChoice(delta=Delta(), usage=Usage(total_tokens=1))
    answer = accumulated(ChatCompletionChunk(choices=[inner]))
    assert answer.usage == Usage(total_tokens=1)
    answer.add([chunk("stop", usage=Usage(total_tokens=2))])
    answer.add([ChatCompletionChunk()])
    assert answer.completion().usage == Usage(total_tokens=2)


def test_usage_of_nothing_takes_no_counts_back():
    answer = accumulated(chunk("stop", usage=Usage(total_tokens=2)), chunk(usage=Usage()))
    assert answer.usage == Usage(total_tokens=2)
    assert accumulated(chunk("stop", usage=Usage())).usage == Usage()


def test_usage_counts_beside_a_text_of_a_known_answer():
    answer = accumulated(chunk(content="a"), chunk(content="b", usage=Usage(total_tokens=5)))
    assert (answer.completion().text, answer.usage.total_tokens) == ("ab", 5)


def test_without_usage_all_counts_are_zero():
    assert accumulated(chunk("stop")).completion().usage == Usage()


def test_findings_are_collected():
    one, two = SearchResult(title="1"), SearchResult(title="2")
    answer = accumulated(
        ChatCompletionChunk(web_search=[one]),
        ChatCompletionChunk(web_search=[two], content_filter=[ContentFilter(level=1)]),
        ChatCompletionChunk(content_filter=[]),
    ).completion()
    assert answer.web_search == [one, two]
    assert answer.content_filter == [ContentFilter(level=1)]


@pytest.mark.parametrize(
    ("facts", "progress"),
    [
        ({"web_search": [SearchResult(title="1")]}, 1),
        ({"content_filter": [ContentFilter(level=1)]}, 1),
        ({"web_search": [], "content_filter": []}, 0),
        ({"usage": Usage(total_tokens=1)}, 0),
    ],
)
def test_findings_are_progress_and_counts_of_tokens_are_none(facts, progress):
    assert ChatAccumulator().add([ChatCompletionChunk(**facts)]) == progress


def test_audio_is_kept():
    answer = accumulated(chunk(audio=Audio(id="1")), chunk(content="x"))
    assert answer.completion().message.audio == Audio(id="1")


def test_what_stands_beside_a_text_is_kept():
    usage = Usage(total_tokens=1)
    spoken = ChunkChoice(delta=Delta(content="x", audio=Audio(id="1")))
    counted = ChunkChoice(delta=Delta(content="y", reasoning_content="z"), usage=usage)
    answer = accumulated(*(ChatCompletionChunk(choices=[each]) for each in (spoken, counted)))
    message = answer.completion().message
    assert (message.text, message.reasoning_content, message.audio.id) == ("xy", "z", "1")
    assert answer.usage == usage


@pytest.mark.parametrize("reason", ["stop", "length", "unheard_of"])
def test_the_finish_reason_stays(reason):
    answer = accumulated(chunk(""), chunk(reason), chunk(""), chunk())
    assert answer.completion().finish_reason == reason


REASONS = ["stop", "unheard_of", "tool_calls"]
FAILURES = ["length", "sensitive", "network_error", "model_context_window_exceeded"]


@pytest.mark.parametrize("failure", FAILURES)
def test_no_later_reason_takes_a_failure_back(failure):
    for other in [*REASONS, *FAILURES]:
        assert accumulated(chunk(failure), chunk(other)).finish_reason == failure
    for other in REASONS:
        assert accumulated(chunk(other), chunk(failure)).finish_reason == failure


@pytest.mark.parametrize(
    "reasons", [["stop", "tool_calls"], ["stop", "eos"], ["eos", "tool_calls"]]
)
def test_of_reasons_that_are_no_failures_the_one_counts_that_says_more(reasons):
    for order in permutations(reasons):
        assert accumulated(*map(chunk, order)).finish_reason == reasons[1]


def test_a_snapshot_is_not_changed_by_what_follows():
    answer = accumulated(chunk(content="a"), ChatCompletionChunk(web_search=[SearchResult()]))
    before = answer.completion()
    answer.add([chunk("stop", content="b")])
    answer.add([ChatCompletionChunk(web_search=[SearchResult()])])
    assert (before.text, before.finish_reason, len(before.web_search)) == ("a", None, 1)


# Tool calls.


def test_a_whole_call_in_one_chunk():
    assert calls_of(
        fragment('{"a":2}', index=0, id="c0", name="add"),
        fragment('{"b":3}', index=1, id="c1", name="multiply"),
    ) == [("c0", "add", '{"a":2}'), ("c1", "multiply", '{"b":3}')]


def test_two_whole_calls_in_one_delta():
    both = [fragment("{}", index=0, id="c0", name="f"), fragment("{}", index=1, id="c1", name="g")]
    answer = accumulated(chunk("tool_calls", tool_calls=both)).completion()
    assert [(call.index, call.id) for call in answer.tool_calls] == [(0, "c0"), (1, "c1")]


@pytest.mark.parametrize(
    "later",
    [
        {},
        {"name": ""},
        {"name": NAME},
        {"id": ""},
        {"id": "c0", "name": NAME, "type": "function"},
        {"id": "another", "name": None},
        {"id": "another", "name": NAME},
    ],
    ids=range(7),
)
@given(st.lists(st.integers(0, len(ARGUMENTS)), max_size=6))
def test_fragments_add_up_to_the_call_whatever_relays_do_to_ids_and_names(later, places):
    if later == {"id": "another", "name": NAME}:
        # Where the arguments have not begun, or are whole, this is another call.
        places = {*places} - {0, len(ARGUMENTS)}
    places = [0, *sorted(places), len(ARGUMENTS)]
    pieces = [ARGUMENTS[a:b] for a, b in pairwise(places)]
    first = fragment(pieces[0], id="c0", name=NAME, type="function")
    rest = [fragment(piece, **later) for piece in pieces[1:]]
    assert calls_of(first, *rest) == [("c0", NAME, ARGUMENTS)]


@pytest.mark.parametrize("late", ["id", "name"])
def test_an_id_or_a_name_may_come_late(late):
    facts = {"id": "c0", "name": NAME}
    missing = {late: facts.pop(late)}
    assert calls_of(fragment('{"a":', **facts), fragment("1}", **missing)) == [
        ("c0", NAME, '{"a":1}')
    ]


@given(st.permutations([0] * 4 + [1] * 4))
def test_interleaved_calls_are_told_apart_by_their_index(order):
    pieces = {0: iter(['{"a"', ":", "1", "}"]), 1: iter(['{"b"', ":", "2", "}"])}
    found = calls_of(*(fragment(next(pieces[index]), index=index) for index in order))
    assert sorted(arguments for _, _, arguments in found) == ['{"a":1}', '{"b":2}']


def test_another_name_at_a_used_index_is_another_call():
    assert calls_of(
        fragment('{"a":', id="c0", name="f"),
        fragment("1}"),
        fragment('{"b":', id="c1", name="g"),
        fragment("2}", name=""),
        fragment("{}", index=1, id="c2", name="h"),
    ) == [("c0", "f", '{"a":1}'), ("c1", "g", '{"b":2}'), ("c2", "h", "{}")]


def test_without_an_index_the_id_tells_calls_apart():
    assert calls_of(
        fragment('{"a":', index=None, id="c0", name="f"),
        fragment('{"b":', index=None, id="c1", name="g"),
        fragment("1}", index=None, id="c0"),
        fragment("2}", index=None, id="c1"),
    ) == [("c0", "f", '{"a":1}'), ("c1", "g", '{"b":2}')]


def test_without_index_and_id_a_fragment_belongs_to_the_last_call():
    assert calls_of(
        fragment("{}", index=None, id="c0", name="f"),
        fragment('{"b":', index=None, id="c1", name="g"),
        fragment("2}", index=None),
    ) == [("c0", "f", "{}"), ("c1", "g", '{"b":2}')]


def test_a_call_may_begin_without_index_id_and_name():
    assert calls_of(fragment("{}", index=None)) == [("", "", "{}")]


def test_a_call_without_a_function_is_kept():
    search = ChunkToolCall(index=0, id="c0", type="web_search")
    call = accumulated(chunk("tool_calls", tool_calls=[search])).completion().tool_calls[0]
    assert (call.id, call.type, call.name, call.arguments) == ("c0", "web_search", "", "")


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        ("{}", True),
        (' {"a": [1, 2]}\n', True),
        ("", False),
        ("{", False),
        ('{"a": 1', False),
        ("{}{}", False),
        ('{"a":1}{"b":2}', False),
        ('{"action": listt_windows"}', False),
        ("<arg_key>path</arg_key><arg_value>/x</arg_value>", False),
        ("[]", False),
        ("null", False),
        ('"{}"', False),
        ("1", False),
        ('{"a":"\ud800"}', False),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, False),
    ],
    ids=range(15),
)
def test_only_one_json_object_is_whole(arguments, whole):
    call = PartialToolCall(0, "")
    call.add(fragment(arguments))
    assert call.is_whole() is whole


@given(st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9), max_size=4))
def test_arguments_are_whole_after_their_last_character_and_not_before(arguments):
    text = json.dumps(arguments)
    call = PartialToolCall(0, "")
    for character in text:
        assert not call.is_whole()
        call.add(fragment(character))
    assert call.is_whole()
    assert json.loads(call.arguments) == arguments


@pytest.mark.parametrize("arguments", ["", '{"b":'])
@pytest.mark.parametrize(
    ("finish_reason", "names"),
    [
        (None, ["f"]),
        ("length", ["f"]),
        ("sensitive", ["f"]),
        ("network_error", ["f"]),
        ("model_context_window_exceeded", ["f"]),
        ("tool_calls", ["f", "g"]),
        ("stop", ["f", "g"]),
        ("unheard_of", ["f", "g"]),
    ],
)
def test_before_a_proper_end_only_whole_calls_are_shown(arguments, finish_reason, names):
    answer = accumulated(
        chunk(tool_calls=[fragment('{"a":1}', index=0, name="f")]),
        chunk(tool_calls=[fragment(arguments, index=1, name="g")]),
    )
    assert answer.tools.unfinished().name == "g"
    answer.add([chunk(finish_reason)])
    assert [call.name for call in answer.completion().tool_calls] == names


def test_nothing_is_unfinished_when_all_calls_are_whole():
    assert accumulated(chunk(content="x")).tools.unfinished() is None
    assert accumulated(chunk(tool_calls=[fragment("{}")])).tools.unfinished() is None


# However a server numbers its calls.


def test_parallel_calls_of_one_tool_may_all_have_one_index():
    assert calls_of(
        fragment('{"t":1}', id="a", name="f"),
        fragment('{"t":', id="b", name="f"),
        fragment("2}"),
        fragment("{}", id="c", name="f"),
    ) == [("a", "f", '{"t":1}'), ("b", "f", '{"t":2}'), ("c", "f", "{}")]


def test_a_value_after_a_whole_one_is_that_of_another_call():
    first, second = calls_of(
        fragment('{"t":1}', id="a", name="f"), fragment(' {"t":2}', id="a", name="f")
    )
    assert first == ("a", "f", '{"t":1}')
    assert second[1:] == ("f", ' {"t":2}')
    assert second[0] not in {"", "a"}  # its result has to find it


@pytest.mark.parametrize("name", [None, "", "f"])
def test_one_id_for_all_calls_tells_nothing_of_their_fragments(name):
    values = ['{"t":1}', '{"t":2}', '{"t":3}']
    fragments = [
        fragment(piece, id="a", name="f" if piece == "{" else name)
        for value in values
        for piece in ("{", value[1:])
    ]
    found = calls_of(*fragments)
    assert [call[1:] for call in found] == [("f", value) for value in values]
    assert len({call[0] for call in found}) == 3


def test_a_call_that_nobody_could_answer_is_not_begun():
    assert calls_of(fragment("{}", id="a", name="f"), fragment("{}")) == [("a", "f", "{}{}")]


def test_white_space_and_rubbish_after_a_whole_value_stay_with_it():
    for rest in (" \n", "}", ""):
        assert calls_of(fragment("{}", id="a", name="f"), fragment(rest)) == [
            ("a", "f", "{}" + rest)
        ]


def test_a_new_id_before_arguments_begins_a_call():
    assert calls_of(
        fragment("", id="a", name="now"), fragment("", id="b", name="now"), fragment("{}")
    ) == [("a", "now", ""), ("b", "now", "{}")]


def test_fragments_side_by_side_under_one_index_are_told_apart_by_id():
    assert calls_of(
        fragment('{"a"', id="a", name="f"),
        fragment('{"b"', id="b", name="f"),
        fragment(":1}", id="a"),
        fragment(":2}", id="b"),
    ) == [("a", "f", '{"a":1}'), ("b", "f", '{"b":2}')]


def test_an_empty_fragment_with_a_new_id_decides_nothing():
    assert calls_of(
        fragment('{"a":', id="a", name="f"),
        fragment("", id="b", name="f"),
        fragment("1}", id="c", name="f"),
    ) == [("a", "f", '{"a":1}')]


def test_a_new_id_without_a_name_goes_on_with_what_it_fits():
    assert calls_of(
        fragment('{"a":[', id="a", name="f"),
        fragment('{"b":1}', id="b"),
        fragment("]}", id="c"),
        fragment('{"c":2}', id="d"),
    ) == [("a", "f", '{"a":[{"b":1}]}'), ("d", "f", '{"c":2}')]


def test_a_name_alone_begins_another_call_where_it_cannot_be_a_piece():
    found = calls_of(
        fragment('{"a"', id="a", name="f"), fragment('{"b":1}', name="g"), finish_reason="stop"
    )
    assert [call[1:] for call in found] == [("f", '{"a"'), ("g", '{"b":1}')]
    assert found[1][0]


def test_arguments_may_come_before_id_and_name():
    assert calls_of(fragment('{"a"'), fragment(":1}", id="c", name="f")) == [("c", "f", '{"a":1}')]


@pytest.mark.parametrize("names", [["rea", "d_file"], ["rea", "read_file"], ["read_file"] * 3])
def test_a_name_may_come_in_pieces(names):
    fragments = [fragment(None, id="c", name=name) for name in names]
    assert calls_of(*fragments, fragment("{}")) == [("c", "read_file", "{}")]


@pytest.mark.parametrize("pieces", [["re", "ad"], ["read"], ["read", "read"]])
@pytest.mark.parametrize("rest", ["", ":1}"])
def test_a_name_may_come_in_pieces_after_the_first_arguments(pieces, rest):
    first = fragment('{"a"' if rest else '{"a":1}')
    names = [fragment("", id="c" * (not number), name=name) for number, name in enumerate(pieces)]
    assert calls_of(first, *names, fragment(rest)) == [("c", "read", '{"a":1}')]


@pytest.mark.parametrize("index", [0, None])
def test_after_a_whole_value_a_new_id_or_another_name_begins_a_call_by_itself(index):
    whole = fragment('{"a":1}', index=index, id="a", name="f")
    rest = [fragment("{", index=index), fragment("}", index=index)]
    for head in (
        [fragment("", index=index, id="b"), fragment("", index=index, name="g")],
        [fragment("", index=index, id="b", name=""), fragment("", index=index, id="b", name="g")],
        [fragment("", index=index, id="b", name="g")],
    ):
        assert calls_of(whole, *head, *rest) == [("a", "f", '{"a":1}'), ("b", "g", "{}")]
    first, second = calls_of(whole, fragment("", index=index, name="g"), *rest)
    assert first == ("a", "f", '{"a":1}')
    assert second[1:] == ("g", "{}")
    assert second[0] not in {"", "a"}
    # What follows says nothing more: it was the end of the first one.
    for last in (fragment("", index=index, id="b"), fragment("", index=index, name="f")):
        assert calls_of(whole, last) == [("a", "f", '{"a":1}')]


def test_an_object_that_says_nothing_of_its_call_stays_with_the_one_that_is_open():
    """A piece was lost, perhaps; nobody could answer a call without a name."""
    head = fragment('{"a":1', id="a", name="f")
    for name in (None, "", "f", "function"):
        found = calls_of(head, fragment('{"b":2}', name=name))
        assert [(call[0], call[2]) for call in found] == [("a", '{"a":1{"b":2}')]
    assert len(calls_of(head, fragment('{"b":2}', name="g"))) == 2


@pytest.mark.parametrize("index", [0, 1, None])
def test_a_whole_call_that_is_said_again_is_no_second_one(index):
    pieces = [fragment('{"a"', id="a", name="f"), fragment(":1}"), fragment("{}", id="b", name="f")]
    again = [fragment('{"a":1}', index=index, id="a", name="f")]
    again += [fragment("{}", index=index, id="b", name="f")]
    assert calls_of(*pieces, *again) == [("a", "f", '{"a":1}'), ("b", "f", "{}")]
    # Anything else may be one.
    for other in (fragment('{"a":2}', id="a", name="f"), fragment('{"a":1}', id="a", name="g")):
        assert len(calls_of(*pieces, other)) == 3


def test_what_late_ids_belong_to_is_known_as_well():
    late = [fragment('{"a":1}', name="f"), fragment(id="a"), fragment('{"a":1}', id="a", name="f")]
    assert calls_of(*late) == [("a", "f", '{"a":1}')]


def test_calls_are_in_the_order_of_their_index():
    down = [fragment("{}", index=index, id=f"c{index}", name="f") for index in (2, 1, 0)]
    assert [call[0] for call in calls_of(*down)] == ["c0", "c1", "c2"]


def test_an_index_that_a_fork_took_is_given_to_nobody_else():
    forked = [
        fragment('{"a":1}', id="a", name="f"),
        fragment('{"b":1}', id="b", name="f"),
        fragment('{"c":', index=1, id="c", name="g"),
        fragment("1}", index=1),
        fragment("{}", index=7, id="d", name="h"),
        fragment("{}", index=0, id="e", name="h"),
    ]
    answer = accumulated(*(chunk(tool_calls=[each]) for each in forked), chunk("tool_calls"))
    found = {call.id: (call.index, call.arguments) for call in answer.completion().tool_calls}
    assert found == {
        "a": (0, '{"a":1}'),
        "b": (1, '{"b":1}'),
        "c": (2, '{"c":1}'),
        "d": (7, "{}"),
        "e": (8, "{}"),
    }


@pytest.mark.parametrize("order", [*permutations((0, 1, 3))])
def test_forks_get_numbers_above_all_that_are_taken(order):
    """Where indices go down as well: two calls under one would be one for whoever reads on."""
    fragments = [
        fragment("{}", index=index, id=f"{index}{turn}", name="f")
        for turn in "abc"
        for index in order
    ]
    answer = accumulated(*(chunk(tool_calls=[each]) for each in fragments), chunk("tool_calls"))
    found = {call.id: call.index for call in answer.completion().tool_calls}
    forks = [f"{index}{turn}" for turn in "bc" for index in order]
    assert found == {"0a": 0, "1a": 1, "3a": 3} | {fork: 4 + n for n, fork in enumerate(forks)}


def test_calls_without_index_and_id_in_one_delta_go_by_their_place():
    deltas = [['{"a":', '{"b":'], ["1}", "2}"]]
    chunks = [chunk(tool_calls=[fragment(one, index=None) for one in delta]) for delta in deltas]
    answer = accumulated(*chunks, chunk("stop")).completion()
    assert [call.arguments for call in answer.tool_calls] == ['{"a":1}', '{"b":2}']


def test_calls_without_index_are_told_apart_by_a_new_id_beside_a_name():
    assert calls_of(
        fragment('{"a":', index=None, id="a", name="f"),
        fragment('{"b":1}', index=None, id="b", name="f"),
        fragment("2}", index=None, id="a"),
    ) == [("a", "f", '{"a":2}'), ("b", "f", '{"b":1}')]


def test_a_call_of_which_nothing_is_known_is_none():
    assert calls_of(fragment("", id="a"), fragment("{}", index=1, id="b", name="f")) == [
        ("b", "f", "{}")
    ]


@given(st.text('{}[]":,\\ a', max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_no_cut_changes_what_is_known_of_the_structure(text, places):
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    whole, pieces = PartialToolCall(0, ""), PartialToolCall(0, "")
    whole.add(fragment(text))
    for begin, end in pairwise(edges):
        pieces.add(fragment(text[begin:end]))
    assert whole.nesting.is_closed is pieces.nesting.is_closed
    assert whole.nesting.admits_object is pieces.nesting.admits_object


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers() | st.text(max_size=5))))
def test_a_value_is_closed_after_its_last_character(value):
    text = json.dumps(value)
    call = PartialToolCall(0, "")
    for character in text:
        assert not call.nesting.is_closed
        call.add(fragment(character))
    assert call.nesting.is_closed


@pytest.mark.parametrize(
    ("text", "closed", "admits"),
    [
        ("", False, True),
        ("{", False, False),
        ('{"a', False, True),  # in a string, anything may follow
        ('{"a":', False, True),
        ('{"a": 1', False, False),
        ('{"a": 1,', False, False),
        ('{"a": [', False, True),
        ('{"a": [1,', False, True),
        ('{"a": [1', False, False),
        ('{"a": [1], ', False, False),
        ('{"a": "x\\ny"}', True, False),
        ('{"a": "x\\"y", "b\\\\": [2]}', True, False),
        ('{"a": "x\\"}', False, True),
    ],
)
def test_where_an_object_may_begin_is_known(text, closed, admits):
    call = PartialToolCall(0, "")
    call.add(fragment(text))
    assert (call.nesting.is_closed, call.nesting.admits_object) == (closed, admits)


@pytest.mark.parametrize(
    ("told", "calls"),
    [({"id": "b"}, 1), ({"name": "g"}, 1), ({"id": "b", "name": "g"}, 2)],
)
def test_behind_a_whole_value_more_of_none_needs_an_id_and_a_name_to_be_another_call(told, calls):
    fragments = [fragment("{}", id="a", name="f"), fragment(" ", **told)]
    answer = accumulated(*(chunk(tool_calls=[each]) for each in fragments), chunk("tool_calls"))
    assert len(answer.completion().tool_calls) == calls


@pytest.mark.parametrize(
    ("name", "rest", "arguments"), [("f", "1}", ['{"a": 1}']), ("g", "{}", ['{"a": ', "{}"])]
)
def test_a_new_id_beside_the_same_name_tells_only_with_what_follows(name, rest, arguments):
    fragments = [
        fragment('{"a": ', id="a", name="f"),
        fragment("", id="b", name=name),
        fragment(rest, id="b"),
    ]
    answer = accumulated(*(chunk(tool_calls=[each]) for each in fragments), chunk("tool_calls"))
    told = [call.function.arguments for call in answer.completion().tool_calls]
    assert told == arguments


@pytest.mark.parametrize(("first", "second"), [("a", "a_1"), (None, "call_1")])
def test_a_call_without_an_id_of_its_own_is_named_after_the_one_before_it(first, second):
    fragments = [fragment("{}", id=first, name="f"), fragment("{}", name="g")]
    answer = accumulated(*(chunk(tool_calls=[each]) for each in fragments), chunk("tool_calls"))
    assert [call.id for call in answer.completion().tool_calls][1:] == [second]


def test_the_cost_of_many_fragments_is_that_of_their_characters():
    """Counted in calls: each fragment is looked at once, however long the arguments are."""
    counts = []
    for size in (1000, 2000):
        answer, calls = ChatAccumulator(), 0

        def count(*_):
            nonlocal calls
            calls += 1

        fragments = [chunk(tool_calls=[fragment('"}', id="c", name="f")]) for _ in range(size)]
        sys.setprofile(count)
        answer.add(fragments)
        sys.setprofile(None)
        counts.append(calls)
    assert counts[1] < 2.1 * counts[0]


LARGE = '{"a":"' + "[" * 2**18 + '"}'


@pytest.mark.parametrize(
    ("text", "closed"), [(LARGE, True), (LARGE[:-1], False), ("[" * 2**19, False)]
)
def test_of_large_arguments_only_a_whole_value_is_closed(text, closed):
    call = PartialToolCall(0, "")
    assert calls(lambda: call.add(fragment(text))) < 100
    assert call.nesting.is_closed is closed
    assert call.nesting.admits_object is not closed


def test_large_arguments_that_follow_others_are_followed_no_further():
    call = PartialToolCall(0, "")
    for piece in ("[", LARGE, "]"):
        call.add(fragment(piece))
    assert not call.nesting.is_closed
    assert call.arguments == f"[{LARGE}]"
    assert call.is_whole() is False


def test_a_text_is_joined_once_however_many_want_to_see_it():
    """To join megabytes takes as long as a turn of the loop may."""
    answer = ChatAccumulator()
    pieces = [f"{number} " for number in range(100)]
    answer.add(chunks(pieces[:70]))
    first = answer.completion().text
    assert answer.completion().text is first
    assert first == "".join(pieces[:70])
    answer.add(chunks(pieces[70:]))
    assert answer.completion().text == "".join(pieces)
    assert answer.completion().thinking == ""


def chunks(pieces):
    return [
        ChatCompletionChunk(id="1", choices=[ChunkChoice(delta=Delta(content=piece))])
        for piece in pieces
    ]
