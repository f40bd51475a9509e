"""Chat streams that are damaged anywhere, generated from the grammar of the corruption.

A generation is cut inside one of its frames. Then the same generation goes on, another one begins,
or the stream ends; before or after the finish reason, in the same line or in the next one. Whatever
happens, the reader has a part of one generation and an error, or the whole of one.
"""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.chat_wire import (
    DONE,
    FIRST,
    SECOND,
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
    Finished,
    IncompleteError,
    Reset,
    StreamMalformedError,
    StreamRestartedError,
    StreamTruncatedError,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallIncompleteError,
    WebSearch,
    ZaiError,
)
from zai_async.testing import FakeReply

ARGUMENTS = '{"path": "a.txt", "n": [1, {"m": 2}]}'


def with_id(chunks, id):
    return [each | {"id": id} for each in chunks]


@st.composite
def generations(draw, letter, id):
    """Frames of one generation; all that it says has its letter in it."""
    said = st.integers(1, 3).map(lambda count: [f"{letter}{number} " for number in range(count)])
    pages = [{"title": letter, "link": f"https://{letter}.example"}]
    chunks = [chunk({})] * draw(st.integers(0, 1))
    chunks += [chunk({}, web_search=pages)] * draw(st.integers(0, 1))
    chunks += thoughts(*draw(said | st.just([])))
    kind = draw(st.sampled_from(["text", "call", "both"]))
    if kind != "call":
        chunks += texts(*draw(said))
    if kind != "text":
        places = sorted(draw(st.lists(st.integers(0, len(ARGUMENTS)), max_size=3)))
        pieces = [piece.decode() for piece in cuts(ARGUMENTS.encode(), *places)]
        chunks += [tool("", id=f"call_{letter}", name=letter), *map(tool, pieces)]
    chunks.append(last(draw(st.sampled_from(["tool_calls", "stop"][kind == "text" :]))))
    own_usage = {"choices": [], "usage": USAGE}
    return with_id(chunks + [own_usage] * draw(st.integers(0, 1)), id)


def told(events):
    """Return what events say, without how it was cut into pieces."""
    pieces = {TextDelta: "", ThinkingDelta: ""}
    for event in events:
        if type(event) in pieces:
            pieces[type(event)] += event.text
    pages = [
        page.title for event in events if isinstance(event, WebSearch) for page in event.results
    ]
    calls = [(event.name, event.arguments) for event in events if isinstance(event, ToolCall)]
    return [*pieces.values(), pages, calls]


async def read(wire, **options):
    """Return the events since the last reset, the error, and the stream."""
    reply = wire if isinstance(wire, FakeReply) else FakeReply.stream(wire)
    async with client(reply) as zai, stream(zai, **options) as answer:
        events, error = [], None
        try:
            async for event in answer.events:
                events = [] if isinstance(event, Reset) else [*events, event]
        except ZaiError as caught:
            error = caught
    return events, error, answer


async def whole(chunks):
    events, error, _ = await read(body(chunks))
    assert error is None
    return told(events)


def is_part(said, everything):
    text, thinking, pages, calls = said
    return (
        everything[0].startswith(text)
        and everything[1].startswith(thinking)
        and pages in ([], everything[2])
        and calls in ([], everything[3])
    )


def is_anonymous(frames, place, cut):
    """Whether nothing tells of which generation the lost frame was."""
    start = len('data: {"id":"')
    return place == 0 and cut <= start + len(FIRST) // 2


A = generations("a", FIRST)
B = generations("b", SECOND)


@given(A, B, st.data())
async def test_a_reader_has_a_part_and_an_error_or_the_whole_of_one(old, new, data):
    frames = [frame(each)[:-2] for each in old]
    place = data.draw(st.integers(0, len(frames) - 1), label="damaged frame")
    cut = data.draw(st.integers(len("data: {"), len(frames[place]) - 1), label="cut")
    seam = data.draw(st.sampled_from([b"", b"\n\n"]), label="seam")
    then = data.draw(st.sampled_from(["same", "new", "done", "end"]), label="successor")
    rest = {"same": body(old[place + 1 :]), "new": body(new), "done": DONE, "end": b""}[then]
    wire = b"\n\n".join([*frames[:place], b""]) + frames[place][:cut] + seam + rest
    reset = data.draw(st.sampled_from(["raise", "reset"]), label="on_restart")
    places = data.draw(st.lists(st.integers(1, len(wire) - 1), max_size=3, unique=True))
    events, error, answer = await read(FakeReply.stream(*cuts(wire, *places)), on_restart=reset)
    said, everything = told(events), [await whole(old), await whole(new)]
    if error is None:
        assert isinstance(events[-1], Finished)
        first_is_lost = is_anonymous(frames, place, cut) and then == "same"
        assert said in everything or first_is_lost
        assert len(answer.attempts) == 1
    else:
        assert isinstance(error, IncompleteError)
        assert any(is_part(said, each) for each in everything)
    finished = any(
        choice.get("finish_reason") for each in old[:place] for choice in each["choices"]
    )
    if then == "same" and not finished and not is_anonymous(frames, place, cut):
        assert isinstance(error, StreamMalformedError | StreamTruncatedError)
    if finished and then != "new":
        assert error is None


@given(A, B, st.binary(min_size=1, max_size=40), st.data())
async def test_a_frame_of_rubbish_hides_nothing(old, new, rubbish, data):
    place = data.draw(st.integers(0, len(old) - 1))
    rubbish = b"{" + rubbish.replace(b"\r", b"").replace(b"\n", b"")
    rest = data.draw(st.sampled_from([old[place + 1 :], new]))
    wire = body(old[:place], done=False) + b"data: " + rubbish + b"\n\n" + body(rest)
    events, error, _ = await read(wire)
    said, everything = told(events), [await whole(old), await whole(new)]
    if error is None:
        # Without an id before it, nobody can tell that the rubbish was of this generation.
        assert said in everything or place == 0
    else:
        assert any(is_part(said, each) for each in everything)


@pytest.mark.parametrize("before", [[], [chunk({})]])
@pytest.mark.parametrize("seam", [b"", b"\n\n"])
async def test_the_first_piece_of_a_generation_is_not_passed_over(before, seam):
    lost, second = (frame(each) for each in texts("one ", "two "))
    enough = len('data: {"id":"') + len(FIRST) // 2 + 1
    for cut in sample(range(len("data: {") if before else enough, len(lost) - 2), 40):
        wire = body(before, done=False) + lost[:cut] + seam + second + body([last()])
        events, error, _ = await read(wire)
        assert isinstance(error, StreamMalformedError)
        assert told(events)[0] == ""


async def test_of_streams_without_ids_nothing_is_passed_over_either():
    chunks = with_id([*texts("one ", "two "), last()], "")
    wire = frame(chunks[0])[:60] + b"\n\n" + body(chunks[1:])
    assert isinstance((await read(wire))[1], StreamMalformedError)


async def test_nor_is_the_first_piece_of_a_second_generation():
    lost, rest = (
        frame(texts("uno ", id=SECOND)[0]),
        body([*texts("dos ", id=SECOND), last(id=SECOND)]),
    )
    for before in ([chunk({})], texts("one ")):
        wire = body(before, done=False) + lost[:80] + b"\n\n" + rest
        events, error, _ = await read(wire, on_restart="reset")
        assert isinstance(error, StreamMalformedError)
        assert told(events)[0] in {"", "one "}


async def test_two_damaged_frames_in_a_row_are_both_remembered():
    damaged = frame(texts("one ")[0])[:60] + b"\n\n" + b"data: rubbish\n\n"
    _, error, _ = await read(damaged + body([*texts("two "), last()]))
    assert isinstance(error, StreamMalformedError)
    assert error.body.startswith('{"id":"' + FIRST)
    glued = frame(texts("two ")[0])[:-2] + frame(last())
    _, error, _ = await read(damaged + glued + DONE)
    assert isinstance(error, StreamMalformedError)


@pytest.mark.parametrize("glued", [True, False])
@pytest.mark.parametrize("reset", ["raise", "reset"])
async def test_after_the_finish_reason_another_generation_is_another_one(glued, reset):
    old, new = [*texts("one "), last()], [*texts("uno "), last()]
    usage = frame({"id": FIRST, "choices": [], "usage": USAGE})
    for cut in sample(range(len("data: {"), len(usage) - 2), 40):
        seam = b"" if glued else b"\n\n"
        wire = body(old, done=False) + usage[:cut] + seam + body(with_id(new, SECOND))
        events, error, answer = await read(wire, on_restart=reset)
        if reset == "reset" and cut <= len('data: {"id":"20261120101'):
            assert isinstance(error, StreamMalformedError)  # it may be of the second one as well
            continue
        if reset == "reset":
            assert (error, told(events)[0]) == (None, "uno ")
        else:
            assert isinstance(error, StreamRestartedError)
            assert (error.partial.text, told(events)[0]) == ("one ", "one ")
        assert answer.outcome == ("completed" if reset == "reset" else "restarted")


async def test_pages_of_two_generations_are_never_joined():
    pages = [
        {"choices": [], "web_search": [{"title": each}]} | {"id": each} for each in (FIRST, SECOND)
    ]
    for before in (pages[:1], [chunk({}, web_search=[{"title": FIRST}])]):
        wire = body(before, done=False) + frame(chunk({}))[:60] + frame(pages[1]) + body([last()])
        events, error, _ = await read(wire)
        assert isinstance(error, StreamRestartedError)
        assert told(events)[2] == [FIRST]


@pytest.mark.parametrize("found", ["web_search", "content_filter"])
@pytest.mark.parametrize("alone", [True, False])
async def test_what_was_found_before_a_cut_is_not_found_twice(found, alone):
    first = chunk({}, **{found: [{"title": "page", "level": 1}]})
    first |= {"choices": []} if alone else {}
    script = [FakeReply.stream(frame(first)), FakeReply.stream(body([*texts("A"), last()]))]
    async with client(*script, retry=None) as zai, stream(zai) as answer:
        with pytest.raises(StreamTruncatedError) as caught:
            await answer.completion()
        assert caught.value.emitted
        assert len(answer.attempts) == 1


async def test_a_chunk_that_nobody_marked_as_data_is_missed():
    lost = frame(texts("two ")[0])
    for start in (1, 2, 3, 5, 6, 7):  # with the colon first it would be a comment
        wire = body(texts("one "), done=False) + lost[start:] + body([*texts("three"), last()])
        events, error, _ = await read(wire)
        assert told(events)[0] == ("one " if error else "one two three")
        assert isinstance(error, StreamMalformedError | None)


# Tool calls.

ENDS = ["length", "sensitive", "network_error", "model_context_window_exceeded"]
ANY = {"truncated", "network_error", "empty", "error"}


@given(
    st.integers(0, len(ARGUMENTS) - 1),
    st.lists(st.integers(0, len(ARGUMENTS)), max_size=3),
    st.sampled_from([*ENDS, None, "eof"]),
    st.booleans(),
    st.sampled_from([frozenset(), ANY]),
)
@example(0, [], "length", False, frozenset())
@example(0, [], "eof", False, ANY)
async def test_a_call_that_was_cut_is_no_call(cut, places, finish, talks, allow):
    written = ARGUMENTS[:cut].encode()
    pieces = cuts(written, *sorted(min(place, cut) for place in places))
    chunks = texts("A") * talks + [tool("", id="c", name="f")]
    chunks += [tool(piece.decode()) for piece in pieces]
    chunks += [last(finish)] if finish in ENDS else []
    wire = body(chunks, done=finish != "eof")
    events, error, answer = await read(wire, allow=allow)
    assert error is not None
    assert told(events)[3] == []
    if not talks or allow:
        assert isinstance(error, ToolCallIncompleteError) or finish == "network_error"
    assert answer.snapshot.tool_calls == []
    assert answer.outcome != "completed"
    assert error.partial.tool_calls == []
    assert getattr(error, "raw", ARGUMENTS[:cut]) == ARGUMENTS[:cut]


@pytest.mark.parametrize("finish", ENDS)
async def test_an_answer_holds_only_the_calls_that_were_not_cut(finish):
    chunks = [*texts("A"), tool("{}", id="c", name="f"), tool("", index=1, id="d", name="rm")]
    async with client(body([*chunks, last(finish)])) as zai, stream(zai, allow=ANY) as answer:
        whole_answer = await answer.completion()
    assert [call.name for call in whole_answer.tool_calls] == ["f"]
    assert whole_answer.outcome not in {"completed", "tool_calls"}


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "eos"])
async def test_at_a_proper_end_a_call_may_have_no_arguments(finish):
    events, error, answer = await read(body([tool("", id="c", name="now"), last(finish)]))
    assert (error, told(events)[3]) == (None, [("now", "")])
    assert [call.parse() for call in answer.snapshot.tool_calls] == [{}]


@pytest.mark.parametrize("chunks", [[], thoughts("hm"), texts("A")])
async def test_an_end_that_promises_calls_and_has_none_is_no_answer(chunks):
    events, error, answer = await read(body([*chunks, last("tool_calls")]))
    assert isinstance(error, IncompleteError)
    assert told(events)[3] == []
    assert answer.snapshot.finish_reason == "tool_calls"


# What stands between a frame that was cut and the next one.

SEAMS = [
    b"",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\n: ping\n",
    b"\n: ping\n\n",
    b": ping\n\n",
    b"\nevent: message\n",
    b"\nid: 7\n",
    b"\nretry: 1\n\n",
    b"\ndata:\n",
    b"\nother: x\n",
    b"id: 7\n",
    b"event: message\n",
]


def seam_ids(seam):
    return repr(seam)


@pytest.mark.parametrize("seam", SEAMS, ids=seam_ids)
@pytest.mark.parametrize("before", [[], [chunk({})]], ids=["nothing", "role"])
async def test_no_text_is_lost_silently_whatever_follows_a_cut(seam, before):
    frames = [frame(each) for each in [*texts("one ", "two ", "three"), last()]]
    for cut in sample(range(1, len(frames[0]) - 1), 24):
        wire = body(before, done=False) + frames[0][:cut] + seam + b"".join(frames[1:]) + DONE
        events, error, _ = await read(wire)
        if frames[0][:cut] in {b"data", b"data:", b"data: "} and b"\n\n" in seam:
            continue  # an empty event, which servers send to keep a connection alive
        if error is None:
            assert told(events)[0] == "one two three", (cut, wire)
        else:
            assert isinstance(error, IncompleteError)


@pytest.mark.parametrize("seam", SEAMS, ids=seam_ids)
async def test_a_second_generation_is_whole_or_not_at_all(seam):
    first = frame(texts("one ")[0])
    rest = body([*texts("uno ", "dos", id=SECOND), last(id=SECOND)])
    for cut in sample(range(1, len(first) - 2), 24):
        events, error, _ = await read(first[:cut] + seam + rest)
        assert error is not None or told(events)[0] == "uno dos", cut
        if cut > len('data: {"id":"20261120101112aaaaaaaaaaaaaa"'):
            assert (error, told(events)[0]) == (None, "uno dos"), cut


@pytest.mark.parametrize("seam", [b"", b" ", b"data:", b"\ndata:"], ids=seam_ids)
@pytest.mark.parametrize("then", [FIRST, SECOND])
async def test_a_frame_that_follows_without_any_seam_is_not_lost(seam, then):
    first, second, rest = frame(texts("one ")[0]), texts("uno ", id=then)[0], texts("dos", id=then)
    for cut in sample(range(1, len(first) - 2), 24):
        wire = first[:cut] + seam + frame(second).removeprefix(b"data: ")
        events, error, _ = await read(wire + body([*rest, last(id=then)]))
        if first[:cut] in {b"data:", b"data: "} and not seam.strip():
            continue  # the second frame is whole
        assert error is not None or told(events)[0] == "uno dos" != then, (cut, events)


@pytest.mark.parametrize("place", [1, 2, 3])
async def test_a_field_name_that_is_written_twice_once_is_that_of_a_frame_that_was_cut(place):
    frames = [frame(each) for each in [*texts("one ", "two ", "three"), last()]]
    wire = b"".join(frames[:place]) + b"data:" + b"".join(frames[place:])
    events, error, _ = await read(wire + DONE)
    assert isinstance(error, StreamMalformedError)
    assert "three" not in told(events)[0] or place == 3


# Restarts without any damage.


def created(chunks, moment):
    return [each | {"created": moment} for each in chunks]


@pytest.mark.parametrize("first", [texts("one ", "two "), [*thoughts("hm"), *texts("one ")]])
@pytest.mark.parametrize("role", [[], [chunk({}, id=SECOND)]])
async def test_another_backend_that_takes_over_is_noticed(first, role):
    second = created([*role, *texts("uno ", "dos", id=SECOND), last(id=SECOND)], 90)
    wire = body(created(first, 1), done=False) + body(second)
    _, error, answer = await read(wire)
    assert isinstance(error, StreamRestartedError)
    assert (error.old_id, error.new_id) == (FIRST, SECOND)
    assert "uno" not in answer.snapshot.text
    events, error, answer = await read(wire, on_restart="reset")
    assert (error, told(events)[0], answer.snapshot.text) == (None, "uno dos", "uno dos")


@pytest.mark.parametrize("moments", [(7, 7), (0, 90), (7, 0)])
async def test_ids_of_one_moment_are_of_one_answer_and_told(moments):
    one = created(texts("one ", "two "), moments[0])
    other = created([*texts("three", id=SECOND), last(id=SECOND)], moments[1])
    events, error, answer = await read(body([*one, *other]))
    assert (error, told(events)[0], answer.id_changes) == (None, "one two three", 1)


async def test_a_relay_with_ids_of_its_own_is_no_other_backend():
    ids = created([*texts("a", id="1"), *texts("b", id="2"), *texts("c", id="3"), last(id="4")], 5)
    ids = [each | {"created": number} for number, each in enumerate(ids, 5)]
    events, error, answer = await read(body(ids))
    assert (error, told(events)[0], answer.id_changes) == (None, "abc", 2)
    ending = created([last(id="relay")], 99)
    events, error, answer = await read(body([*created(texts("a", "b"), 1), *ending]))
    assert (error, told(events)[0], answer.id_changes) == (None, "ab", 0)
