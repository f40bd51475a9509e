"""Answers that come as events although nobody asked for a stream: they are paid, and used."""

import msgspec
import pytest

from tests.calls import ASK, FakeClock, ask, client, scripted
from tests.chat_wire import GOOD, body, last, texts, thoughts, tool
from zai_async import (
    APIError,
    CallOptions,
    ConnectionLostError,
    Hooks,
    IncompleteError,
    RateLimitError,
    ResponseError,
    RetryPolicy,
    StreamTruncatedError,
)
from zai_async.testing import FakeReply, FakeTransport

WORDS = body([*thoughts("Hm."), *texts("pa", "id"), last()])
TYPES = ["text/event-stream", "application/json", "text/plain", "application/octet-stream"]


def labelled(kind, *steps):
    return FakeReply(headers={"Content-Type": kind, "X-Log-Id": "log-1"}, steps=steps)


@pytest.mark.parametrize("kind", TYPES)
async def test_the_answer_reaches_the_caller(kind):
    zai, transport = scripted(labelled(kind, WORDS))
    async with zai:
        answer = await ask(zai, options=CallOptions(keep_raw=True))
    assert (answer.text, answer.thinking, answer.outcome) == ("paid", "Hm.", "completed")
    assert answer.request_id
    assert answer.raw == WORDS
    assert len(transport.requests) == len(answer.attempts) == 1
    assert zai.usage.total.tokens == answer.usage.total_tokens > 0


@pytest.mark.parametrize(
    "around",
    [
        lambda data: b": still working\n\n" * 1000 + data,
        lambda data: b"\xef\xbb\xbf\n\n" + data,
        lambda data: b"event: message\nid: 7\nretry: 10\n" + data,
        lambda data: b"id: 7\ndata:\n\n" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"data: ", b"data:"),
        lambda data: data.removesuffix(b"data: [DONE]\n\n"),
    ],
    ids=["comments", "mark", "fields", "empty", "crlf", "no space", "no end mark"],
)
async def test_events_are_known_by_what_they_are(around):
    zai, _ = scripted(labelled("application/json", around(WORDS)))
    async with zai:
        assert (await ask(zai)).text == "paid"


async def test_a_single_event_is_known_although_no_line_ends_it():
    event = body([last()], done=False).rstrip()
    zai, _ = scripted(labelled("application/json", event))
    async with zai:
        answer = await ask(zai, options=CallOptions(allow={"empty", "truncated"}))
    assert (answer.text, answer.finish_reason) == ("", "stop")


@pytest.mark.parametrize("before", [b"x", b"x" * 9])
async def test_what_stands_amid_a_line_is_no_event(before):
    zai, _ = scripted(labelled("application/json", before + body([last()], done=False)))
    async with zai:
        with pytest.raises(ResponseError):
            await ask(zai, options=CallOptions(retries=0))


async def test_a_single_event_is_known_although_other_fields_come_before_it():
    zai, _ = scripted(
        labelled("application/json", b"event: message\n" + body([last()], done=False))
    )
    async with zai:
        answer = await ask(zai, options=CallOptions(allow={"empty", "truncated"}))
    assert (answer.text, answer.finish_reason) == ("", "stop")


async def test_events_that_come_in_pieces():
    pieces = [WORDS[at : at + 7] for at in range(0, len(WORDS), 7)]
    zai, _ = scripted(labelled("text/event-stream", *pieces))
    async with zai:
        assert (await ask(zai)).text == "paid"


async def test_tool_calls_are_put_together():
    events = [tool('{"a":', id="c1", name="add"), tool("1}"), last("tool_calls")]
    zai, _ = scripted(labelled("text/event-stream", body(events)))
    async with zai:
        answer = await ask(zai)
    assert answer.outcome == "tool_calls"
    assert answer.message.tool_calls[0].function.arguments == '{"a":1}'


async def test_an_error_in_an_event_is_one():
    busy = FakeReply.sse({"error": {"code": "1302", "message": "slow down"}}, done=False)
    zai, transport = scripted(busy, labelled("text/event-stream", WORDS))
    async with zai:
        answer = await ask(zai)
    assert [attempt.error for attempt in answer.attempts] == ["RateLimitError", None]
    assert len(transport.requests) == 2


async def test_what_is_cut_is_kept():
    ends = []
    cut = labelled("text/event-stream", body(texts("pa"), done=False))
    once = {"retry": RetryPolicy(retries=0), "hooks": Hooks(on_finish=ends.append)}
    zai, _ = scripted(cut, **once)
    async with zai:
        with pytest.raises(StreamTruncatedError) as caught:
            await ask(zai)
        allowed = await ask(zai, options=CallOptions(allow={"truncated"}))
    assert caught.value.partial.text == allowed.text == "pa"
    assert allowed.outcome == "truncated"
    assert [end.end for end in ends] == ["failed", "completed"]


async def test_a_refusal_is_read_by_its_status():
    page = msgspec.structs.replace(FakeReply.sse({"error": {"code": "1302"}}), status=429)
    zai, _ = scripted(page, retry=RetryPolicy(retries=0))
    async with zai:
        with pytest.raises(RateLimitError):
            await ask(zai)


@pytest.mark.parametrize(("finish", "outcome"), [("stop", "completed"), (None, "truncated")])
async def test_an_agent_that_streams_in_any_case(finish, outcome):
    content = {"type": "text", "text": "Bonjour"}
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "finish_reason": finish, "messages": [message]}]
    event = {"id": "a-1", "agent_id": "general_translation", "choices": choices}
    transport = FakeTransport(FakeReply.sse(event, done=finish is not None))
    asked = {"agent_id": "general_translation", "messages": ASK["messages"]}
    async with client(transport=transport, clock=FakeClock()) as zai:
        reply = await zai.agents.invoke(**asked, options=CallOptions(allow={"truncated"}))
    assert "Bonjour" in str(reply.to_dict())
    assert reply.outcome == outcome


async def test_a_transcription_that_streams_in_any_case():
    events = [
        {"id": "t-1", "type": "transcript.text.delta", "delta": "Good "},
        {"id": "t-1", "type": "transcript.text.delta", "delta": "day"},
        {"id": "t-1", "type": "transcript.text.done", "text": "Good day"},
    ]
    transport = FakeTransport(FakeReply.sse(*events))
    sound = ("a.wav", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100))
    async with client(transport=transport, clock=FakeClock()) as zai:
        answer = await zai.audio.transcriptions.create(model="glm-asr-2512", file=sound)
    assert answer.text == "Good day"


async def test_where_no_stream_is_known_events_are_foreign():
    zai, _ = scripted(FakeReply.sse({"data": []}))
    async with zai:
        with pytest.raises(ResponseError):
            await zai.embeddings.create(model="embedding-3", input="Hi")


@pytest.mark.parametrize(
    "text", [b"data is everything", b"data: 1, 2", b"\n\nid: 7", b"<p>data: {</p>", b"?data: {}"]
)
async def test_what_only_resembles_events_is_no_answer(text):
    zai, _ = scripted(labelled("text/plain", text))
    async with zai:
        with pytest.raises(ResponseError) as caught:
            await ask(zai)
    assert not isinstance(caught.value, IncompleteError)


@pytest.mark.parametrize("status", [400, 502])
async def test_events_under_the_status_of_a_failure_are_no_answer(status):
    reply = FakeReply(status=status, steps=(WORDS,))
    zai, _ = scripted(reply)
    async with zai:
        with pytest.raises(APIError) as caught:
            await ask(zai, options=CallOptions(retries=0))
    assert caught.value.status_code == status


async def test_a_connection_that_breaks_between_two_events_is_tried_again():
    broken = labelled("text/event-stream", GOOD[:200], ConnectionLostError("gone"))
    zai, _ = scripted(broken, labelled("text/event-stream", WORDS))
    async with zai:
        assert len((await ask(zai)).attempts) == 2
