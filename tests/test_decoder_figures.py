"""What decoders count and how much they do for it; what alone in a read is, or last in one, too."""

import json
import random

import pytest

from tests.chat_wire import DONE, FIRST, GOOD, SECOND, chunk, cuts, frame, last, texts, tool
from tests.counting import calls
from tests.effort import times
from tests.test_decoders import fed, text_of
from zai_async import (
    BillingError,
    ChatDecoder,
    DecoderState,
    LimitError,
    ResponseError,
    StreamMalformedError,
    StreamRestartedError,
    StreamTruncatedError,
)
from zai_async._protocol import AgentDecoder, DecoderContext, SpeechDecoder

CUT = b'data: {"id":"' + FIRST.encode() + b'","cho\n\n'
SAID = {"choices": [{"messages": [{"role": "assistant", "content": "a"}]}]}
USED = {"tool_name": "insert_page", "output": "<p>", "position": [1]}
DID = {
    "choices": [
        {
            "messages": [
                {"role": "assistant", "content": [{"type": "object", "object": USED}]},
            ]
        }
    ]
}


def test_an_agent_tells_what_it_used_as_soon_as_that_is_known():
    decoder = AgentDecoder()
    decoder.feed(frame(SAID))
    assert decoder.usage is None or not decoder.usage.total_tokens
    decoder.feed(frame(SAID | {"usage": {"total_tokens": 7}}))
    assert decoder.usage.total_tokens == 7


@pytest.mark.parametrize(
    ("decoder", "events", "progress"),
    [
        (AgentDecoder, [SAID, SAID, DID], 3),
        (SpeechDecoder, [{"choices": [{"delta": {"content": "AAEC"}}]}] * 2, 2),
        (ChatDecoder, [*texts("a", "", "b"), chunk()], 2),
    ],
)
def test_each_piece_of_content_is_counted_once(decoder, events, progress):
    reading = decoder()
    for event in events:
        reading.feed(frame(event))
    _ = reading.state
    assert reading.progress == progress


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(
    ("events", "skipped"),
    [
        ([frame({"id": FIRST, "choices": []}), b"data: null\n\n", b"data: \n\n"], 3),
        ([frame({"id": "other", "created": 3})], 1),
        ([frame(last()), frame(texts("No.", id=SECOND)[0] | {"created": 2})], 1),
    ],
)
def test_events_without_content_are_counted(events, skipped, at_once):
    decoder = ChatDecoder()
    wire = [*map(frame, texts("A", "B")), *events, frame(last())]
    items, ended = fed(decoder, *([b"".join(wire)] if at_once else wire))
    assert (decoder.skipped, text_of(items), ended) == (skipped, "AB", "completed")


def test_damage_behind_the_end_of_sound_is_counted_as_nothing_said():
    decoder = SpeechDecoder()
    spoken = {"choices": [{"delta": {"content": "AAEC"}, "finish_reason": "stop"}]}
    assert fed(decoder, frame(spoken), CUT, DONE) == ([b"\0\1\2"], "completed")
    assert decoder.skipped == 1


def test_damage_that_could_be_passed_is_counted():
    glued = frame(texts("B")[0])[:-2] + frame(texts("C")[0])
    for wire, recovered in (
        ([*map(frame, texts("A")), glued, frame(last())], 0),
        ([frame(last()), CUT, frame({"id": FIRST, "choices": [], "usage": {}})], 0),
        ([frame(last()), CUT, frame(chunk(usage={"total_tokens": 3}))], 1),
    ):
        decoder = ChatDecoder(allow={"empty"})
        fed(decoder, *wire)
        assert decoder.generation.recovered == recovered


def test_a_chunk_alone_is_as_good_as_one_among_others():
    decoder = ChatDecoder()
    decoder.feed(frame(texts("A")[0]))
    assert decoder.feed(frame({"id": FIRST, "choices": []})) == []
    decoder.feed(frame(chunk({"content": "B"}, usage={"total_tokens": 5})))
    assert decoder.usage.total_tokens == 5
    with pytest.raises(BillingError) as caught:
        decoder.feed(frame({"id": FIRST, "error": {"code": "1113", "message": "m"}}))
    assert caught.value.partial.text == "AB"


@pytest.mark.parametrize("count", [2, 3, 40])
def test_the_last_of_a_read_may_be_of_another_generation(count):
    decoder = ChatDecoder()
    decoder.feed(frame(texts("A")[0]))
    one = frame(texts("B")[0])
    other = frame(texts("No.", id=SECOND)[0] | {"created": 2})
    _, error = fed(decoder, one * count + other)
    assert isinstance(error, StreamRestartedError)
    assert error.partial.text == "A" + "B" * count


@pytest.mark.parametrize("first", [{"id": FIRST}, {"id": FIRST, "choices": []}])
def test_who_speaks_is_known_although_the_first_event_does_not_say_it(first):
    decoder = ChatDecoder()
    fed(decoder, *map(frame, (first, *texts("A", "B"), last())), DONE)
    answer = decoder.snapshot
    assert (answer.id, answer.model, answer.created) == (FIRST, "glm-5.1", 1)


def test_what_comes_in_one_read_is_decoded_in_one_go():
    many = frame(texts("B")[0]) * 48
    decoder = ChatDecoder()
    decoder.feed(frame(texts("A")[0]))
    at_once = calls(lambda: decoder.feed(many))
    alone = calls(lambda: [decoder.feed(frame) for frame in many.split(b"\n\n")[:-1]])
    assert decoder.snapshot.text == "A" + "B" * 48
    assert at_once * 2 < alone


def test_a_line_of_no_event_is_taken_note_of_once():
    for first in ({"id": "a"}, {"id": "a", "choices": []}):
        decoder = ChatDecoder()
        for data in (frame(first), b"rubbish\n\n", b": ping\n\n", b": pong\n\n"):
            decoder.feed(data)
        assert decoder._foreign.count(b"rubbish") == 1
    decoder = ChatDecoder()
    for data in (frame(texts("A")[0]), b"rubbish\n\n", frame(texts("B")[0]), b": pong\n\n"):
        decoder.feed(data)
    assert decoder._foreign.count(b"rubbish") == 1


def test_a_generation_that_takes_the_place_of_a_finished_one_must_end_as_well():
    """A backend failed, said so in its finish reason, and another one began in the same line."""
    failed = frame(chunk(finish="network_error"))
    other = [frame(each | {"created": 2}) for each in texts("Hel", "lo", id=SECOND)]
    decoder = ChatDecoder(allow={"network_error"})
    items, error = fed(decoder, failed, CUT, *other)
    assert text_of(items) == "Hello"
    assert isinstance(error, StreamTruncatedError)


@pytest.mark.parametrize("view", ["text", "events"])
def test_a_choice_that_was_hidden_is_not_asked_for_again(view):
    hidden = chunk({"content": "A"}, finish="stop")
    hidden["choices"][0]["index"] = 1
    decoder = ChatDecoder(context=DecoderContext(view=view))
    _, error = fed(decoder, frame(hidden), DONE)
    assert isinstance(error, StreamMalformedError)
    assert (error.retryable, error.partial.text) == (False, "A")


def test_a_page_behind_blank_lines_is_known_before_its_end():
    with pytest.raises(ResponseError):
        ChatDecoder().feed(b" \r\n\n<html>" + b"x" * 2**13)


def test_blank_lines_count_as_bytes():
    decoder = ChatDecoder(context=DecoderContext(max_bytes=1000))
    for _ in range(10):
        decoder.feed(b"\n" * 100)
    with pytest.raises(LimitError, match="1000 bytes"):
        decoder.feed(b"\n")


def test_blanks_before_events_are_none_of_them():
    for blanks in (["\n", "\n \n", "  ", "\n"], ["\r\n\r\n", " \n"], ["\ufeff\n", "\n", " \n"]):
        decoder = ChatDecoder()
        items, outcome = fed(decoder, *(each.encode() for each in blanks), GOOD, b"")
        assert (outcome, decoder.snapshot.text) == ("completed", text_of(items))
        assert decoder.state is DecoderState.ENDED


def test_the_end_of_the_input_may_complete_an_item():
    wire = b"\n".join(json.dumps(each).encode() for each in (*texts("A", "B"), last()))
    items, outcome = fed(ChatDecoder(), b"\n\n" + wire, b"")
    assert (text_of(items), outcome) == ("AB", "completed")
    decoder = ChatDecoder()
    assert fed(decoder, wire) == ([], "completed")  # too late for items
    assert decoder.snapshot.text == "AB"


def some_event(rng):
    """Return an event of one of two answers, or what breaks on the way to it."""
    name = rng.choice([FIRST, FIRST, FIRST, SECOND, ""])
    created = rng.choice([0, 1 + (name == SECOND)])
    said = frame(texts(rng.choice(["x", "yy", ""]), id=name)[0] | {"created": created})
    return rng.choice(
        [
            *[said] * 8,
            said[: rng.randrange(8, len(said) - 2)] + b"\n\n",
            said[: rng.randrange(8, len(said) - 2)] + frame(texts("g")[0]),
            frame({"id": name, "choices": []}),
            frame({"id": name, "choices": [], "usage": {"total_tokens": rng.randrange(9)}}),
            frame(chunk(id=name, usage={"total_tokens": 3}, created=created)),
            frame(chunk({"reasoning_content": "t"}, id=name, created=created)),
            frame(
                tool(rng.choice(['{"a":', "1}", "{}"]), id=rng.choice(["c", None])) | {"id": name}
            ),
            frame(last(rng.choice(["stop", "network_error"]), id=name) | {"created": created}),
            frame({"error": {"code": "1302", "message": "m"}}),
            *(b": ping\n\n", b"\n", b"stray line\n\n", b"da\n\n", b"data: null\n\n"),
        ]
    )


def meaning(pieces, **context):
    decoder = ChatDecoder(context=DecoderContext(**context))
    items, end = fed(decoder, *pieces, b"")
    answer, told = decoder.snapshot, decoder.generation
    calls = [(call.name, call.arguments) for call in answer.tool_calls]
    figures = decoder.skipped, told.recovered, len(told.resets), answer.usage.total_tokens
    ended = end if isinstance(end, str) else type(end)
    head = answer.id, answer.model
    return text_of(items), ended, head, answer.text, answer.thinking, calls, *figures


@pytest.mark.parametrize("on_restart", ["raise", "reset"])
def test_what_a_stream_means_does_not_depend_on_how_its_events_arrive(on_restart):
    rng = random.Random(on_restart)
    for _ in range(times(4000, 400)):
        begun = [frame(texts("A")[0])] * rng.randrange(3)
        events = [*begun, *(some_event(rng) for _ in range(rng.randrange(1, 14)))]
        if rng.random() < 0.5:
            events += [frame(last()), DONE]
        view = rng.choice([None, "text", "events", "completion", "chunks"])
        one_by_one = meaning(events, view=view, on_restart=on_restart)
        wire = b"".join(events)
        some = cuts(wire, *rng.sample(range(1, len(wire)), k=min(4, len(wire) - 1)))
        for pieces in ([wire], some):
            assert meaning(pieces, view=view, on_restart=on_restart) == one_by_one, events
