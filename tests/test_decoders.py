"""The decoders by themselves: bytes in, items out, one outcome at the end."""

import contextlib
import json
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat_wire import DONE, GOOD, GOOD_TEXT, body, chunk, cuts, frame, last, texts, tool
from tests.counting import calls, counted
from zai_async import (
    APIError,
    BillingError,
    ChatDecoder,
    DecoderState,
    EmptyAnswerError,
    EventTooLargeError,
    LimitError,
    RateLimitError,
    ResponseError,
    StreamMalformedError,
    StreamRestartedError,
    StreamTruncatedError,
    ZaiError,
)
from zai_async._protocol import (
    AgentDecoder,
    DecoderContext,
    SpeechDecoder,
    TranscriptionDecoder,
)
from zai_async._protocol.decoder import Decoder
from zai_async._protocol.tool_calls import ToolCallAssembler
from zai_async.models import ChunkFunction, ChunkToolCall

MALFORMED = "the whole message says something else than its pieces"
SECOND_ID = "20261120101300bbbbbbbbbbbbbb"


def fed(decoder, *pieces):
    """Return all items, and the outcome or the error."""
    items = []
    try:
        for piece in pieces:
            items += decoder.feed(piece)
        return items, decoder.end_of_input()
    except ZaiError as error:
        return items, error


def text_of(items):
    return "".join(item.text for item in items)


@given(st.lists(st.integers(0, len(GOOD)), max_size=8))
def test_no_cut_changes_anything(places):
    decoder = ChatDecoder()
    items, outcome = fed(decoder, *filter(None, cuts(GOOD, *places)))
    assert (text_of(items), outcome, decoder.state) == (GOOD_TEXT, "completed", DecoderState.ENDED)
    assert decoder.snapshot.text == GOOD_TEXT
    assert decoder.usage.total_tokens == 12


def test_every_state_on_the_way_to_an_answer():
    decoder = ChatDecoder()
    seen = [decoder.state]
    for piece in (b"\r\n", b": ping\n\n", frame(texts("A")[0]), frame(last()), DONE):
        decoder.feed(piece)
        seen.append(decoder.state)
    waiting, receiving, finished, ended = map(
        DecoderState, ("waiting", "receiving", "finished", "ended")
    )
    assert seen == [waiting, waiting, receiving, receiving, finished, ended]
    assert decoder.feed(GOOD) == []  # belongs to nobody
    assert decoder.end_of_input() == "completed"


@pytest.mark.parametrize("size", [1, 50, 10**6])
def test_another_answer_behind_a_whole_one_is_no_part_of_it(size):
    """A relay glued two streams: what was asked for is the first, and it had come to its end."""
    other = [each | {"created": 2} for each in (*texts("No. ", "Never.", id="b"), last(id="b"))]
    data = body([*texts("Yes, ", "gladly."), last(), *other])
    decoder = ChatDecoder()
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
    assert decoder.end_of_input() == "completed"
    assert decoder.snapshot.text == "Yes, gladly."


@pytest.mark.parametrize("size", [1, 4, 50])
@pytest.mark.parametrize("line", [b"<!-- proxy -->", b"[debug]"])
def test_a_line_before_the_events_is_no_document(line, size):
    decoder = ChatDecoder()
    data = line + b"\n" + GOOD
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
    assert (decoder.end_of_input(), decoder.snapshot.text) == ("completed", GOOD_TEXT)


def test_behind_the_finish_reason_damage_is_not_suspicious():
    decoder = ChatDecoder()
    for piece in (frame(texts("A")[0]), frame(last()), b'data: {"id":"other","cho\n\n'):
        decoder.feed(piece)
    assert decoder.state is DecoderState.FINISHED
    assert decoder.end_of_input() == "completed"


def test_a_damaged_frame_is_suspicious_until_the_next_one():
    decoder = ChatDecoder()
    decoder.feed(frame(texts("A")[0]))
    assert decoder.feed(b'data: {"id":"other","cho\n\n') == []
    assert decoder.state is DecoderState.SUSPECT
    with pytest.raises(StreamMalformedError) as caught:
        decoder.feed(frame(texts("B")[0]))
    assert decoder.state is DecoderState.FAILED
    assert decoder.error is caught.value
    for again in (lambda: decoder.feed(b""), decoder.end_of_input):
        with pytest.raises(StreamMalformedError):
            again()
    assert caught.value.partial.text == "A"


def test_a_generation_that_follows_damage_is_not_suspicious_for_long():
    decoder = ChatDecoder()
    decoder.feed(b'data: {"id":"other","cho\n\n')
    assert decoder.state is DecoderState.SUSPECT
    decoder.feed(frame(texts("A")[0]))
    assert decoder.state is DecoderState.RECEIVING


def test_another_answer_that_follows_glued_frames_takes_their_place():
    glued = frame(texts("A")[0])[:-2] + frame(texts("B")[0])
    other = texts("No.", id="b")[0] | {"created": 2}
    items, error = fed(ChatDecoder(), glued, frame(texts("C")[0]), frame(other))
    assert text_of(items) == "ABC"
    assert isinstance(error, StreamRestartedError)


@pytest.mark.parametrize("field", [b"data: ", b""])
def test_each_of_several_glued_frames_may_be_of_another_answer(field):
    """Of the same second, even: what was glued was written by two backends."""
    other = frame(texts("No.", id=SECOND_ID)[0]).removeprefix(b"data: ")
    glued = frame(texts("B")[0])[:-2] + field + other
    items, error = fed(ChatDecoder(), frame(texts("A")[0]), glued)
    assert text_of(items) == "AB"
    assert isinstance(error, StreamRestartedError)


def test_of_what_is_damaged_little_is_kept():
    decoder = ChatDecoder()
    decoder.feed(b'data: {"id":"other","' + b"x" * 1000 + b"\n\n")
    assert len(decoder.generation.lost) > 1000
    for _ in range(30):
        decoder.feed(b'data: {"id":"other","' + b"x" * 1000 + b"\n\n")
    assert len(decoder.generation.lost) < 2**13


def test_of_several_choices_the_first_is_read():
    several = texts("B", "A")
    choices = [each["choices"][0] | {"index": 1 - place} for place, each in enumerate(several)]
    decoder = ChatDecoder()
    fed(decoder, frame(chunk() | {"choices": choices}), frame(last()), DONE)
    assert decoder.snapshot.text == "A"


def test_items_before_an_error_come_first():
    decoder = ChatDecoder()
    wire = body(texts("A", "B"), done=False) + frame({"error": {"code": "1302"}})
    assert text_of(decoder.feed(wire)) == "AB"
    assert decoder.state is DecoderState.FAILED
    with pytest.raises(RateLimitError) as caught:
        decoder.feed(b"more")
    assert caught.value.partial.text == "AB"


@pytest.mark.parametrize("wire", [b"", b"  ", b": ping\n\n", b"data:\n\n"])
def test_an_input_of_nothing_is_no_answer(wire):
    _, error = fed(ChatDecoder(), wire) if wire else fed(ChatDecoder())
    assert isinstance(error, StreamTruncatedError | ResponseError)


def test_what_is_allowed_is_an_outcome():
    wire = body(texts("A"), done=False)
    assert fed(ChatDecoder(allow={"truncated"}), wire)[1] == "truncated"
    assert isinstance(fed(ChatDecoder(), wire)[1], StreamTruncatedError)
    decoder = ChatDecoder(allow={"error"})
    assert fed(decoder, frame({"error": {"code": "1302"}}))[1] == "error"
    assert decoder.state is DecoderState.ENDED


def test_a_restart_can_replace_what_was_read():
    second = body([*texts("uno", id=SECOND_ID), last(id=SECOND_ID)])
    wire = frame(texts("one ")[0]) + frame(texts("two")[0])[:60] + second
    items, outcome = fed(ChatDecoder(on_restart="reset"), wire)
    assert (text_of(items), outcome) == ("one uno", "completed")
    decoder = ChatDecoder(on_restart="reset")
    fed(decoder, wire)
    assert (decoder.snapshot.text, len(decoder.generation.resets)) == ("uno", 1)
    assert isinstance(fed(ChatDecoder(), wire)[1], StreamRestartedError)


def test_each_restart_is_noticed_as_soon_as_the_one_before():
    chunks = [
        each | {"created": number}
        for number, name in enumerate("abc", start=1)
        for each in texts(name, name.upper(), id=name)
    ]
    decoder = ChatDecoder(on_restart="reset")
    fed(decoder, body(chunks, done=False), frame(last(id="c")))
    assert decoder.snapshot.text == "cC"
    assert [each.new_id for each in decoder.generation.resets] == ["b", "c"]


@pytest.mark.parametrize("more", [0, 1])
def test_a_document_may_only_be_so_large(more):
    decoder = ChatDecoder(max_event_bytes=50)
    data = b'{"choices": "'.ljust(50 + more, b"x")
    with pytest.raises(EventTooLargeError) if more else contextlib.nullcontext():
        decoder.feed(data)


def test_an_event_may_only_be_so_large():
    usual = {DecoderContext().max_event_bytes, ChatDecoder()._context.max_event_bytes}
    assert usual == {4 * 2**20}
    assert isinstance(fed(ChatDecoder(max_event_bytes=10), GOOD)[1], EventTooLargeError)
    large = b'{"choices": "' + b"x" * 100
    assert isinstance(fed(ChatDecoder(max_event_bytes=50), large, b"x")[1], EventTooLargeError)


# Documents in place of events.

ANSWER = {
    "id": "1",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hi", "reasoning_content": "hm"},
        }
    ],
    "usage": {"total_tokens": 3},
}


@pytest.mark.parametrize("indent", [None, 2])
@given(places=st.lists(st.integers(0, 100), max_size=4))
def test_a_whole_answer_is_one_chunk(indent, places):
    wire = json.dumps(ANSWER, indent=indent).encode()
    decoder = ChatDecoder()
    pieces = [*filter(None, cuts(wire, *places))]
    items, outcome = fed(decoder, *pieces, b"")
    assert (text_of(items), outcome) == ("Hi", "completed")
    assert (decoder.snapshot.thinking, decoder.usage.total_tokens) == ("hm", 3)


ENDS = [
    b"\n\ndata: [DONE]\n\n",
    b"\ndata:[DONE]",
    b"\r\n\r\ndata:  [DONE] \r\n",
    b"\n[DONE]\n",
    b"\0",
    b" \n\0\n",
]


@pytest.mark.parametrize("end", ENDS, ids=repr)
@pytest.mark.parametrize(
    "wrapped", [ANSWER, {"code": 200, "data": ANSWER}], ids=["bare", "wrapped"]
)
def test_behind_a_whole_answer_may_stand_the_end_of_a_stream_or_padding(end, wrapped):
    document = json.dumps(wrapped).encode()
    for place in range(len(end) + 1):
        decoder = ChatDecoder()
        # Where the end is plain, nobody waits for that of the connection.
        rest = () if b"data:" in end else (b"",)
        items, outcome = fed(decoder, document + end[:place], end[place:] or b"\n", *rest)
        assert (text_of(items), outcome) == ("Hi", "completed")
    large = json.dumps(ANSWER | {"x": "y" * 2**17}).encode()
    assert text_of(fed(ChatDecoder(), large + end, b"")[0]) == "Hi"
    assert isinstance(fed(ChatDecoder(max_event_bytes=50), document + end)[1], EventTooLargeError)


def test_an_answer_may_be_the_only_one_of_a_list():
    assert text_of(fed(ChatDecoder(), json.dumps([ANSWER]).encode(), b"")[0]) == "Hi"


def test_an_error_may_have_the_end_of_a_stream_behind_it():
    wire = b'{"error": {"code": "1113", "message": "m"}}\n\ndata: [DONE]\n\n'
    assert isinstance(fed(ChatDecoder(), wire)[1], BillingError)


@pytest.mark.parametrize("cut", range(1, len(b"\n\ndata: [D")))
def test_an_event_that_begins_like_the_end_mark_is_an_event(cut):
    stray, wire = b'{"half', b"\n\n" + body([*texts("A"), last()])
    assert text_of(fed(ChatDecoder(), stray + wire[:cut], wire[cut:])[0]) == "A"
    odd = b"\n\ndata: [D"
    assert isinstance(fed(ChatDecoder(), stray + odd[:cut], odd[cut:] + b"?]\n\n")[1], ZaiError)


def test_a_document_is_known_by_its_first_character():
    decoder = ChatDecoder()
    decoder.feed(b"\xef\xbb\xbf {")
    assert decoder.state is DecoderState.DOCUMENT
    decoder = ChatDecoder()
    decoder.feed(b'{"half')
    assert text_of(decoder.feed(b"\n\n" + body([*texts("A"), last()]))) == "A"
    assert decoder.end_of_input() == "completed"


def test_chunks_that_nobody_marked_as_data_are_read():
    lines = [json.dumps(each) for each in [*texts("A", "B"), last()]]
    items, outcome = fed(ChatDecoder(), "\n".join(lines).encode(), b"")
    assert (text_of(items), outcome) == ("AB", "completed")


def test_behind_the_end_of_such_an_answer_none_begins_anew():
    late = chunk({"content": "?"}, id=SECOND_ID, created=2)
    lines = [json.dumps(each) for each in [*texts("A", "B"), last(), late]]
    outcome = fed(ChatDecoder(), "\n".join(lines).encode(), b"")[1]
    assert outcome == "completed"


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (b'{"error": {"code": "1113", "message": "m"}}', BillingError),
        (b'{"code": 500, "msg": "404 NOT_FOUND", "success": false}', APIError),
        (b'{"hello": 1}', ResponseError),
        (b"[1, 2]", ResponseError),
        (b"<html>no</html>", ResponseError),
        (b"<p>" * 5000, ResponseError),
        (b'{"choices": [', ResponseError),
        (b"upstream timed out", ResponseError),
        (json.dumps(ANSWER | {"choices": []}).encode(), EmptyAnswerError),
    ],
)
def test_what_is_no_answer_is_an_error(wire, error):
    raised = fed(ChatDecoder(), wire, b"")[1]
    assert isinstance(raised, error)
    assert "<" not in str(raised)


def test_an_error_is_raised_although_its_connection_stays_open():
    with pytest.raises(RateLimitError):
        ChatDecoder().feed(b'{"error": {"code": "1302", "message": "busy"}}')


# Unknown fields.


def test_unknown_fields_of_chunks_are_those_of_the_answer():
    details = [{"index": 0, "type": "text", "text": piece} for piece in ("He", "llo")]
    chunks = [chunk({"content": "A", "reasoning_details": [each]}) for each in details]
    chunks[0]["provider"] = "p"
    chunks[0]["choices"][0]["logprobs"] = {"n": 1}
    end = last()
    decoder = ChatDecoder()
    fed(decoder, body([*chunks, end]))
    answer = decoder.snapshot
    assert answer.text == "AA"
    assert answer.extra == {"provider": "p"}
    assert answer.choices[0].extra == {"logprobs": {"n": 1}}
    assert answer.message.extra["reasoning_details"][0]["text"] == "Hello"


def test_unknown_fields_of_tool_calls_stay_with_them():
    call = tool("{}", id="a", name="f")
    inner = call["choices"][0]["delta"]["tool_calls"][0]
    inner["extra_content"] = {"signature": "s"}
    inner["function"]["strict"] = True
    foreign = tool(None, index=1, id="b")
    foreign["choices"][0]["delta"]["tool_calls"][0] |= {"type": "mcp", "mcp": {"name": "x"}}
    second = chunk({"content": "other"})
    second["choices"][0] |= {"index": 1, "unknown": 1}
    decoder = ChatDecoder()
    second["choices"] += chunk({"more": "of the first"})["choices"]
    fed(decoder, body([call, foreign, second, last("tool_calls")]))
    assert decoder.snapshot.message.extra == {"more": "of the first"}
    one, two = decoder.snapshot.tool_calls
    assert (one.extra, one.function.extra) == (
        {"extra_content": {"signature": "s"}},
        {"strict": True},
    )
    assert (two.type, two.extra) == ("mcp", {"mcp": {"name": "x"}})
    assert decoder.snapshot.choices[0].extra == {}


# The others.


def test_the_other_decoders_need_no_client():
    heard = [{"type": "transcript.text.delta", "delta": "Hi"}, {"type": "transcript.text.done"}]
    decoder = TranscriptionDecoder()
    items, outcome = fed(decoder, b"".join(map(frame, heard)), DONE)
    assert (len(items), outcome, decoder.snapshot.text) == (2, "completed", "Hi")
    assert decoder.usage is None

    wrong = [heard[0], {"type": "transcript.text.done", "text": "Ho"}]
    assert fed(TranscriptionDecoder(), *map(frame, wrong))[1] == "completed"
    error = fed(TranscriptionDecoder(joins_pieces=True), *map(frame, wrong))[1]
    assert isinstance(error, StreamMalformedError)

    spoken = {"choices": [{"delta": {"content": "00ff"}, "finish_reason": "stop"}]}
    decoder = SpeechDecoder("hex")
    assert fed(decoder, frame(spoken)) == ([b"\x00\xff"], "completed")
    assert (decoder.snapshot, decoder.sample_rate) == (None, 24_000)
    whole = json.dumps(spoken).encode()
    assert fed(SpeechDecoder("hex"), whole, b"") == ([b"\x00\xff"], "completed")

    said = {"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}
    decoder = AgentDecoder()
    assert fed(decoder, frame(said), DONE)[1] == "completed"
    assert (decoder.snapshot.text, decoder.pages) == ("Hi", [])


@pytest.mark.parametrize("kind", [ChatDecoder, TranscriptionDecoder, SpeechDecoder, AgentDecoder])
def test_every_decoder_ends_in_one_way_only(kind):
    assert isinstance(fed(kind(), DONE)[1], EmptyAnswerError)
    assert isinstance(fed(kind(), b"data: {half\n\n", DONE)[1], StreamMalformedError)
    assert isinstance(fed(kind(), frame({"error": {"code": "1113"}}))[1], BillingError)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (TranscriptionDecoder, {"object": "transcription.chunk", "choices": [{"delta": {}}]}),
        (TranscriptionDecoder, {"status": "ok"}),
        (SpeechDecoder, {"text": "hello"}),
        (AgentDecoder, {"type": "transcript.text.delta", "delta": "hello"}),
    ],
)
def test_events_of_another_operation_are_no_answer(kind, event):
    for end in (DONE, b""):
        error = fed(kind(), frame(event), end)[1]
        assert isinstance(error, ResponseError)
        assert json.dumps(event, separators=(",", ":")) in error.body


def test_of_events_that_say_nothing_a_few_kilobytes_are_kept_until_one_says_something():
    silent = {"choices": [], "note": "x" * 1000}
    decoder = ChatDecoder()
    for _ in range(20):
        decoder.feed(frame(silent))
    kept = decoder.generation.silent
    assert 2000 < len(kept) <= 4096
    said = {"choices": [{"delta": {"content": "Hi"}}]}
    decoder.feed(frame(said) + frame({"choices": []}))
    assert decoder.generation.silent == kept


def test_speech_and_agents_that_say_nothing_are_empty():
    silent = {"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}
    assert isinstance(fed(SpeechDecoder(), frame(silent), DONE)[1], EmptyAnswerError)
    idle = {"id": "1", "agent_id": "a", "status": "success", "choices": [{"finish_reason": "stop"}]}
    assert isinstance(fed(AgentDecoder(), frame(idle), DONE)[1], EmptyAnswerError)
    silence = {"type": "transcript.text.done", "text": ""}
    assert fed(TranscriptionDecoder(), frame(silence), DONE)[1] == "completed"


def test_an_error_in_place_of_a_stream_has_the_status_of_the_answer():
    """That of a success, with which it came."""
    error = fed(ChatDecoder(), b'{"error": {"code": "1113", "message": "no money"}}')[1]
    assert isinstance(error, BillingError)
    assert error.status_code == 200


USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize("choices", [[], None])
@pytest.mark.parametrize("damaged", [b'{"id":"x","usage":{"pro', frame(texts("lo")[0])[6:-9]])
def test_nothing_that_is_damaged_after_the_finish_reason_is_missed(damaged, choices):
    """Whether the usage comes beside an empty choice, as some gateways send it, or without one."""
    usage = chunk({}, usage=USAGE)
    usage["choices"] = usage["choices"] if choices is None else choices
    decoder = ChatDecoder()
    for event in (*map(frame, [*texts("A", "B"), last()]), b"data: " + damaged + b"\n\n"):
        decoder.feed(event)
    decoder.feed(frame(usage) + DONE)
    assert decoder.end_of_input() == "completed"
    assert (decoder.snapshot.text, decoder.usage.total_tokens) == ("AB", 3)


@pytest.mark.parametrize("brackets", ["[", "{", "[{"])
def test_arguments_that_nobody_could_read_are_followed_no_further(brackets):
    """Each bracket that is open would be kept, and all of them looked through for each more."""
    assembler, deep = ToolCallAssembler(), brackets * 50_000
    for piece in (deep, "]", deep):
        function = ChunkFunction(name="f", arguments=piece)
        assembler.add([ChunkToolCall(index=0, id="a", function=function)])
    [call] = assembler.calls
    assert call.arguments == f"{deep}]{deep}"
    assert not call.is_whole()
    assert len(call.nesting._open) == 10_001


def test_there_may_only_be_so_many_calls():
    assembler = ToolCallAssembler()
    for index in range(10_000):
        assembler.add([ChunkToolCall(index=index, id=f"call_{index}")])
    with pytest.raises(LimitError, match="more than 10000 tool calls"):
        assembler.add([ChunkToolCall(index=10_000, id="call")])


# The cost of whatever is sent: counted, and never more than a share of the bytes.


def fragments(count, **own):
    calls = [
        {"index": 0, "id": f"c{number}", "function": {"name": "f", "arguments": "{}"}} | own
        for number in range(count)
    ]
    return b"".join(frame(chunk({"tool_calls": [call]})) for call in calls)


@pytest.mark.parametrize(
    "wire",
    [
        fragments,
        lambda count: b'data: {"id":"x\n\n' * count,
        lambda count: b"data: " + b"{}" * count + b"\n\n",
        lambda count: b"{}" * count,
        lambda count: b"data: " + b"data: {" * count + b"\n\n",
        lambda count: b"lost\n\n" * count + GOOD,
    ],
    ids=["forks", "damage", "glued", "documents", "seams", "stray"],
)
def test_the_cost_of_anything_grows_with_its_length(wire):
    counts = []
    for size in (300, 1200):
        data, calls = wire(size), 0

        def count(*_):
            nonlocal calls
            calls += 1

        decoder = ChatDecoder()
        sys.setprofile(count)
        fed(decoder, data, b"")
        sys.setprofile(None)
        counts.append(calls)
    assert counts[1] < 4.5 * counts[0] + 100


def test_of_many_lines_that_are_no_events_the_beginning_is_kept():
    line = b"x" * 40_000 + b"\n"
    error = fed(ChatDecoder(), line, b"y" * 40_000 + b"\n", line)[1]
    assert isinstance(error, ResponseError)
    assert "y" not in error.body


@pytest.mark.parametrize("value", ["NaN,", "[],", '"\\ud83d",'])
@pytest.mark.parametrize(
    "decoder", [ChatDecoder, AgentDecoder, SpeechDecoder, TranscriptionDecoder]
)
def test_an_event_of_odd_types_has_no_more_values_than_an_answer_could(decoder, value):
    """Reading them one by one would stop the loop for seconds."""
    many = f'data: {{"id":[{value * (2**17 + 1)}1]}}\n\n'.encode()
    reading = decoder()

    def read():
        with pytest.raises((StreamMalformedError, ResponseError)):
            reading.feed(many)

    assert calls(read) < 5_000


@pytest.mark.parametrize("begin", [b"", b"{", b"\n", b"\xef\xbb\xbf"], ids=repr)
def test_a_body_that_is_no_stream_is_read_in_linear_time(begin):
    module, counter = counted(Decoder.__module__)

    class Sniffing(module.Decoder):
        snapshot = None
        _accept = _judge = lambda _: None

    counts = []
    for number in (100, 800):
        decoder = Sniffing(module.EventDecoder(msgspec.json.Decoder()), module.DecoderContext())
        before = counter.work
        for piece in (begin, *[b" " * 100] * number):
            assert decoder.feed(piece or b" ") == []
        counts.append(counter.work - before)
    assert counts[1] < 10 * counts[0]


@pytest.mark.parametrize("decoder", [SpeechDecoder, TranscriptionDecoder])
def test_neither_is_sound_or_text_read_again_and_again(decoder):
    module, counter = counted(decoder.__module__)
    counts = []
    for number in (100, 800):
        context = DecoderContext(headers={"Content-Type": "text/plain"})
        reading = getattr(module, decoder.__name__)(context=context)
        before = counter.work
        for _ in range(number):
            reading.feed(b"word " * 20)
        counts.append(counter.work - before)
    assert counts[1] < 10 * counts[0]


def test_blanks_in_place_of_an_answer_come_to_an_end():
    decoder = ChatDecoder(context=DecoderContext(max_event_bytes=1_000))
    decoder.feed(b" " * 1_000)
    with pytest.raises(EventTooLargeError):
        decoder.feed(b" ")


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"\n\n\n"], ids=repr)
def test_blank_lines_before_a_document_are_none_of_it(line):
    """However many: each is forgotten, and counts neither for the size nor as an event."""
    decoder = SpeechDecoder(context=DecoderContext(max_event_bytes=200))
    for _ in range(500):
        assert decoder.feed(line) == []
    document = {"choices": [{"finish_reason": "stop", "delta": {"content": "AAEC"}}]}
    assert decoder.feed(line + json.dumps(document).encode()) == []
    assert decoder.feed(b"") == [b"\0\1\2"]
    assert decoder.end_of_input() == "completed"


# A whole message behind its pieces.


def message(finish="stop", **fields):
    whole = chunk(finish=finish)
    choice = whole["choices"][0]
    del choice["delta"]
    choice["message"] = {"role": "assistant"} | fields
    return whole


def call(arguments, *, id="a", name="f", **fields):
    return {"function": {"name": name, "arguments": arguments}, **fields} | (
        {"id": id} if id else {}
    )


SAID = [chunk({"reasoning_content": "hm"}), *texts("he", "llo")]


@pytest.mark.parametrize(
    ("whole", "text"),
    [
        ({"content": "hello"}, "hello"),
        ({"content": "hello, world"}, "hello, world"),
        ({"content": " hello\n"}, "hello"),
        ({"content": "hello", "reasoning_content": "hm"}, "hello"),
        ({"content": ""}, "hello"),
        ({}, "hello"),
    ],
    ids=str,
)
def test_a_whole_message_adds_what_goes_beyond_its_pieces(whole, text):
    for end in ([message(**whole)], [last(), message(**whole)]):
        for wire in (body([*SAID, *end]), body([*SAID, *end, message(**whole)], done=False)):
            for size in (len(wire), 50):
                decoder = ChatDecoder()
                items, outcome = fed(decoder, *cuts(wire, *range(size, len(wire), size)))
                assert (text_of(items), outcome) == (text, "completed")
                assert (decoder.snapshot.text, decoder.snapshot.thinking) == (text, "hm")


@pytest.mark.parametrize("whole", [{"content": "bye"}, {"reasoning_content": "no"}], ids=str)
def test_a_whole_message_that_contradicts_its_pieces_is_malformed(whole):
    decoder = ChatDecoder()
    items, error = fed(decoder, body([*SAID, message(**whole)]))
    assert (text_of(items), type(error), str(error)) == ("hello", StreamMalformedError, MALFORMED)
    assert error.partial.text == "hello"


def test_a_whole_answer_may_be_said_twice():
    wire = b"\n".join(
        json.dumps(message(content="Hi", tool_calls=[call("{}")])).encode() for _ in "12"
    )
    decoder = ChatDecoder()
    assert text_of(fed(decoder, wire, b"")[0]) == "Hi"
    assert len(decoder.snapshot.tool_calls) == 1


def test_pieces_may_come_as_messages_and_say_the_same_again():
    pieces = [message(None, content=""), *(message(None, content="ha") for _ in range(3))]
    decoder = ChatDecoder()
    items, outcome = fed(decoder, body([*pieces, message()]))
    assert (text_of(items), decoder.snapshot.text, outcome) == ("hahaha", "hahaha", "completed")
    # As deltas beside them, or of other choices, they are nobody's whole.
    beside = message(None, content="ha")
    beside["choices"][0] |= {"delta": {"content": "!"}, "index": 0}
    other = message(None, content="ha")
    other["choices"][0]["index"] = 1
    assert text_of(fed(ChatDecoder(), body([*texts("ha"), beside, other, last()]))[0]) == "ha!"


def test_a_whole_message_of_another_generation_is_a_restart():
    whole = message(content="bye") | {"id": SECOND_ID, "created": 9}
    decoder = ChatDecoder()
    assert isinstance(fed(decoder, body([*SAID, whole]))[1], StreamRestartedError)
    behind = ChatDecoder()
    items, outcome = fed(behind, body([*SAID, last(), whole]))
    assert (text_of(items), outcome) == ("hello", "completed")


CALLED = [tool('{"x"', id="a", name="f"), tool(":1}"), tool("", index=1, id="b", name="g")]


@pytest.mark.parametrize(
    ("calls", "last_arguments"),
    [
        ([call('{"x": 1}'), call("", id="b", name="g")], ""),
        ([call('{"x":1}'), call('{"y":2}', id="b", name="g")], '{"y":2}'),
        ([call('{"x":1}', id=None)], ""),
        ([call({"x": 1})], ""),
    ],
    ids=str,
)
def test_a_whole_message_repeats_no_calls(calls, last_arguments):
    decoder = ChatDecoder()
    assert fed(decoder, body([*CALLED, message("tool_calls", tool_calls=calls)]))[1] == "tool_calls"
    found = [(each.id, each.name, each.arguments) for each in decoder.snapshot.tool_calls]
    assert found == [("a", "f", '{"x":1}'), ("b", "g", last_arguments)]


def test_a_whole_message_may_bring_the_calls():
    decoder = ChatDecoder()
    whole = message("tool_calls", tool_calls=[call("{}"), call("{}", id="b")])
    assert fed(decoder, body([*SAID, whole]))[1] == "tool_calls"
    assert [each.id for each in decoder.snapshot.tool_calls] == ["a", "b"]


@pytest.mark.parametrize(
    "odd",
    [
        call('{"x":2}'),
        call('{"x":1}', name="g"),
        call('{"x":' + "1" * 100 + "}"),
        call("{x", name="f"),
    ],
    ids=str,
)
def test_a_whole_message_with_other_calls_is_malformed(odd):
    error = fed(ChatDecoder(), body([*CALLED, message("tool_calls", tool_calls=[odd])]))[1]
    assert (type(error), str(error)) == (StreamMalformedError, MALFORMED)
