"""Streams beside chat: transcriptions, speech, agents."""

import base64
import gc
import io
import itertools
import json
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import scripted
from tests.chat_wire import DONE, GOOD
from tests.effort import sample
from zai_async import (
    APIError,
    BillingError,
    CallOptions,
    ConnectionLostError,
    ContentPolicyError,
    EmptyAnswerError,
    GenerationFailedError,
    ResponseError,
    RetryPolicy,
    StreamConsumedError,
    StreamMalformedError,
    StreamRestartedError,
    StreamTruncatedError,
    ZaiError,
)
from zai_async._protocol import DecoderContext, SpeechDecoder, TranscriptionDecoder
from zai_async._wire import Operation
from zai_async.client import AsyncZai
from zai_async.models import (
    AgentChunk,
    AgentParams,
    SpeechChunk,
    SpeechParams,
    TranscriptionEvent,
    TranscriptionParams,
)
from zai_async.streams import AgentStream, SpeechStream, TranscriptionStream
from zai_async.testing import FakeReply, FakeTransport

TRANSCRIBE = Operation("t", "paas/v4/t", TranscriptionEvent, TranscriptionParams, stream=True)
SPEAK = Operation("s", "paas/v4/s", SpeechChunk, SpeechParams, stream=True)
AGENT = Operation("a", "v1/agents", AgentChunk, AgentParams, stream=True)


def frames(*events, done=True):
    wire = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    return wire + DONE * done


clients = []


@pytest.fixture(autouse=True)
async def closed_clients():
    yield
    while clients:
        await clients.pop().aclose()


def opened(kind, operation, wire, *args, broken=(), allow=(), **params):
    params["options"] = CallOptions(allow=allow)
    reply = FakeReply.stream(wire, *broken, X_Log_Id="log-1")
    zai = AsyncZai(api_key="k", transport=FakeTransport(reply), retry=RetryPolicy(retries=0))
    clients.append(zai)
    return kind(zai._manager.begin(operation, params), *args)


def transcribing(wire, **params):
    return opened(TranscriptionStream, TRANSCRIBE, wire, model="glm-asr-2512", **params)


def speaking(wire, encoding="base64", **params):
    return opened(SpeechStream, SPEAK, wire, encoding, model="glm-tts", input="hi", **params)


def working(wire, **params):
    return opened(
        AgentStream,
        AGENT,
        wire,
        agent_id="a",
        messages=[{"role": "user", "content": "x"}],
        **params,
    )


async def test_a_connection_that_breaks_after_the_end_concerns_nobody():
    broken = [ConnectionLostError("reset")]
    async with speaking(frames(spoken(PCM), STOP, done=False), broken=broken) as stream:
        assert await stream.read() == PCM
    async with transcribing(frames(heard("done", delta="Hi"), done=False), broken=broken) as stream:
        assert (await stream.transcription()).text == "Hi"


# Heartbeats that are no comments

BEATS = [
    b"data: [PING]\n\n",
    b"data: ping\n\n",
    b"event: ping\ndata: ping\n\n",
    b"event: heartbeat\ndata: 2026-11-30 12:00:00\n\n",
    b"event: keep-alive\ndata:\n\n",
    b'event: ping\ndata: {"type": "ping"}\n\n',
]


@pytest.mark.parametrize("beat", BEATS)
async def test_a_heartbeat_in_the_place_of_an_event_says_nothing(beat):
    said_before, said_after = (frames(event, done=False) for event in (spoken(PCM), STOP))
    async with speaking(beat + said_before + beat + said_after + beat) as stream:
        assert await stream.read() == PCM
    events = heard("delta", delta="Hi"), heard("done")
    heard_before, heard_after = (frames(event, done=False) for event in events)
    async with transcribing(beat + heard_before + beat + heard_after + beat) as stream:
        assert (await stream.transcription()).text == "Hi"
    zai, _ = scripted(FakeReply.stream(beat + GOOD.replace(b"\n\n", b"\n\n" + beat)))
    async with zai, zai.chat.completions.stream(model="m", messages="x") as stream:
        assert (await stream.completion()).text == "Grüße, 世界 🌍"


# Transcriptions.


def heard(kind, **fields):
    return {"id": "t", "created": 1, "model": "m", "type": f"transcript.text.{kind}"} | fields


@pytest.mark.parametrize(
    "last",
    [
        heard("done"),
        heard("done", delta=""),
        heard("done", delta="lo, world"),
        heard("done", delta="Hello, world"),
        heard("done", text="Hello, world"),
        heard("done", text=""),
        heard("done", text="", delta="Hello, world"),
        heard("new_kind"),
    ],
)
async def test_the_text_of_a_transcription_is_never_doubled(last):
    events = [heard("delta", delta="Hello"), heard("delta", delta=", world"), last]
    async with transcribing(frames(*events)) as stream:
        assert "".join([piece async for piece in stream.text]) == "Hello, world"
        whole = await stream.transcription()
    assert (whole.text, whole.id, whole.model) == ("Hello, world", "t", "m")
    assert (whole.request_id, whole.outcome, len(whole.attempts)) == ("log-1", "completed", 1)


LOST = [heard("delta", delta="A "), heard("delta", delta="C"), heard("done", text="A B C")]


@pytest.mark.parametrize(
    ("before", "segments", "text"),
    [
        ([], [{"id": 0, "text": "Hello, "}, {"id": 1, "text": "world"}], "Hello, world"),
        ([], [{"id": 0}, "odd", {"text": 7}], ""),
        ([], "odd", ""),
        ([heard("delta", delta="Hi")], [{"text": "Hi"}], "Hi"),
    ],
)
async def test_a_text_that_is_told_in_segments_only_is_read(before, segments, text):
    async with transcribing(frames(*before, heard("done", segments=segments))) as stream:
        assert "".join([piece async for piece in stream.text]) == text
        assert (await stream.transcription()).text == text


async def test_the_whole_text_counts_where_the_pieces_say_something_else():
    async with transcribing(frames(*LOST)) as stream:
        assert (await stream.transcription()).text == "A B C"
        assert stream.outcome == "completed"
    async with transcribing(frames(*LOST)) as stream:
        assert [event.delta async for event in stream] == ["A ", "C", ""]
        assert stream.snapshot.text == "A B C"


async def test_pieces_that_do_not_add_up_to_the_whole_text_are_an_error():
    async with transcribing(frames(*LOST)) as stream:
        pieces = stream.text
        assert [await anext(pieces), await anext(pieces)] == ["A ", "C"]
        with pytest.raises(StreamMalformedError, match="do not add up") as caught:
            await anext(pieces)
    assert caught.value.partial.text == "A B C"
    assert (caught.value.emitted, stream.outcome) == (True, "error")


@pytest.mark.parametrize("whole", ["A B", " A B\n", "AB"])
async def test_white_space_is_no_contradiction(whole):
    events = [heard("delta", delta="A "), heard("delta", delta="B "), heard("done", text=whole)]
    async with transcribing(frames(*events)) as stream:
        assert [piece async for piece in stream.text] == ["A ", "B "]
        assert stream.snapshot.text == whole


@pytest.mark.parametrize("field", ["delta", "text"])
async def test_the_last_event_may_bring_the_last_piece(field):
    rest = {"delta": ", world"} if field == "delta" else {"text": "Hello, world"}
    wire = frames(heard("delta", delta="Hello"), heard("done", **rest))
    async with transcribing(wire) as stream:
        assert [piece async for piece in stream.text] == ["Hello", ", world"]


async def test_events_of_a_transcription_are_structs():
    async with transcribing(frames(heard("delta", delta="a"), heard("done"))) as stream:
        assert [event.type for event in [event async for event in stream]] == [
            "transcript.text.delta",
            "transcript.text.done",
        ]
        with pytest.raises(StreamConsumedError):
            aiter(stream.text)


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (frames(heard("delta", delta="a"), done=False), StreamTruncatedError),
        (b"", StreamTruncatedError),
        (frames({"error": {"code": "1113", "message": "m"}}), BillingError),
        (frames(heard("delta", error={"code": "1301", "message": "m"})), ContentPolicyError),
        (frames(heard("delta", delta="a"), {"code": "1113", "message": "m"}), BillingError),
        (b'{"error":{"code":"1113","message":"m"}}\n\n', BillingError),
        (b"<html>\n", ResponseError),
        (b"data: {half\n\n", StreamMalformedError),
        (b"data: [1]\n\n", StreamMalformedError),
    ],
)
async def test_a_transcription_fails_like_any_stream(wire, error):
    stream = transcribing(wire)
    with pytest.raises(error) as caught:
        await stream.transcription()
    assert caught.value.partial.text == stream.snapshot.text


async def test_silence_is_a_transcription_too():
    for wire in (frames(heard("done")), frames(heard("done"), done=False)):
        async with transcribing(wire) as stream:
            assert (await stream.transcription()).text == ""
            assert stream.outcome == "completed"


# Speech.

PCM = bytes(range(256)) * 10


def spoken(data, encoding="base64", **delta):
    text = data.hex() if encoding == "hex" else base64.b64encode(data).decode()
    return {"choices": [{"index": 0, "delta": {"content": text} | delta}]}


STOP = {"choices": [{"index": 0, "finish_reason": "stop"}]}


@pytest.mark.parametrize("encoding", ["base64", "hex"])
async def test_speech_is_pcm(encoding):
    events = [spoken(PCM[:1000], encoding, return_sample_rate=16_000), spoken(PCM[1000:], encoding)]
    async with speaking(frames(*events, spoken(b""), STOP), encoding) as stream:
        assert stream.sample_rate == 24_000
        assert [piece async for piece in stream] == [PCM[:1000], PCM[1000:]]
        assert stream.sample_rate == 16_000
        assert stream.outcome == "completed"
    assert await speaking(frames(*events, STOP, done=False), encoding).read() == PCM


async def test_speech_is_saved_as_a_wav_that_others_can_play(tmp_path):
    path = tmp_path / "a.wav"
    wire = frames(spoken(PCM[:999], return_sample_rate=16_000), spoken(PCM[999:]), STOP)
    assert await speaking(wire).save(path) == path.stat().st_size
    with wave.open(io.BytesIO(path.read_bytes())) as sound:
        assert sound.getparams()[:4] == (1, 2, 16_000, len(PCM) // 2)
        assert sound.readframes(len(PCM)) == PCM


@pytest.mark.parametrize(
    ("wire", "encoding", "error"),
    [
        (frames(spoken(PCM), done=False), "base64", StreamTruncatedError),
        (frames({"choices": [{"delta": {"content": "!"}}]}), "base64", StreamMalformedError),
        (frames({"choices": [{"delta": {"content": "xyz"}}]}), "hex", StreamMalformedError),
        (frames({"error": {"code": "1113", "message": "m"}}), "base64", BillingError),
        (frames(STOP | {"error": {"code": "9", "message": "m"}}), "base64", APIError),
        (b"<html>\n", "base64", ResponseError),
    ],
)
async def test_speech_fails_like_any_stream(wire, encoding, error):
    with pytest.raises(error):
        await speaking(wire, encoding).read()


@pytest.mark.parametrize(
    ("reason", "outcome"), [("length", "length"), ("sensitive", "sensitive"), ("new", "other")]
)
async def test_speech_says_how_it_ended(reason, outcome):
    end = {"choices": [{"index": 0, "finish_reason": reason}]}
    async with speaking(frames(spoken(PCM), end)) as stream:
        assert (await stream.read(), stream.outcome) == (PCM, outcome)


async def test_a_later_end_of_a_relay_takes_no_reason_back():
    failed = {"choices": [{"index": 0, "finish_reason": "network_error"}]}
    with pytest.raises(GenerationFailedError):
        await speaking(frames(spoken(PCM), failed, STOP)).read()
    ends = [said("A", finish_reason="length"), said("", finish_reason="stop")]
    async with working(frames(*ends)) as stream:
        assert ((await stream.reply()).text, stream.outcome) == ("A", "length")


async def test_a_choice_without_sound_hides_none_of_those_beside_it():
    both = {"choices": [*STOP["choices"], *spoken(PCM)["choices"]]}
    assert await speaking(frames(both)).read() == PCM


async def test_an_error_beside_sound_is_raised():
    failed = spoken(PCM) | {"error": {"code": "1113", "message": "m"}}
    with pytest.raises(BillingError):
        await speaking(frames(spoken(PCM), failed)).read()


async def test_speech_of_a_relay_may_have_a_new_name_and_time_in_each_event():
    named = [spoken(PCM) | {"id": str(number), "created": number} for number in range(5, 8)]
    assert await speaking(frames(*named, STOP)).read() == PCM * 3
    assert await speaking(frames(spoken(PCM), spoken(PCM), *named, STOP)).read() == PCM * 5


async def test_after_the_finish_reason_the_end_of_speech_may_be_missing():
    stream = speaking(frames(spoken(PCM), STOP, done=False))
    assert await stream.read() == PCM


# Agents.


def said(text, phase="answer", key="messages", many=True, **choice):
    message = {"role": "assistant", "phase": phase, "content": [{"type": "text", "text": text}]}
    value = [message] if many else message
    return {"id": "i", "agent_id": "a", "conversation_id": "c", "choices": [{key: value} | choice]}


def used(name, position, output, title=""):
    tool = {"tool_name": name, "position": position, "output": output, "title": title}
    message = {
        "role": "assistant",
        "phase": "tool",
        "content": [{"type": "object", "object": tool}],
    }
    return {"choices": [{"index": 3, "messages": [message]}]}


@pytest.mark.parametrize("key", ["messages", "message", "delta"])
@pytest.mark.parametrize("many", [True, False])
async def test_text_of_agents_in_all_their_shapes(key, many):
    events = [said("Gr", "", key, many), said("üße", "", key, many, finish_reason="stop")]
    usage = {"choices": [], "usage": {"total_tokens": 7}}
    async with working(frames(*events, usage)) as stream:
        assert [piece async for piece in stream.text] == ["Gr", "üße"]
        reply = await stream.reply()
    assert (reply.text, reply.agent_id, reply.usage.total_tokens) == ("Grüße", "a", 7)
    assert [message.text for message in reply.messages] == ["Grüße"]
    assert (reply.request_id, reply.outcome, stream.conversation_id) == ("log-1", "completed", "c")


@pytest.mark.parametrize(("piece", "whole"), [("delta", "message"), ("delta", "messages")])
@pytest.mark.parametrize("phase", ["answer", ""])
@pytest.mark.parametrize("many", [True, False])
async def test_a_whole_message_of_an_agent_repeats_no_pieces(piece, whole, phase, many):
    pieces = [said("hm", "thinking", piece), said("he", key=piece), said("llo", key=piece)]
    for text, more in (("hello", ""), ("hello!", "!"), ("", "")):
        last = said(text, phase, whole, many, finish_reason="stop")
        async with working(frames(*pieces, last)) as stream:
            assert "".join([each async for each in stream.text]) == "hello" + more
            assert (await stream.reply()).text == "hmhello" + more
    plain = {"choices": [{whole: {"role": "assistant", "phase": phase, "content": "hello!"}}]}
    assert (await working(frames(*pieces, plain)).reply()).text == "hmhello!"
    with pytest.raises(StreamMalformedError, match="something else"):
        await working(frames(*pieces, said("bye", phase, whole))).reply()


async def test_a_whole_slide_takes_the_place_of_its_pieces():
    events = [used("insert_page", [1], "<p>"), used("insert_page", [1], "1</p>", "T")]
    whole = used("insert_page", [1], "<p>1</p>")
    whole["choices"][0]["message"] = whole["choices"][0].pop("messages")
    async with working(frames(*events, whole)) as stream:
        await stream.reply()
        assert [(page.html, page.title) for page in stream.pages] == [("<p>1</p>", "T")]


async def test_slides_are_put_together_by_their_position():
    events = [
        said("plan", "thinking"),
        used("insert_page", [2], "<b>", "two"),
        used("insert_page", [1], "<a>"),
        used("insert_page", [2], "</b>"),
        used("add_slide", [3], "<c>"),
        used("remove_slides", [1, 9], ""),
        said("Done.", finish_reason="stop"),
    ]
    async with working(frames(*events)) as stream:
        assert stream.conversation_id is None
        reply = await stream.reply()
        assert [(page.position, page.html, page.title) for page in stream.pages] == [
            (2, "<b></b>", "two"),
            (3, "<c>", ""),
        ]
    assert [(message.phase, message.text) for message in reply.messages] == [
        ("thinking", "plan"),
        ("answer", "Done."),
    ]


async def test_much_text_of_an_agent_is_kept_in_blocks():
    pieces = [f"{number} " for number in range(1000)]
    events = [*map(said, pieces), said(".", finish_reason="stop")]
    async with working(frames(*events)) as stream:
        reply = await stream.reply()
    assert reply.text == "".join(pieces) + "."
    assert len(stream._reader.decoder._said[0][1]) < 64


async def test_thinking_of_an_agent_is_apart():
    events = [said("hm", "thinking"), said("A", finish_reason="stop")]
    async with working(frames(*events)) as stream:
        assert [piece async for piece in stream.thinking] == ["hm"]
    async with working(frames(*events)) as stream:
        assert [piece async for piece in stream.text] == ["A"]


FAILED = {"id": "i", "agent_id": "a", "status": "failed", "error": {"code": "1113", "message": "m"}}


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (frames(FAILED), BillingError),
        (
            frames(said("A"), said("", finish_reason="error") | {"error": FAILED["error"]}),
            BillingError,
        ),
        (frames(said("A"), done=False), StreamTruncatedError),
        (b"", StreamTruncatedError),
    ],
)
async def test_an_agent_fails_like_any_stream(wire, error):
    stream = working(wire)
    with pytest.raises(error) as caught:
        await stream.reply()
    assert caught.value.partial.text == stream.snapshot.text


@pytest.mark.parametrize(
    "events",
    [
        [said("A", finish_reason="network_error")],
        [said("A") | {"status": "failed"}],
        [said("A"), {"id": "i", "status": "FAILED"}],
        [said("A") | {"status": "failed"}, said("", finish_reason="stop")],
    ],
)
@pytest.mark.parametrize("done", [True, False])
async def test_an_agent_that_has_failed_has_not_completed(events, done):
    stream = working(frames(*events, done=done))
    with pytest.raises(GenerationFailedError) as caught:
        await stream.reply()
    assert (caught.value.partial.text, stream.outcome) == ("A", "network_error")
    assert caught.value.partial.status == events[-1].get("status", stream.snapshot.status)
    async with working(frames(*events, done=done), allow={"network_error"}) as stream:
        assert (await stream.reply()).text == "A"
        assert stream.outcome == "network_error"


@pytest.mark.parametrize("done", [DONE, b": ping\n\n" + DONE, b"data: null\n\n" + DONE])
async def test_a_stream_without_any_event_is_empty(done):
    for kind, read in (
        (transcribing, TranscriptionStream.transcription),
        (speaking, SpeechStream.read),
        (working, AgentStream.reply),
    ):
        with pytest.raises(EmptyAnswerError, match="without a single event"):
            await read(kind(done))
        stream = kind(done, allow={"empty"})
        assert await read(stream) is not None
        assert stream.outcome == "empty"


# Damage.


KINDS = {
    "transcription": (
        transcribing,
        lambda texts: [*(heard("delta", delta=text) for text in texts), heard("done")],
        TranscriptionStream.transcription,
    ),
    "whole transcription": (
        transcribing,
        lambda texts: [
            *(heard("delta", delta=text) for text in texts),
            heard("done", text="".join(texts)),
        ],
        TranscriptionStream.transcription,
    ),
    "speech": (
        speaking,
        lambda texts: [*(spoken(text.encode()) for text in texts), STOP],
        SpeechStream.read,
    ),
    "agent": (
        working,
        lambda texts: [*map(said, texts), said("", finish_reason="stop")],
        AgentStream.reply,
    ),
}


def words(answer):
    return answer.decode() if isinstance(answer, bytes) else answer.text


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
async def test_a_cut_anywhere_is_an_error_or_lost_nothing(kind, data):
    start, write, read = KINDS[kind]
    texts = [f"{number} " for number in range(data.draw(st.integers(1, 4)))]
    wires = [frames(event, done=False)[:-2] for event in write(texts)]
    place = data.draw(st.integers(0, len(wires) - 1), label="damaged frame")
    cut = data.draw(st.integers(len("data: {"), len(wires[place]) - 1), label="cut")
    seam = data.draw(st.sampled_from([b"", b"\n\n"]), label="seam")
    rest = data.draw(
        st.sampled_from(
            [
                b"",
                DONE,
                b"\n\n".join([*wires[place + 1 :], DONE]),
                b"\n\n".join([*wires[place:], DONE]),
                b"\n\n".join([*wires, DONE]),
            ]
        )
    )
    wire = b"\n\n".join([*wires[:place], wires[place][:cut]]) + seam + rest
    stream = start(wire)
    try:
        answer = await read(stream)
    except (StreamMalformedError, StreamTruncatedError):
        assert stream.outcome in {"error", "truncated"}
    else:
        assert words(answer) == "".join(texts)
    await clients.pop().aclose()


CUT_FIELDS = [b"d", b"da", b"dat", b"data", b"data:", b"data: "]
SEAMS = [
    b"\n",
    b"\r\n",
    b"\r",
    b"\n: ping\n",
    b": ping\n",
    b"\nevent: a\n",
    b"id: 7\n",
    b"retry: 1\n",
]


@pytest.mark.parametrize("seam", [*SEAMS, b"", b"\ndata\n", b"\n\n"], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_event_is_missed_of_which_a_cut_left_some_letters_of_its_field(kind, seam):
    start, write, read = KINDS[kind]
    events = [frames(event, done=False) for event in write(["A ", "B ", "C "])]
    for place, cut in itertools.product(range(3), CUT_FIELDS):
        if cut.startswith(b"data") and seam in {b"\n\n", b""}:
            continue  # an empty event, which keeps a connection alive, or a name written twice
        wire = b"".join([*events[:place], cut, seam, *events[place + 1 :], DONE])
        with pytest.raises(StreamMalformedError):
            await read(start(wire))
        await clients.pop().aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_event_is_missed_that_nobody_marked_as_data(kind):
    start, write, read = KINDS[kind]
    first, second, *rest = write(["A ", "B ", "C "])
    for seam in (b"", b"\n", b"d\n"):
        wire = frames(first, done=False) + seam + json.dumps(second).encode() + b"\n\n"
        with pytest.raises(StreamMalformedError):
            await read(start(wire + frames(*rest)))
        await clients.pop().aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_cut_leaves_behind_the_end_is_missed_by_nobody(kind):
    start, write, read = KINDS[kind]
    wire = frames(*write(["A ", "B "]), done=False)
    for rest in (b"da\n\n", b"da\n" + DONE, DONE + b"da\n\n"):
        assert words(await read(start(wire + rest))) == "A B "
        await clients.pop().aclose()


def named(events, ids, moments):
    return [
        event | {"id": name, "created": moment}
        for event, name, moment in zip(events, ids, moments, strict=True)
    ]


@pytest.mark.parametrize("kind", ["transcription", "speech"])
async def test_another_backend_that_takes_over_is_noticed(kind):
    start, write, read = KINDS[kind]
    events = write(["A ", "B ", "C ", "D "])
    stream = start(frames(*named(events, ["one", "one", "two", "two", "two"], [5, 5, 9, 9, 9])))
    with pytest.raises(StreamRestartedError) as caught:
        await read(stream)
    assert (caught.value.old_id, caught.value.new_id) == ("one", "two")
    assert stream.outcome == "restarted"
    # A relay makes up an id for each event, and may have none for the last one.
    for ids, moments in (["1", "2", "3", "4", ""], range(1, 6)), ("aabbb", [5] * 5):
        assert words(await read(start(frames(*named(events, ids, moments))))) == "A B C D "


@pytest.mark.parametrize("kind", KINDS)
async def test_a_line_that_is_no_event_is_passed_over(kind):
    start, write, read = KINDS[kind]
    first, *rest = write(["A", "B"])
    stream = start(frames(first, done=False) + b"{half a line\n\n" + frames(*rest))
    assert words(await read(stream)) == "AB"


FAILURES = [
    {"type": "error", "message": "broken"},
    {"type": "transcript.error.done", "text": "broken"},
    {"type": "transcript.text.failed", "message": "broken"},
    {"event": "error", "msg": "broken"},
    {"error": True, "message": "broken"},
    {"error": True, "choices": [], "detail": "broken"},
    {"detail": "broken"},
    {"message": "broken"},
    {"status": "failed", "message": "broken"},
    {"data": {"error": "broken"}},
]
NAMED = [b'{"message": "broken"}', b'{"why": "broken"}', b"broken", b'"broken"', b"[broken"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failure_among_the_events_is_raised_in_whatever_words(kind):
    start, write, read = KINDS[kind]
    events = [frames(event, done=False) for event in write(["A ", "B "])]
    faults = [frames(fault, done=False) for fault in FAILURES]
    faults += [fault.removeprefix(b"data: ") for fault in faults]
    faults += [b"event: error\ndata: " + data + b"\n\n" for data in NAMED]
    for fault in faults:
        stream = start(events[0] + fault + events[1] + DONE)
        with pytest.raises(APIError, match="broken") as caught:
            await read(stream)
        assert stream.outcome == "error"
        assert kind == "speech" or caught.value.partial.text == "A "
        await clients.pop().aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_event_that_is_named_an_error_needs_no_words(kind):
    start, write, read = KINDS[kind]
    first, *_ = write(["A "])
    for named in (
        b"event: error\n\n",
        b"event: x.failed\ndata:\n\n",
        b"event: error\ndata: {}\n\n",
    ):
        with pytest.raises(APIError):
            await read(start(frames(first, done=False) + named + DONE))
        await clients.pop().aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_among_the_events_is_no_pause(kind):
    start, write, read = KINDS[kind]
    events = write(["A ", "B "])
    page = b"<html>\n<body>502 Bad Gateway</body>\n</html>\n\n"
    wire = frames(events[0], done=False) + page + frames(*events[1:])
    with pytest.raises(StreamMalformedError, match="a page stands among the events"):
        await read(start(wire))
    # Behind the end it concerns nobody.
    assert words(await read(start(frames(*events, done=False) + page + DONE))) == "A B "


@pytest.mark.parametrize("kind", KINDS)
async def test_events_that_tell_of_no_failure_are_passed_over(kind):
    start, write, read = KINDS[kind]
    harmless = [
        {"type": "ping"},
        {"type": "ping", "message": "still here"},
        {"type": "progress", "detail": "50 %"},
        {"type": {"error": 0}, "error": None, "message": ""},
        {"message": ""},
        {"status": "ok", "message": "fine"},
        {"odd": float("nan")},
        {},
    ]
    pauses = [frames(each, done=False) for each in harmless]
    pauses += [b": ping\n\n", b"event: keep-alive\ndata:\n\n", b"event: ping\n\n"]
    events = [frames(event, done=False) for event in write(["A ", "B "])]
    for pause in pauses:
        assert words(await read(start(events[0] + pause + b"".join(events[1:]) + DONE))) == "A B "
        await clients.pop().aclose()
    # What is whole is so for good.
    behind = frames({"message": "bye"})
    assert words(await read(start(b"".join(events) + behind))) == "A B "


@pytest.mark.parametrize("kind", KINDS)
async def test_every_end_of_the_input_is_an_error_or_lost_nothing(kind):
    start, write, read = KINDS[kind]
    events = write(["A ", "B "])
    wire, whole = frames(*events), len(frames(*events, done=False)) - len("\n\n")
    for end in [*sample(range(len(wire)), 60), *range(whole - 2, len(wire))]:
        stream = start(wire[:end])
        if end >= whole:
            assert words(await read(stream)) == "A B "
        else:
            with pytest.raises((StreamTruncatedError, StreamMalformedError)):
                await read(stream)
        await clients.pop().aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_forgotten_stream_goes_without_the_garbage_collector(kind):
    start, write, _ = KINDS[kind]
    stream = start(frames(*write(["A", "B", "C"]), done=False), broken=[3600.0, DONE])
    gc.collect()
    gc.disable()
    try:
        async for _ in stream:
            break
        with pytest.warns(ResourceWarning, match="was never closed"):
            del stream
    finally:
        gc.enable()
    assert clients[0]._manager.sessions._open_transport().open_responses == 0


async def test_the_end_mark_is_not_needed_after_a_finish_reason():
    stream = working(frames(said("A", finish_reason="stop"), done=False))
    assert (await stream.reply()).text == "A"
    assert (await working(frames(said("A"))).reply()).outcome == "completed"


# What comes in place of events.


def in_place(kind, body, content_type, *, size=4096):
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    reply = FakeReply(steps=tuple(pieces), headers={"Content-Type": content_type})
    zai = AsyncZai(api_key="k", transport=FakeTransport(reply), retry=RetryPolicy(retries=0))
    clients.append(zai)
    if kind == "speech":
        return zai.audio.speech.stream(model="glm-tts", input="Hi", voice="tongtong")
    return zai.audio.transcriptions.stream(model="glm-asr-2512", file_base64="UklGRg==")


SAMPLES = bytes(range(64)) * 4


def wav(*, rate=16_000, channels=1, extra=b""):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(SAMPLES)
    head, rest = file.getvalue()[:12], file.getvalue()[12:]
    return head + extra + rest


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize(
    ("body", "label", "rate"),
    [
        (wav(), "audio/wav", 16_000),
        (wav(), "application/octet-stream", 16_000),
        (wav(), "text/event-stream", 16_000),
        (wav(extra=b"LIST\x03\0\0\0abc\0"), "audio/x-wav; a=b", 16_000),
        (SAMPLES, "audio/pcm", 24_000),
    ],
)
async def test_sound_that_comes_as_it_is_is_the_speech(body, label, rate, size):
    async with in_place("speech", body, label, size=size) as stream:
        assert await stream.read() == SAMPLES
        assert (stream.outcome, stream.sample_rate) == ("completed", rate)


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (b"ID3\x04" + SAMPLES, "audio/mpeg"),
        (SAMPLES, "audio/basic"),
        (wav(channels=2), "audio/wav"),
        (wav()[:30], "audio/wav"),
        (wav()[:12] + b"data\x04\0\0\0abcd", "audio/wav"),
        (b"OggS" + SAMPLES, ""),
    ],
)
async def test_sound_in_another_form_is_not_lost(body, label):
    async with in_place("speech", body, label) as stream:
        with pytest.raises(ResponseError, match="in place of a stream of PCM") as caught:
            await stream.read()
    assert caught.value.partial.content == body
    assert caught.value.partial.content_type == label


@pytest.mark.parametrize("encoding", ["base64", "hex"])
def test_sound_is_read_whatever_encoding_events_would_have(encoding):
    decoder = SpeechDecoder(encoding)
    assert decoder.feed(wav()) == []
    assert decoder.feed(b"") == [SAMPLES]
    assert decoder.end_of_input() == "completed"


async def test_events_may_be_labelled_as_sound():
    sound = base64.b64encode(SAMPLES).decode()
    events = frames(
        {"choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": sound}}]}
    )
    for size in (1, 4096):
        async with in_place("speech", events, "audio/wav", size=size) as stream:
            assert await stream.read() == SAMPLES


@pytest.mark.parametrize("label", ["audio/wav", "audio/pcm"])
async def test_a_document_labelled_as_sound_is_none(label):
    choice = {"index": 0, "finish_reason": "stop", "delta": {"content": "AAEC"}}
    document = json.dumps({"choices": [choice]}).encode()
    async with in_place("speech", document, label) as stream:
        assert await stream.read() == b"\0\1\2"
    for body in (b"<html>busy</html>", b'[{"foo": 1}]'):
        async with in_place("speech", body, label) as stream:
            with pytest.raises(ResponseError) as caught:
                await stream.read()
        assert "PCM" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 4, 6])
def test_events_labelled_as_sound_are_read_as_they_come(cut):
    decoder = SpeechDecoder(context=DecoderContext(headers={"Content-Type": "audio/pcm"}))
    data = frames(spoken(PCM), done=False)
    assert [*decoder.feed(data[:cut]), *decoder.feed(data[cut:])] == [PCM]


@pytest.mark.parametrize(("label", "named"), [("audio/mpeg", "audio/mpeg"), ("", "sound")])
async def test_sound_in_another_form_is_named(label, named):
    async with in_place("speech", b"ID3" + bytes(50), label) as stream:
        with pytest.raises(ResponseError, match=f"sent {named} in place of"):
            await stream.read()


async def test_an_error_labelled_as_sound_is_one():
    error = b'{"error": {"code": "1301", "message": "no"}}'
    async with in_place("speech", error, "audio/wav") as stream:
        with pytest.raises(ContentPolicyError):
            await stream.read()


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("label", ["text/plain", "text/vtt; charset=utf-8", "application/x-subrip"])
async def test_a_text_that_comes_as_it_is_is_the_transcription(label, size):
    text = "WEBVTT\n\n00:00.000 --> 00:01.000\nGrüße\n" + "x" * 70_000
    async with in_place("transcription", text.encode(), label, size=size * 16) as stream:
        assert "".join([piece async for piece in stream.text]) == text
        assert (stream.snapshot.text, stream.outcome) == (text, "completed")


@pytest.mark.parametrize("size", [1, 4096])
@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("你好".encode("gbk"), "gbk"),
        ("\ufeff你好".encode(), "utf-8"),
        ("你好".encode("utf-16"), "utf-16"),
    ],
)
async def test_a_text_that_comes_as_it_is_is_written_as_its_label_says(body, charset, size):
    label = f"text/plain; charset={charset}"
    async with in_place("transcription", body, label, size=size) as stream:
        assert (await stream.transcription()).text == "你好"
    async with in_place("transcription", "你好".encode("gbk"), "text/plain", size=size) as stream:
        with pytest.raises(ResponseError):
            await stream.transcription()


async def test_events_may_begin_with_a_byte_order_mark():
    events = b"\xef\xbb\xbf" + frames({"type": "transcript.text.delta", "delta": "ab"})
    async with in_place("transcription", events, "text/plain") as stream:
        assert (await stream.transcription()).text == "ab"
    async with in_place("speech", b"\xef\xbb\xbf" + frames(spoken(PCM)), "audio/pcm") as stream:
        assert await stream.read() == PCM


async def test_events_may_be_labelled_as_text():
    events = frames({"type": "transcript.text.delta", "delta": "ab"})
    async with in_place("transcription", b": hello\n\n" + events, "text/plain") as stream:
        assert (await stream.transcription()).text == "ab"
    for body in (b"<html></html>", b'{"foo": 1}'):
        async with in_place("transcription", body, "text/plain") as stream:
            with pytest.raises(ResponseError):
                await stream.transcription()


@pytest.mark.parametrize("label", ["text/event-stream", "text/html", "application/octet-stream"])
async def test_what_nobody_labelled_as_text_is_no_transcription(label):
    async with in_place("transcription", b"Busy, come back later.", label) as stream:
        with pytest.raises(ResponseError, match="Busy"):
            await stream.transcription()


async def test_events_of_a_new_kind_are_handed_out():
    events = [heard("delta", delta="a"), heard("mood", mood="glad"), heard("done")]
    kinds = [event.type async for event in transcribing(frames(*events))]
    assert kinds == [event["type"] for event in events]


async def test_an_error_beside_a_text_is_raised():
    failed = heard("delta", delta="b", error={"code": "1113", "message": "m"})
    with pytest.raises(BillingError):
        await transcribing(frames(heard("delta", delta="a"), failed)).transcription()


def test_many_pieces_of_a_transcription_are_kept_in_blocks():
    decoder = TranscriptionDecoder()
    for _ in range(1000):
        decoder.feed(frames(heard("delta", delta="x"), done=False))
    assert decoder.snapshot.text == "x" * 1000
    assert len(decoder._pieces) < 100


@pytest.mark.parametrize(
    "fault", [{"code": 500, "msg": "broken"}, {"code": "500", "msg": "broken"}]
)
async def test_an_error_in_other_words_ends_what_has_begun(fault):
    sound = {"choices": [{"index": 0, "delta": {"content": "AAEC"}}]}
    text = {"type": "transcript.text.delta", "delta": "ab"}
    for stream in (speaking(frames(sound, fault)), transcribing(frames(text, fault))):
        with pytest.raises(ZaiError, match="broken"):
            async for _ in stream:
                pass


async def test_events_of_a_transcription_may_have_no_field_names():
    events = [{"type": "transcript.text.delta", "delta": text} for text in ("ab", "c")]
    for between in (b"", b"\n"):
        body = between.join(json.dumps(event).encode() for event in events)
        async with in_place("transcription", body, "application/json") as stream:
            assert (await stream.transcription()).text == "abc"


@pytest.mark.parametrize("event", [{"type": "ping"}, {"type": "transcript.text.delta"}])
async def test_a_transcription_that_says_nothing_is_no_transcription(event):
    with pytest.raises(ResponseError):
        await transcribing(frames(event)).transcription()
    # A pause between events is none of the text, and no harm.
    said = {"type": "transcript.text.delta", "delta": "ab"}
    assert (await transcribing(frames(event, said)).transcription()).text == "ab"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "transcript.text.delta", "delta": ""},
        {"type": "transcript.text.done"},
        {"type": "transcript.text.done", "text": ""},
    ],
)
async def test_a_silent_recording_has_an_empty_text(event):
    assert (await transcribing(frames(event)).transcription()).text == ""


@pytest.mark.parametrize(
    "body",
    [
        {"text": "Hi"},
        {"code": 200, "data": {"text": "Hi"}},
        {"data": "Hi"},
        "Hi",
        {"text": "Hi", "language": "en", "segments": [{"text": "Hi"}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("label", ["application/json", "text/event-stream"])
async def test_an_answer_that_was_not_streamed_is_the_transcription(body, label):
    data = json.dumps(body).encode()
    for size in (1, len(data)):
        async with in_place("transcription", data, label, size=size) as stream:
            answer = await stream.transcription()
            assert (answer.text, answer.outcome, stream.outcome) == ("Hi", "completed", "completed")
            assert answer.language == ("en" if "language" in body else "")
        async with in_place("transcription", data, label, size=size) as stream:
            assert [piece async for piece in stream.text] == ["Hi"]


@pytest.mark.parametrize("body", [{"status": "ok"}, {"data": {"a": 1}}, {"segments": []}], ids=str)
async def test_of_a_foreign_object_no_transcription_is_made(body):
    with pytest.raises(ResponseError) as caught:
        await in_place("transcription", json.dumps(body).encode(), "text/plain").transcription()
    assert json.loads(caught.value.body) == body


@pytest.mark.parametrize("kind", [{}, {"type": "transcript.text.delta"}], ids=str)
@pytest.mark.parametrize("texts", [["Hel", "lo"], ["Hel", "Hello"], ["Hello"], ["", "Hello"]])
async def test_pieces_of_a_transcription_may_be_called_text(kind, texts):
    wire = frames(*(kind | {"text": text} for text in texts))
    assert (await transcribing(wire).transcription()).text == "Hello"
    assert "".join([piece async for piece in transcribing(wire).text]) == "Hello"


async def test_a_piece_may_say_the_same_as_the_one_before():
    laughter = [{"type": "transcript.text.delta", "text": "ha"}] * 2
    assert (await transcribing(frames(*laughter)).transcription()).text == "haha"


async def test_segments_say_what_pieces_say():
    segment = {"type": "transcript.text.segment", "text": "Hi", "start": 0, "end": 1}
    whole = frames(heard("delta", delta="Hi"), segment, heard("done", text="Hi"))
    assert (await transcribing(whole).transcription()).text == "Hi"
    with pytest.raises(ResponseError, match="Hi"):
        await transcribing(frames(segment)).transcription()


@pytest.mark.parametrize(
    "start",
    [lambda: speaking(frames(spoken(b""), STOP)), lambda: working(frames(said("")))],
    ids=["speech", "agent"],
)
async def test_a_stream_that_said_nothing_shows_what_came(start):
    stream = start()
    with pytest.raises(EmptyAnswerError) as caught:
        await (stream.read() if isinstance(stream, SpeechStream) else stream.reply())
    assert '"choices"' in caught.value.body


async def test_a_stream_that_said_nothing_but_wrapped_an_error_raises_it():
    wrapped = {"detail": {"error": {"code": "1113", "message": "m"}}}
    with pytest.raises(BillingError):
        await speaking(frames(spoken(b"") | wrapped, STOP)).read()
