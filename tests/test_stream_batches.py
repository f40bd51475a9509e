"""Events that arrive together: read ahead for speed, handed out and counted one by one."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat_wire import (
    DONE,
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
)
from zai_async import ChatDecoder, StreamMalformedError, StreamRestartedError
from zai_async.testing import FakeReply

MANY = 300  # more than one batch


def numbered(count):
    return [f"{number} " for number in range(count)]


def split(data, *positions):
    return FakeReply.stream(*cuts(data, *positions))


async def seen_by(answer):
    """Return for each chunk the text so far, and what the stream says of it."""
    pieces, said = [], []
    async for piece in answer:
        pieces.append(piece.text)
        said.append(("".join(pieces), answer.snapshot.text))
    return said


async def test_chunks_that_come_alone_are_kept_for_a_moment_only():
    reply = FakeReply.stream(*(frame(each) for each in [*texts(*numbered(MANY)), last()]), DONE)
    async with client(reply) as zai, stream(zai) as answer:
        kept = [len(answer._reader.decoder._alone) async for _ in answer]
        assert max(kept) < 8
        assert answer.snapshot.text == "".join(numbered(MANY))


@given(st.data())
async def test_only_what_was_handed_out_counts(data):
    whole = body([*texts(*numbered(MANY)), last()])
    places = data.draw(st.lists(st.integers(1, len(whole) - 1), max_size=3, unique=True))
    async with client(split(whole, *places)) as zai, stream(zai) as answer:
        said = await seen_by(answer)
    assert len(said) == MANY + 1
    assert all(expected == shown for expected, shown in said)


async def test_events_that_arrive_alone_add_up():
    frames = [*map(frame, [*texts(*numbered(MANY)), last()]), DONE]
    async with client(FakeReply.stream(*frames)) as zai, stream(zai) as answer:
        assert (await answer.completion()).text == "".join(numbered(MANY))


@pytest.mark.parametrize(
    "chunks",
    [
        [*texts(*numbered(60)), last()],
        [*texts(*numbered(60)), last(), chunk(choices=[])],
        [each | {"id": str(number)} for number, each in enumerate([*texts(*numbered(60)), last()])],
    ],
    ids=["end mark", "usage by itself", "an id for each chunk"],
)
def test_what_does_not_go_in_one_go_is_not_tried_with_each_event(chunks):
    decoder = ChatDecoder()
    decoder.feed(frame(texts("x")[0]))
    decode, decoded = decoder.json.decode, []

    def watched(data):
        decoded.append(data)
        return decode(data)

    decoder.json.decode = watched
    items = decoder.feed(b"".join([*map(frame, chunks), DONE]))
    assert "".join(item.text for item in items).startswith("".join(numbered(60)))
    assert decoder.end_of_input() == "completed"
    assert len(decoded) <= 2 * len(chunks) + 2


async def test_what_was_read_ahead_is_forgotten_with_the_stream():
    whole = body([*texts(*numbered(MANY)), last()])
    async with client(split(whole, 400)) as zai, stream(zai) as answer:
        async for piece in answer:
            if piece.text == "70 ":
                break
    assert answer.snapshot.text == "".join(numbered(71))


async def test_odd_events_are_dealt_with_in_their_place():
    odd = frame(chunk({"content": "!"}) | {"choices": []})
    begin = body(texts(*numbered(10)), done=False) + odd
    whole = begin + body([*thoughts("a"), last()])
    async with client(split(whole, 400, len(begin))) as zai, stream(zai) as answer:
        said = await seen_by(answer)
    assert [expected for expected, _ in said][-1] == "".join(numbered(10))
    assert answer.skipped == 1


async def test_what_came_before_damage_is_handed_out():
    whole = body(texts(*numbered(100)), done=False) + b'data: {"id":"1","choi\n\n'
    whole += body(texts("lost"), done=False)
    async with client(split(whole, 400)) as zai, stream(zai) as answer:
        with pytest.raises(StreamMalformedError) as caught:
            await seen_by(answer)
    assert caught.value.partial.text == "".join(numbered(100))


async def test_another_generation_in_a_later_batch_is_noticed():
    glued = frame(chunk({"content": "x"}))[:-2] + frame(chunk({"content": "y"}, id=SECOND))
    whole = body(texts(*numbered(200)), done=False) + glued + body(texts("z", id=SECOND))
    async with client(split(whole, 400)) as zai, stream(zai) as answer:
        with pytest.raises(StreamRestartedError) as caught:
            await seen_by(answer)
    assert caught.value.new_id == SECOND


async def test_many_buffered_events_do_not_keep_other_tasks_waiting():
    data = [json.dumps({**chunk({"content": "x" * 40}), "created": n}) for n in range(3000)]
    pieces = [
        "".join(f"data: {one}\n\n" for one in data[at : at + 500]) for at in range(0, 3000, 500)
    ]
    reply = FakeReply.stream(*(piece.encode() for piece in pieces), frame(last()), DONE)
    turns = 0

    async def take_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with client(reply) as zai, stream(zai) as answer:
        other = asyncio.create_task(take_turns())
        counts = [turns async for _ in answer]
        other.cancel()
    assert len(counts) == 3001
    assert len(set(counts)) >= len(pieces)
