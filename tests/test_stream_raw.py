"""``stream.raw``: the JSON of each event, byte for byte, through all that streams go through."""

import base64
import json
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.calls import scripted
from tests.chat_wire import DONE, FIRST, SECOND, chunk, cuts, frame, last, stream, texts
from zai_async import (
    APIError,
    StreamConsumedError,
    StreamMalformedError,
    StreamRestartedError,
    StreamTruncatedError,
)
from zai_async._protocol import ChatDecoder
from zai_async.testing import FakeReply

# As nobody would write it again: spaces, an unknown field, a number in another form.
ODD = b'{ "id":"%b", "created":1.0e0,\t"x":1.50,"choices":[{"index":0,"delta":{"content":"o"}}]}'
ODD %= FIRST.encode()
SILENT = b'{"id":"%b","choices":[]}' % FIRST.encode()


def payload(value):
    return frame(value)[6:-2]


def framed(*payloads):
    return b"".join(b"data: %b\n\n" % each for each in payloads)


GOOD = [
    payload(chunk()),
    SILENT,
    *map(payload, texts("a", "b", "c")),
    ODD,
    payload(last()),
    SILENT,
]


@asynccontextmanager
async def chat(*script, **options):
    zai, _ = scripted(*script)
    async with zai, stream(zai, **options) as answer:
        yield answer


async def read(answer, found=None):
    """Read all events; those before an error are in ``found`` as well."""
    found = [] if found is None else found
    async for each in answer.raw:
        found.append(each)
    return found


async def told(*script):
    async with chat(*script) as answer:
        return await read(answer)


async def test_each_event_comes_byte_for_byte_as_it_was_sent():
    async with chat(FakeReply.stream(framed(*GOOD), DONE)) as answer:
        assert await read(answer) == GOOD
        assert answer.outcome == "completed"
        assert answer.snapshot.text == "abco"
        assert answer.usage is not None


@given(
    places=st.lists(st.integers(0, len(framed(*GOOD) + DONE)), max_size=12),
    ends=st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
@settings(max_examples=60)
async def test_reads_may_be_cut_anywhere(places, ends):
    wire = (b": hello\n\n" + framed(*GOOD) + DONE).replace(b"\n", ends)
    assert await told(FakeReply.stream(*filter(None, cuts(wire, *places)))) == GOOD


SOUND = base64.b64encode(b"\0\1" * 8).decode()
SPOKEN = [
    payload({"choices": [{"index": 0, "delta": {"content": SOUND, "return_sample_rate": 24000}}]}),
    payload({"choices": [{"index": 0, "delta": {"content": SOUND}}]}),
    payload({"choices": [{"index": 0, "finish_reason": "stop", "delta": {}}]}),
]
WRITTEN = [
    payload({"id": "t", "type": "transcript.text.delta", "delta": "ab"}),
    payload({"id": "t", "type": "transcript.text.delta", "delta": "c"}),
    payload({"id": "t", "type": "transcript.text.done", "text": "abc"}),
]
WORKED = [
    payload({"id": "a", "choices": [{"index": 0, "messages": [{"role": "assistant"}]}]}),
    payload(
        {
            "id": "a",
            "choices": [
                {
                    "index": 0,
                    "messages": [{"role": "assistant", "content": {"type": "text", "text": "x"}}],
                }
            ],
        }
    ),
    payload({"id": "a", "choices": [{"index": 0, "finish_reason": "stop"}]}),
]


def of_each_kind(zai):
    return {
        "agent": lambda: zai.agents.stream(agent_id="x", messages="Hi"),
        "speech": lambda: zai.audio.speech.stream(model="glm-tts", input="Hi", voice="tongtong"),
        "transcription": lambda: zai.audio.transcriptions.stream(
            model="glm-asr-2512", file_base64="UklGRg=="
        ),
    }


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize(
    ("kind", "payloads"), [("agent", WORKED), ("speech", SPOKEN), ("transcription", WRITTEN)]
)
async def test_streams_of_every_kind_have_it(kind, payloads, size):
    wire = framed(*payloads) + DONE
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    zai, _ = scripted(FakeReply.stream(*pieces))
    async with zai, of_each_kind(zai)[kind]() as answer:
        assert await read(answer) == payloads


async def test_what_was_read_ahead_is_handed_out_as_well():
    async with chat(FakeReply.stream(framed(*GOOD), DONE)) as answer:
        assert await read(await answer.prime()) == GOOD


async def test_an_answer_that_was_not_streamed_is_one_event():
    whole = payload(
        {
            "id": "1",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "a", "content": "x"}}
            ],
        }
    )
    assert await told(FakeReply.stream(whole, Content_Type="application/json")) == [whole]
    assert await told(FakeReply.stream(whole)) == [whole]


async def test_an_event_in_several_lines_has_line_feeds():
    wire = b'data: {"id":"1",\ndata: "choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    first, _ = await told(FakeReply.stream(wire, framed(payload(last(id="1"))), DONE))
    assert first == b'{"id":"1",\n"choices":[{"index":0,"delta":{"content":"x"}}]}'


async def test_halves_of_a_character_are_not_touched():
    halves = [
        b'{"id":"1","choices":[{"index":0,"delta":{"content":"%b"}}]}' % half
        for half in (rb"\ud83d", rb"\ude00")
    ]
    end = payload(last(id="1"))
    assert await told(FakeReply.stream(framed(*halves, end), DONE)) == [*halves, end]


async def test_of_a_damaged_frame_comes_what_is_whole():
    start, *others = map(payload, texts("a", "b", id=SECOND))
    cut = payload(chunk())[:20]
    end = payload(last(id=SECOND))
    damaged = b"data: " + cut + b"data: " + start + b"\n\n"
    async with chat(FakeReply.stream(damaged, framed(*others, end), DONE)) as answer:
        assert await read(answer) == [start, *others, end]
        assert answer.snapshot.text == "ab"


async def test_damage_that_cannot_be_passed_raises():
    first, second = map(payload, texts("a", "b"))
    reply = FakeReply.stream(framed(first, second[:-9]), framed(payload(last())), DONE)
    found = []
    async with chat(reply) as answer:
        with pytest.raises(StreamMalformedError):
            await read(answer, found)
    assert found == [first]


async def test_of_a_generation_that_was_replaced_before_its_first_content_nothing_is_left():
    # In one read, so that nothing of the first one has been handed out.
    cut = payload(chunk(id=FIRST))[:-20]
    begun, *rest = map(payload, texts("a", "b", id=SECOND))
    wire = framed(payload(chunk(id=FIRST, choices=[])), cut) + framed(begun, *rest)
    end = payload(last(id=SECOND))
    assert await told(FakeReply.stream(wire, framed(end), DONE)) == [begun, *rest, end]


async def test_a_generation_that_begins_anew_after_content_raises_even_if_others_may_reset():
    wire = framed(*map(payload, texts("a", "b"))) + b'data: {"id\n\n'
    again = framed(*map(payload, texts("c", id=SECOND)))
    reply = FakeReply.stream(wire, again, framed(payload(last(id=SECOND))), DONE)
    async with chat(reply, on_restart="reset") as answer:
        with pytest.raises(StreamRestartedError):
            await read(answer)


async def test_a_request_that_is_sent_again_leaves_nothing_of_the_first_answer():
    role = payload(chunk())
    broken = FakeReply.stream(framed(SILENT), framed(b'{"error":{"code":"1234","message":"x"}}'))
    async with chat(broken, FakeReply.stream(framed(role, *GOOD[2:]), DONE)) as answer:
        assert await read(answer) == [role, *GOOD[2:]]
        assert len(answer.attempts) == 2


async def test_a_bad_end_raises_after_what_came():
    found = []
    async with chat(FakeReply.stream(framed(*GOOD[:3]))) as answer:
        with pytest.raises(StreamTruncatedError):
            await read(answer, found)
    assert found == GOOD[:3]
    fault = framed(b'{"error":{"code":"1301","message":"no"}}')
    with pytest.raises(APIError):
        await told(FakeReply.stream(framed(*GOOD[:3]), fault))


async def test_it_is_a_view_like_the_others():
    async with chat(FakeReply.stream(framed(*GOOD), DONE)) as answer:
        view = answer.raw
        assert await anext(view) == GOOD[0]
        with pytest.raises(StreamConsumedError):
            aiter(answer.text)
        assert [each async for each in view] == GOOD[1:]
        with pytest.raises(StopAsyncIteration):
            await anext(view)
        with pytest.raises(StreamConsumedError):
            aiter(answer.raw)


async def test_the_rest_may_be_read_as_the_whole_answer():
    async with chat(FakeReply.stream(framed(*GOOD), DONE)) as answer:
        assert await anext(answer.raw) == GOOD[0]
        assert (await answer.completion()).text == "abco"


@pytest.mark.parametrize("prime", [False, True])
async def test_who_reads_something_else_keeps_nothing(prime):
    async with chat(FakeReply.stream(framed(*GOOD), DONE)) as answer:
        if prime:
            await answer.prime()
        assert "".join([text async for text in answer.text]) == "abco"
        decoder = answer._reader.decoder
        assert decoder.json.payloads is None
        assert decoder.json.decode == decoder.json.strictly


def test_a_decoder_alone_keeps_nothing():
    decoder = ChatDecoder()
    decoder.feed(framed(*GOOD))
    assert decoder.json.payloads is None


async def test_what_is_forwarded_reads_as_the_same_answer():
    payloads = await told(FakeReply.stream(framed(*GOOD), DONE))
    decoder = ChatDecoder()
    items = decoder.feed(b"".join(b"data: %b\n\n" % each for each in payloads) + DONE)
    assert [json.loads(each)["choices"] for each in payloads if each != SILENT]
    assert "".join(item.text for item in items) == "abco"
    assert decoder.end_of_input() == "completed"
