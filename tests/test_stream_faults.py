"""Streams that break: cut anywhere, damaged, or with an error inside."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat_wire import (
    DONE,
    FIRST,
    GOOD,
    GOOD_TEXT,
    SECOND,
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
from tests.effort import sample, times
from zai_async import (
    APIError,
    BillingError,
    ConnectionLostError,
    EmptyAnswerError,
    EventTooLargeError,
    LimitError,
    QuotaError,
    RateLimitError,
    Reset,
    ResponseError,
    RetryPolicy,
    ServerError,
    StreamMalformedError,
    StreamRestartedError,
    StreamTruncatedError,
    TextDelta,
    ZaiError,
)
from zai_async.testing import FakeReply

FINISHED = GOOD.index(b'"finish_reason"')
END_OF_FINISH = GOOD.index(b"\n\n", FINISHED)


async def outcome_of(reply, **options):
    """Read a stream as text; return the text, the outcome and the error, if there was one."""
    async with client(reply) as zai, stream(zai, **options) as answer:
        pieces = []
        try:
            async for piece in answer.text:
                pieces.append(piece)  # noqa: PERF401 - kept when an error follows
        except ZaiError as error:
            return "".join(pieces), answer.outcome, error
        return "".join(pieces), answer.outcome, None


# Cuts.


@pytest.mark.parametrize("ending", [(), (ConnectionLostError("reset"),)])
async def test_complete_exactly_when_the_finish_chunk_is_whole(ending):
    around_the_end = range(END_OF_FINISH - 2, END_OF_FINISH + 4)
    for end in [*sample(range(len(GOOD)), 60), *around_the_end]:
        text, outcome, error = await outcome_of(FakeReply.stream(GOOD[:end], *ending))
        # Without the blank line the last event counts only if the input ended in order.
        complete = end >= END_OF_FINISH + (2 if ending else 0)
        assert (outcome == "completed") is complete, GOOD[:end]
        assert GOOD_TEXT.startswith(text)
        if not complete:
            assert isinstance(error, StreamTruncatedError)
            assert error.partial.text == text
            assert error.emitted is bool(error.partial.text or error.partial.thinking)


@given(st.data())
async def test_no_cut_of_the_network_changes_the_answer(data):
    positions = data.draw(st.lists(st.integers(0, len(GOOD)), max_size=8))
    text, outcome, error = await outcome_of(FakeReply.stream(*cuts(GOOD, *positions)))
    # An empty piece is the end of the input to a reader, so it cannot be told from a short body.
    if len(set(positions) - {0, len(GOOD)}) == len(positions):
        assert (text, outcome, error) == (GOOD_TEXT, "completed", None)


async def test_the_answer_ends_at_the_end_mark():
    after = frame(chunk({"content": "never"}))
    text, outcome, _ = await outcome_of(GOOD + after + GOOD)
    assert (text, outcome) == (GOOD_TEXT, "completed")


@pytest.mark.parametrize("size", [100, 10_000])
async def test_an_event_may_only_be_so_large(size):
    big = frame(chunk({"content": "x" * size}))
    async with client(big, max_event_bytes=1000) as zai, stream(zai) as answer:
        if size < 1000:
            assert (await anext(answer.text)) == "x" * size
        else:
            with pytest.raises(EventTooLargeError) as caught:
                await anext(answer.text)
            assert caught.value.limit == 1000


@pytest.mark.parametrize("piece", [1, 1000, 10**6])
async def test_an_answer_may_only_be_so_large(piece):
    """However small its events are, and however the network cuts them."""
    endless = b"".join(map(frame, texts("x" * 40) * 50))
    steps = tuple(endless[at : at + piece] for at in range(0, len(endless), piece))
    whole = FakeReply(steps=steps)
    async with client(whole, max_response_bytes=5000) as zai, stream(zai) as answer:
        with pytest.raises(LimitError, match="the answer is larger than 5000 bytes") as caught:
            await answer.completion()
    assert caught.value.limit == 5000
    # What was read before is there.
    assert len(caught.value.partial.text) == (0 if piece == 10**6 else 920)


async def test_comments_are_a_part_of_its_size():
    pings = FakeReply(steps=(b": ping\n\n" * 100,) * 50)
    async with client(pings, max_response_bytes=5000) as zai:
        with pytest.raises(LimitError):
            await stream(zai).completion()


# Errors inside streams.

ENVELOPES = [
    {"error": {"code": "1305", "message": "overloaded"}},
    {"error": {"code": 1305, "message": "overloaded"}, "request_id": "r-1"},
    {"type": "error", "error": {"type": "overloaded_error", "message": "[1305][busy][r-1]"}},
    {"code": 1305, "msg": "overloaded", "success": False},
    {"code": "1305", "message": "overloaded"},
    {"id": "r-1", "agent_id": "a", "status": "failed", "error": {"code": "1305", "message": "x"}},
]
BEFORE = [[], thoughts("hm"), texts("A"), [*thoughts("hm"), tool('{"a"', id="c", name="f")]]


def forms(envelope):
    event = frame(envelope)
    return [event, b"event: error\n" + event, event[6:], event.replace(b": ", b":", 1)]


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("before", BEFORE)
async def test_an_error_in_a_stream_is_the_same_class_as_over_http(envelope, before):
    for form in forms(envelope):
        for after in (b"", DONE):
            _, outcome, error = await outcome_of(body(before, done=False) + form + after)
            assert type(error) is RateLimitError
            assert (error.kind, error.code, error.status_code) == ("overload", "1305", 200)
            assert (error.in_stream, error.emitted, outcome) == (True, bool(before), "error")
            assert error.partial.thinking == "".join(["hm"] * (thoughts("hm")[0] in before))
            assert error.request_id in {"r-1", "log-1"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "1113", "message": "no balance"}, BillingError),
        ({"code": "1308", "message": "reset at 2100-01-01 00:00:00"}, QuotaError),
        ({"code": "500", "message": "internal"}, ServerError),
        ({"message": "something"}, ServerError),
        ("upstream timed out", ServerError),
    ],
)
async def test_errors_in_streams_are_classified(error, kind):
    _, _, raised = await outcome_of(body(texts("A"), done=False) + frame({"error": error}) + DONE)
    assert type(raised) is kind
    assert raised.partial.text == "A"


async def test_an_error_in_other_words_is_raised_in_those():
    before = body(texts("A"), done=False)
    odd = [frame({"type": "error", "message": "broken"}), frame({"detail": "broken"})]
    odd += [
        b"event: error\n" + each for each in (b"\n", b"data: broken\n\n", frame({"a": "broken"}))
    ]
    for event in odd:
        text, _, error = await outcome_of(before + event + DONE)
        assert (text, type(error)) == ("A", ServerError)
        assert ("broken" if b"broken" in event else "reports an error") in str(error)
    for end in (b"", DONE):
        text, _, error = await outcome_of(before + b"<html>\n502\n</html>\n\n" + end)
        assert (text, type(error)) == ("A", StreamMalformedError)
        assert "a page" in str(error)
    # Behind the end of an answer, nothing but a plain error is one.
    whole = body([*texts("A"), last()], done=False)
    assert await outcome_of(whole + frame({"message": "bye"}) + DONE) == ("A", "completed", None)


async def test_an_error_that_is_null_is_none():
    assert (await outcome_of(body([*texts("A"), last() | {"error": None}])))[0] == "A"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (FakeReply.json({"error": {"code": "1305", "message": "busy"}}), RateLimitError),
        (
            FakeReply.json({"id": "x", "choices": [{"message": {"content": "A"}}]}),
            StreamTruncatedError,
        ),
        (FakeReply.stream(b"<html>no</html>"), ResponseError),
        (FakeReply.stream(b'{"id":"x","choices":[]}'), ResponseError),
        (FakeReply.stream(b'{"code":500,"msg":"404 NOT_FOUND","success":false}'), APIError),
        (FakeReply.stream(b"upstream request timeout"), ResponseError),
        (FakeReply.stream(b""), StreamTruncatedError),
        (FakeReply(headers={"Content-Type": "text/html"}, steps=(b"<p>no</p>",)), ResponseError),
        (FakeReply(status=302, headers={"Location": "https://x.example"}), ResponseError),
        (FakeReply(status=503, headers={"Content-Type": "text/html"}), ServerError),
    ],
)
async def test_what_is_no_stream_at_all(reply, error):
    async with client(reply) as zai:
        answer = stream(zai)
        with pytest.raises(error) as caught:
            await answer.completion()
        assert type(caught.value) is error or error is APIError
        assert "<" not in str(caught.value)
        assert answer.outcome in {"error", "truncated"}


async def test_a_stream_without_a_content_type_is_read():
    reply = FakeReply(steps=(GOOD,))
    assert (await outcome_of(reply))[0] == GOOD_TEXT


# Damage.


@pytest.mark.parametrize("payload", [b'"oops"', b"[1]", b"7", b"true"])
async def test_json_that_is_no_chunk_is_malformed(payload):
    wire = body(texts("A"), done=False) + b"data: " + payload + b"\n\n" + body([last()])
    text, outcome, error = await outcome_of(wire)
    assert isinstance(error, StreamMalformedError)
    assert (text, outcome, error.partial.text) == ("A", "error", "A")
    assert error.body == payload.decode()


@pytest.mark.parametrize("payload", [b"upstream timed out", b'{"id":"x","cho', b'{"a":1}.'])
async def test_a_frame_that_cannot_be_read_is_not_skipped(payload):
    damaged = b"data: " + payload + b"\n\n"
    wire = body(texts("A"), done=False) + damaged
    for rest in (body([last()]), DONE):
        _, _, error = await outcome_of(wire + rest)
        assert isinstance(error, StreamMalformedError)
    _, _, error = await outcome_of(wire)
    prose = payload.startswith(b"up")
    assert isinstance(error, StreamMalformedError if prose else StreamTruncatedError)
    assert prose == ("upstream timed out" in str(error))
    # After the finish reason nothing can be missing.
    text, outcome, _ = await outcome_of(body([*texts("A"), last()], done=False) + damaged + DONE)
    assert (text, outcome) == ("A", "completed")


@pytest.mark.parametrize("glue", [b"data: ", b"data:", b"", b" "])
async def test_whole_frames_in_one_line_lose_nothing(glue):
    frames = [frame(item)[6:-2] for item in [*texts("A", "B"), last()]]
    for end in ([b"[DONE]"], []):
        wire = b"data: " + glue.join([*frames, *end]) + b"\n\n"
        assert (await outcome_of(wire))[:2] == ("AB", "completed")


DECOYS = [
    'write data: {"a":1} and data: [DONE]',
    '\n\ndata: {"choices":[{"index":0,"delta":{"content":"no"}}]}\n\n',
    '"choices"}{"id":"x"}data: [DONE]',
    "\u2028\u2029\x85\x00",
]


@pytest.mark.parametrize("decoy", DECOYS)
async def test_legal_text_is_never_taken_apart(decoy):
    for position in (0, 1):
        wire = body([*texts(*[["A", decoy], [decoy, "A"]][position]), last()])
        assert (await outcome_of(wire))[0] == ["A" + decoy, decoy + "A"][position]


# Restarted generations: the grammar of the corruption.

A = [*texts("one ", "two ", "three", id=FIRST), last(id=FIRST)]
B = [*texts("uno ", "dos ", "tres", id=SECOND), last(id=SECOND)]
A_TEXT, B_TEXT = "one two three", "uno dos tres"
PREFIXES = {
    "none": [],
    "role": [chunk({}, id=FIRST)],
    "reasoning": thoughts("hm", id=FIRST),
    "text": texts("one ", id=FIRST),
    "tool": [tool('{"a":', id="c", name="f")],
}


def seam(position, *, glue=b"data: ", newline=False):
    """One frame of A, cut, with the first frame of B in the same line."""
    cut = frame(A[0])[:-2][:position] + (b"\n\n" if newline else b"")
    return cut + (b"data: " if newline else glue) + frame(B[0])[6:]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("newline", [False, True])
async def test_two_generations_are_never_joined(prefix, newline):
    before = body(PREFIXES[prefix], done=False)
    shown = prefix in {"reasoning", "text", "tool"}
    for position in sample(range(7, len(frame(A[0])) - 2), 20):
        wire = before + seam(position, newline=newline) + body(B[1:])
        text, outcome, error = await outcome_of(wire)
        if shown:
            assert isinstance(error, StreamRestartedError)
            assert (error.old_id, error.new_id) == (FIRST, SECOND)
            assert (outcome, text) == ("restarted", error.partial.text)
            assert A_TEXT.startswith(text)
        elif position <= len('data: {"id":"20261120101'):
            # Cut before the ids differ, it may as well be a frame of the generation that follows.
            assert (text, type(error)) == ("", StreamMalformedError)
        else:
            assert (text, outcome) == (B_TEXT, "completed")


@pytest.mark.parametrize("prefix", ["reasoning", "text", "tool"])
async def test_a_restart_can_be_followed(prefix):
    wire = body(PREFIXES[prefix], done=False) + seam(40) + body(B[1:])
    async with client(wire) as zai, stream(zai, on_restart="reset") as answer:
        events = [event async for event in answer.events]
        assert answer.recovered == 1
    position = events.index(Reset(FIRST, SECOND))
    after = events[position:]
    assert "".join(e.text for e in after if isinstance(e, TextDelta)) == B_TEXT
    assert events[-1].completion.text == B_TEXT
    assert events[-1].completion.thinking == ""
    assert events[-1].completion.tool_calls == []
    async with client(wire) as zai, stream(zai, on_restart="reset") as answer:
        assert (await answer.completion()).text == B_TEXT
    # Without a place for the event, text of two generations would be joined by the caller.
    _, _, error = await outcome_of(wire, on_restart="reset")
    assert isinstance(error, StreamRestartedError)


async def test_variants_of_the_seam():
    before = body(texts("one ", id=FIRST), done=False)
    third = frame(chunk({"content": "tri"}, id="third"))[6:]
    double = frame(A[1])[:40] + b"data: " + frame(B[0])[6:60] + b"data:" + third
    rest = body([last(id="third")])
    for wire in (
        before + seam(40, glue=b"data:") + body(B[1:]),
        (before + seam(40) + body(B[1:])).replace(b"\n", b"\r\n"),
        before + double + rest,
    ):
        _, _, error = await outcome_of(wire)
        assert isinstance(error, StreamRestartedError)
    assert (await outcome_of(double + rest))[:2] == ("tri", "completed")


async def test_a_cut_frame_without_a_successor_is_a_truncation():
    for position in sample(range(7, len(frame(A[1])) - 2), 40):
        wire = body(A[:1], done=False) + frame(A[1])[:position]
        text, outcome, _ = await outcome_of(wire)
        assert (text, outcome) == ("one ", "truncated")


async def test_another_id_on_whole_frames_is_no_restart():
    wire = body([*texts("a", id="1"), *texts("b", id="2"), *texts("c", id="3"), last(id="4")])
    assert (await outcome_of(wire))[:2] == ("abc", "completed")


async def test_random_damage_never_joins_generations_and_never_escapes():
    rng = random.Random(7)
    whole = body(A, done=False)
    for _ in range(times(1000, 200)):
        end = rng.randrange(len(whole))
        if end - whole.rfind(b"\n\n", 0, end) < len("\n\ndata: {") + 1:
            continue  # no damage: nothing tells a restart from a relay with an id for each chunk
        wire = whole[:end] + body(B)
        text, outcome, error = await outcome_of(FakeReply.stream(*cuts(wire, rng.randrange(end))))
        assert error is None or isinstance(error, ZaiError)
        assert A_TEXT.startswith(text) or (text, outcome) == (B_TEXT, "completed")


# Repeating.


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("how", ["cut", "eof", "error"])
async def test_a_request_is_repeated_only_before_anything_was_handed_out(count, how):
    pieces = texts("one ", "two ", "three")[:count]
    ending = {
        "cut": [ConnectionLostError("reset")],
        "eof": [],
        "error": [frame({"error": {"code": "500", "message": "internal"}})],
    }[how]
    broken = FakeReply.stream(*([body(pieces, done=False)] * bool(pieces)), *ending)
    policy = RetryPolicy(budget=1e-9 if count else 60)
    zai = client(broken, body(A), retry=policy, clock=Instant())
    async with zai, stream(zai) as answer:
        if count:
            with pytest.raises(ZaiError) as caught:
                await answer.completion()
            assert caught.value.partial.text == "".join(["one ", "two ", "three"][:count])
        else:
            assert (await answer.completion()).text == A_TEXT
        assert len(answer.attempts) == (1 if count else 2)
        assert answer.attempts[0].error is not None


class Instant:
    """A clock on which waiting takes no time."""

    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 1_790_000_000.0

    def random(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        pass


async def test_an_empty_answer_is_never_repeated():
    async with client(DONE, body(A), retry=RetryPolicy(), clock=Instant()) as zai:
        with pytest.raises(EmptyAnswerError) as caught:
            await stream(zai).completion()
        assert len(caught.value.attempts) == 1


async def test_a_repetition_that_is_refused_ends_the_stream():
    script = [FakeReply.stream(), FakeReply.json({"error": {"code": "1113"}}, status=429)]
    zai = client(*script, retry=RetryPolicy(), clock=Instant())
    async with zai, stream(zai) as answer:
        with pytest.raises(BillingError) as caught:
            await answer.completion()
        assert [attempt.code for attempt in caught.value.attempts] == [None, "1113"]
        assert caught.value.partial.text == ""


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
async def test_a_number_that_is_none_does_not_make_text_vanish(number):
    odd = frame(chunk({"content": "B"}, x=0)).replace(b'"x":0', b'"x":' + number)
    text, _, error = await outcome_of(body(texts("A"), done=False) + odd + body([last()]))
    assert text in {"A", "AB"}
    assert (text == "AB") == (error is None)


async def test_what_is_missing_at_the_end_may_be_allowed():
    wire = body(texts("A"), done=False)
    async with client(wire) as zai, stream(zai, allow={"truncated"}) as answer:
        assert [piece async for piece in answer.text] == ["A"]
        assert answer.outcome == "truncated"


@pytest.mark.parametrize("seam", range(1, 8))
@pytest.mark.parametrize("cut", [(), (1,), "everywhere"])
async def test_a_second_generation_is_noticed_wherever_the_first_was_cut(seam, cut):
    old, new = texts("A1", "A2"), [*texts("B1", "B2", id=SECOND), last(id=SECOND)]
    wire = body(old, done=False) + b"data: {"[:seam] + body(new)
    places = range(1, len(wire)) if cut == "everywhere" else cut
    text, _, error = await outcome_of(FakeReply.stream(*cuts(wire, *places)))
    assert (text, type(error)) == ("A1A2", StreamRestartedError)


@pytest.mark.parametrize("seam", range(1, 8))
async def test_what_was_cut_before_it_said_whose_it_is_may_be_missing(seam):
    wire = b"data: {"[:seam] + body([*texts("B1", "B2", id=SECOND), last(id=SECOND)])
    text, outcome, error = await outcome_of(wire)
    assert (text, outcome) in [("", "error"), ("B1", "error")]
    assert isinstance(error, StreamMalformedError)


async def test_relays_that_always_write_the_field_name_twice_are_read():
    chunks = [*texts("one ", "two ", "three"), last()]
    twice = body(chunks, done=False).replace(b"data: ", b"data: data: ")
    for end in (DONE, b"data: " + DONE):
        assert (await outcome_of(twice + end))[:2] == ("one two three", "completed")


async def test_of_an_endless_page_the_beginning_is_shown():
    page = [b"<p>%d</p>\n\n" % number for number in range(10_000)]
    _, _, error = await outcome_of(FakeReply.stream(*page))
    assert isinstance(error, ResponseError)
    assert "<p>0</p>" in error.body
    assert "<p>9999</p>" not in error.body


async def test_an_error_in_the_read_of_the_end_mark_is_raised():
    wire = body(texts("A")) + b'{"error":{"code":"1302","message":"no"}}\n\n'
    text, _, error = await outcome_of(wire)
    assert (text, type(error)) == ("A", RateLimitError)


@pytest.mark.parametrize("damaged", [b'data: {"id":"x","usage":{"pro\n\n', b"data: oops\n\n", b""])
@pytest.mark.parametrize("end", [(), (ConnectionLostError("reset"),)], ids=["end", "reset"])
async def test_whatever_follows_the_finish_reason_leaves_the_answer_whole(damaged, end):
    """However the connection ends: a reset behind damage is no more than an end behind it."""
    wire = body([*texts("A"), last()], done=False)
    reply = FakeReply.stream(wire + damaged, *end)
    assert await outcome_of(reply) == ("A", "completed", None)
