"""One judge: no answer with HTTP 200 passes that lacks what its operation is called for."""

import json

import pytest

from tests.test_uploads import wav
from zai_async import AsyncZai, CallOptions, Hooks, RetryPolicy, errors
from zai_async import _operations as ep
from zai_async._wire import parse_reply
from zai_async.models import AgentReply, BinaryReply
from zai_async.providers import LOWCODEAPI
from zai_async.testing import FakeReply, FakeTransport

FOREIGN = (
    {},
    {"status": "ok"},
    {"hello": "world", "id": None},
    {"code": 200, "msg": "success"},
    {"code": 0, "message": "", "result": None},
    {"object": "transcription.chunk", "delta": {"content": "hello"}},
    {"data": {"hello": "world"}},
)
PLAIN = (
    ep.CHAT,
    ep.CHAT_SUBMIT,
    ep.VIDEO_SUBMIT,
    ep.IMAGE_SUBMIT,
    ep.IMAGES,
    ep.TRANSCRIPTION,
    ep.VOICE_CLONE,
    ep.VOICE_LIST,
    ep.VOICE_DELETE,
    ep.TOKENIZER,
    ep.LAYOUT,
    ep.SEARCH,
    ep.READER,
    ep.EMBEDDINGS,
    ep.RERANK,
    ep.MODERATIONS,
    ep.FILE_UPLOAD,
    ep.FILE_LIST,
    ep.FILE_DELETE,
    ep.FILE_PARSER_SUBMIT,
    ep.FILE_PARSER,
    ep.HANDWRITING,
    ep.BATCH_CREATE,
    ep.BATCH_LIST,
    ep.BATCH_RETRIEVE,
    ep.BATCH_CANCEL,
    ep.AGENT,
    ep.AGENT_CONVERSATION,
    ep.MODELS,
    ep.QUOTA,
    ep.AGENT_SUBMIT,
)


def read(operation, body, kind="application/json", **more):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_reply(operation, data, status=200, headers={"Content-Type": kind}, now=0.0, **more)


@pytest.mark.parametrize("operation", PLAIN, ids=[row.name for row in PLAIN[:-1]] + ["agent task"])
def test_a_foreign_object_is_no_answer(operation):
    has_a_status = operation in {ep.AGENT, ep.AGENT_SUBMIT, ep.AGENT_CONVERSATION}
    for foreign in FOREIGN:
        body = {"state": "ok"} if has_a_status and "status" in foreign else foreign
        with pytest.raises((errors.ResponseError, errors.EmptyAnswerError)) as caught:
            read(operation, body)
        assert json.loads(caught.value.body) == body
        assert caught.value.repeat == "never"


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (ep.IMAGES, {"data": []}),
        (ep.IMAGES, {"data": [{}, {"url": ""}]}),
        (ep.IMAGES, {"data": [{"b64_json": "%%%"}, {"b64_json": "data:image/png;base64,"}]}),
        (ep.EMBEDDINGS, {"data": []}),
        (ep.EMBEDDINGS, {"data": [{"index": 0, "embedding": [0.5]}, {"index": 1}]}),
        (ep.MODERATIONS, {"result_list": []}),
        (ep.MODERATIONS, {"result_list": [{"risk_level": "PASS"}, {"content_type": "text"}]}),
        (ep.MODERATIONS, {"result_list": [{"risk_level": "PASS"}, None]}),
        (ep.MODERATIONS, {"result_list": ["PASS", {"risk_level": "PASS", "score": 1}]}),
        (ep.AGENT, {"status": "success", "choices": []}),
        (ep.AGENT, {"choices": [{"messages": [{"content": ""}]}]}),
        (ep.AGENT, {"status": "ok"}),
        (ep.AGENT_CONVERSATION, {"status": "ok"}),
        (ep.AGENT_CONVERSATION, {"choices": []}),
        (ep.CHAT, {"choices": []}),
    ],
)
def test_an_answer_that_holds_nothing_is_empty_unless_that_is_allowed(operation, body):
    with pytest.raises(errors.EmptyAnswerError) as caught:
        read(operation, body)
    assert isinstance(caught.value.partial, operation.result)
    assert json.loads(caught.value.body) == body
    assert caught.value.status_code == 200
    assert read(operation, body, allow={"empty"}).outcome == "empty"


@pytest.mark.parametrize(
    ("operation", "body", "field", "value"),
    [
        (ep.TRANSCRIPTION, {"text": ""}, "text", ""),
        (ep.READER, {"reader_result": {"content": ""}}, "text", ""),
        (ep.SEARCH, {"search_result": []}, "results", []),
        (ep.LAYOUT, {"md_results": ""}, "text", ""),
        (ep.FILE_LIST, {"data": []}, "data", []),
        (ep.RERANK, {"results": []}, "results", []),
        (ep.TOKENIZER, {"usage": {"total_tokens": 0}}, "total_tokens", 0),
        (ep.TOKENIZER, {"usage": {"prompt_tokens": 5}}, "total_tokens", 5),
        (ep.TOKENIZER, {"usage": {"prompt_tokens": 5, "image_tokens": 7}}, "total_tokens", 12),
        (ep.TOKENIZER, {"usage": {"prompt_tokens": 5, "video_tokens": 8}}, "total_tokens", 13),
        (ep.FILE_PARSER, {"status": "succeeded", "content": ""}, "text", ""),
        (ep.HANDWRITING, {"words_result": []}, "lines", []),
        (ep.AGENT, {"async_id": "a", "status": "pending"}, "async_id", "a"),
        (ep.AGENT, {"status": "pending"}, "state", "processing"),
        (ep.FILE_DELETE, {"deleted": False}, "deleted", False),
    ],
)
def test_an_answer_that_says_it_is_empty_is_a_result(operation, body, field, value):
    answer = read(operation, body)
    assert getattr(answer, field) == value
    assert answer.outcome == "completed"


NAMED = [
    ep.CHAT_SUBMIT,
    ep.VIDEO_SUBMIT,
    ep.IMAGE_SUBMIT,
    ep.FILE_UPLOAD,
    ep.FILE_DELETE,
    ep.VOICE_CLONE,
    ep.FILE_PARSER_SUBMIT,
    ep.BATCH_CREATE,
    ep.BATCH_RETRIEVE,
    ep.BATCH_CANCEL,
]


@pytest.mark.parametrize("operation", NAMED, ids=lambda row: row.name)
def test_what_is_asked_for_by_its_name_has_one(operation):
    name = operation.essential[0]
    for foreign in (
        {name: ""},
        {name: "1", "jsonrpc": "2.0", "result": {}},
        {name: "1", "choices": [{"message": {"content": "hi"}}]},
    ):
        if operation is ep.FILE_DELETE and not foreign[name]:
            continue  # that it was not deleted is an answer
        with pytest.raises(errors.ResponseError) as caught:
            read(operation, foreign)
        assert json.loads(caught.value.body) == foreign
    assert getattr(read(operation, {name: "1", "choices": None}), name) == "1"


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (ep.RERANK, {"results": "x"}),
        (ep.SEARCH, {"search_result": 1}),
        (ep.MODELS, {"data": "x"}),
        (ep.HANDWRITING, {"words_result": "x"}),
        (ep.TOKENIZER, {"token_count": "many"}),
        (ep.TOKENIZER, {"data": {"tokens": 4}}),
        (ep.VIDEO_SUBMIT, {"data": {"id": "1", "choices": [1]}}),
        (ep.VIDEO_SUBMIT, {"data": {"id": ""}}),
    ],
)
def test_what_cannot_be_read_is_not_empty(operation, body):
    with pytest.raises(errors.ResponseError) as caught:
        read(operation, body)
    assert json.loads(caught.value.body) == body


@pytest.mark.parametrize(
    "hits",
    [
        [{"relevance_score": 0.9}],
        [{"index": None, "relevance_score": 0.9}],
        [{"index": 0}],
        [{"index": 0, "score": 0.9}],
        [{"index": 0, "relevance_score": "NaN"}],
        [{"index": 0, "relevance_score": 0.9}, None],
        [{"index": 0, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    ],
)
def test_a_ranking_names_each_document_once_and_its_score(hits):
    with pytest.raises(errors.ResponseError, match="no index of its own, or no score") as caught:
        read(ep.RERANK, {"results": hits})
    assert len(caught.value.partial.results) == len(hits)
    hit = {"index": 0, "relevance_score": 0.0}
    assert read(ep.RERANK, {"results": [hit]}).results[0].to_dict() == {**hit, "document": None}


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_work_that_was_submitted_to_an_agent_has_a_name(status):
    with pytest.raises(errors.EmptyAnswerError, match="no task id"):
        read(ep.AGENT_SUBMIT, {"id": "i", "status": status})
    assert read(ep.AGENT_SUBMIT, {"async_id": "a", "status": status}).async_id == "a"


@pytest.mark.parametrize("key", ["data", "result", "output", "response"])
def test_an_answer_is_found_in_an_envelope_at_every_gateway(key):
    assert read(ep.TRANSCRIPTION, {"code": 200, key: {"text": "hello"}}).text == "hello"
    assert read(ep.VIDEO_SUBMIT, {"code": 200, key: {"id": "t"}}).id == "t"
    assert read(ep.VIDEO_SUBMIT, {"jsonrpc": "2.0", "id": 1, key: {"id": "t"}}).id == "t"
    assert read(ep.READER, {key: {"reader_result": {"content": "a"}}}).text == "a"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"WEBVTT\n\n00:01", "text/plain; charset=utf-8"),
        (b"WEBVTT\n\n00:01\n", "text/vtt"),
        (b"WEBVTT\n\n00:01", "application/x-subrip"),
        (b'"WEBVTT\\n\\n00:01"', "application/json"),
        (b'{"data": "WEBVTT\\n\\n00:01"}', "application/json"),
    ],
)
def test_a_transcript_may_be_a_bare_text(body, kind):
    assert read(ep.TRANSCRIPTION, body, kind).text == "WEBVTT\n\n00:01"


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("你好".encode("gbk"), "; charset=gbk"),
        ("你好".encode("utf-16"), '; charset="UTF-16"; a=b'),
        ("\ufeff你好".encode(), ""),
        ("\ufeff你好".encode(), "; charset=utf-8"),
        ("你好".encode(), "; charset=ISO-8859-1"),
        ("你好".encode(), "; charset=unheard-of"),
    ],
)
def test_a_bare_text_is_written_as_its_label_says(body, charset):
    assert read(ep.TRANSCRIPTION, body, f"text/plain{charset}").text == "你好"
    latin = read(ep.TRANSCRIPTION, b"caf\xe9", "text/plain; charset=latin-1")
    assert latin.text == "café"


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=ascii", "; charset=base64"])
def test_a_bare_text_that_is_written_otherwise_is_refused(charset):
    with pytest.raises(errors.ResponseError):
        read(ep.TRANSCRIPTION, "你好".encode("gbk"), f"text/plain{charset}")


def test_a_bare_text_may_be_empty_if_it_says_so():
    assert read(ep.TRANSCRIPTION, b'""').text == ""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "text/plain"),
        (b'{"text": "he', "text/plain"),
        (b"<html>hello</html>", "text/plain"),
        (b"hello", "text/html"),
        (b"hello", "application/json"),
        (b"[]", "text/plain"),
    ],
)
def test_half_an_object_and_a_page_are_no_transcript(body, kind):
    with pytest.raises(errors.ResponseError) as caught:
        read(ep.TRANSCRIPTION, body, kind)
    assert caught.value.body == body.decode()


def test_a_bare_text_is_no_answer_of_other_operations():
    with pytest.raises(errors.ResponseError, match="not an API answer"):
        read(ep.TOKENIZER, b"hello", "text/plain")


@pytest.mark.parametrize("operation", [ep.FILE_PARSER, ep.HANDWRITING])
def test_a_document_that_could_not_be_read_is_an_error(operation):
    body = {"task_id": "t", "status": "failed", "message": "encrypted"}
    with pytest.raises(errors.GenerationFailedError, match="encrypted") as caught:
        read(operation, body)
    assert caught.value.partial.status == "failed"
    assert read(operation, body, allow={"network_error"}).status == "failed"
    with pytest.raises(errors.GenerationFailedError, match="its status is 'FAIL'"):
        read(operation, {"status": "FAIL"})


def test_a_foreign_answer_names_operation_and_request():
    with pytest.raises(errors.ResponseError) as caught:
        read(ep.EMBEDDINGS, {"request_id": "r-1", "vectors": [[0.5]]})
    assert caught.value.request_id == "r-1"
    assert "not an answer of embeddings.create, which has data" in str(caught.value)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "hi"},
        {"type": "image_url", "image_url": "https://x.example/a.png"},
        {"type": "object", "object": {"tool_name": "insert_page"}},
    ],
)
def test_an_agent_may_say_it_in_any_form(part):
    body = {"choices": [{"messages": [{"content": [part]}]}]}
    assert isinstance(read(ep.AGENT, body), AgentReply)


SOUND = b"RIFF\x24\x00\x00\x00WAVE"
SPEAK = {"model": "glm-tts", "input": "hello"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"status": "ok"}', "application/json"),
        (b'{"status": "ok"}', "audio/wav"),
        (b"[1, 2]", "application/octet-stream"),
        (b"<!DOCTYPE html><p>login", "audio/wav"),
        (b"<HTML>login", "application/octet-stream"),
        (SOUND, "text/html"),
        (b"data: {}\n\n", "text/event-stream"),
        (b"busy", "text/plain"),
        (b'data: {"choices": []}\n\n', "application/octet-stream"),
        (b"event: error\ndata: {}\n\n", "audio/wav"),
        (b": ping\n\ndata: {}\n\n", "audio/wav"),
        (b": ping\n\n: ping", "audio/wav"),
        (b"id: 1\r\nretry: 5\r\ndata: {}\r\n\r\n", "audio/wav"),
        (b"\xef\xbb\xbfdata: {}\n\n", "audio/wav"),
        (b'\xef\xbb\xbf{"status": "ok"}', "audio/wav"),
    ],
)
async def test_sound_that_is_a_page_or_an_object_is_no_sound(body, kind):
    zai = AsyncZai(
        api_key="k.s",
        retry=RetryPolicy(retries=0),
        transport=FakeTransport(FakeReply(headers={"Content-Type": kind}, steps=(body,))),
    )
    async with zai:
        with pytest.raises(errors.ResponseError, match="not sound") as caught:
            await zai.audio.speech.create(**SPEAK)
    assert caught.value.body == body.decode("utf-8", "replace")
    assert caught.value.status_code == 200
    assert isinstance(caught.value.partial, BinaryReply)
    assert len(caught.value.attempts) == 1


@pytest.mark.parametrize(
    "sound", [SOUND, b"{\x00\x01", b"[" * 100_000, b"{\xff\xfe", b"<\x00", b":\n\x00"]
)
async def test_samples_may_begin_like_text(sound):
    zai = AsyncZai(
        api_key="k.s",
        transport=FakeTransport(FakeReply(headers={"Content-Type": "audio/wav"}, steps=(sound,))),
    )
    async with zai:
        assert (await zai.audio.speech.create(**SPEAK)).content == sound


async def test_silence_in_place_of_sound_is_empty():
    silent = FakeReply(headers={"Content-Type": "audio/wav"}, steps=(b"",))
    zai = AsyncZai(api_key="k.s", transport=FakeTransport(silent, silent))
    async with zai:
        with pytest.raises(errors.EmptyAnswerError, match="no sound"):
            await zai.audio.speech.create(**SPEAK)
        allowed = await zai.audio.speech.create(**SPEAK, options=CallOptions(allow={"empty"}))
    assert allowed.content == b""


async def test_what_was_judged_a_failure_is_one_for_the_ledger_and_the_hooks():
    ends = []
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"finish_reason": "network_error", "message": {"content": "hal"}}
    body = {"id": "a1", "choices": [choice], "usage": usage}
    zai = AsyncZai(
        api_key="k.s",
        transport=FakeTransport(FakeReply.json(body)),
        hooks=Hooks(on_finish=ends.append),
    )
    async with zai:
        with pytest.raises(errors.GenerationFailedError) as caught:
            await zai.chat.completions.create(model="m", messages="x")
        assert zai.usage.total.tokens == 5
    assert [end.end for end in ends] == ["failed"]
    assert ends[0].error is caught.value
    assert [attempt.error for attempt in caught.value.attempts] == ["GenerationFailedError"]


@pytest.mark.parametrize("allow", [{"empty"}, {"length"}])
async def test_an_answer_of_reasoning_alone_has_one_outcome_everywhere(allow):
    message = {"role": "assistant", "content": "", "reasoning_content": "hm"}
    body = {"id": "a1", "choices": [{"finish_reason": "length", "message": message}]}
    transport = FakeTransport(FakeReply.json(body), FakeReply.json(body))
    async with AsyncZai(api_key="k.s", transport=transport) as zai:
        with pytest.raises(errors.EmptyAnswerError) as caught:
            await zai.chat.completions.create(model="m", messages="x")
        assert caught.value.outcome == caught.value.partial.outcome == "empty"
        options = CallOptions(allow=allow)
        answer = await zai.chat.completions.create(model="m", messages="x", options=options)
    assert answer.outcome == "empty"


@pytest.mark.parametrize("body", [{"segments": [{"text": "a"}]}, {"text": None}, {"status": "ok"}])
async def test_a_recording_is_never_transcribed_as_nothing(body):
    async with AsyncZai(api_key="k.s", transport=FakeTransport(FakeReply.json(body))) as zai:
        with pytest.raises(errors.ResponseError, match="has text"):
            await zai.audio.transcriptions.create(model="glm-asr-2512", file=("a.wav", wav(0.2)))


def test_a_transcript_in_the_envelope_of_a_gateway_may_be_a_bare_text():
    for key in ("data", "result"):
        answer = read(ep.TRANSCRIPTION, {key: "WEBVTT\n\nhi"}, provider=LOWCODEAPI)
        assert answer.text == "WEBVTT\n\nhi"


async def test_a_key_in_place_of_sound_is_masked():
    key = "0123456789abcdef.CanaryCanary"
    page = FakeReply(headers={"Content-Type": "text/html"}, steps=(f"<p>{key}".encode(),))
    async with AsyncZai(api_key=key, transport=FakeTransport(page)) as zai:
        with pytest.raises(errors.ResponseError) as caught:
            await zai.audio.speech.create(**SPEAK)
    assert "Canary" not in caught.value.body
