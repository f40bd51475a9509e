"""Every operation that is one request and one answer: what is sent, and what comes back."""

from typing import Any, NamedTuple

import pytest

from tests.calls import KEY, give_up_a_read
from zai_async import AsyncZai, AuthenticationError, BillingError, ResponseError, RetryPolicy
from zai_async import _operations as ep
from zai_async._wire import Operation
from zai_async.resources import Resources
from zai_async.testing import FakeReply, FakeTransport

ROOT = "https://api.z.ai/api"
MESSAGES = [{"role": "user", "content": "Hi"}]
AGENT_MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]


class Case(NamedTuple):
    """What a call must become, and what its answer must hold."""

    name: str
    params: dict[str, Any]
    sent: str
    body: Any
    answer: dict[str, Any]
    found: tuple[str, Any]


def post(name, path, params, answer, found, *, body=None):
    sent = f"POST {ROOT}/{path}"
    return Case(name, params, sent, params if body is None else body, answer, found)


def get(name, path, params, answer, found, *, method="GET"):
    return Case(name, params, f"{method} {ROOT}/{path}", None, answer, found)


CASES = [
    post(
        "images.generate",
        "paas/v4/images/generations",
        {"model": "glm-image", "prompt": "A lighthouse", "size": "1280x1280"},
        {"data": [{"url": "https://cdn.example/1.png"}]},
        ("url", "https://cdn.example/1.png"),
    ),
    post(
        "tokenizer.count",
        "paas/v4/tokenizer",
        {"model": "glm-4.6", "messages": "Hi"},
        {"usage": {"total_tokens": 4}},
        ("total_tokens", 4),
        body={"model": "glm-4.6", "messages": MESSAGES},
    ),
    post(
        "layout_parsing.parse",
        "paas/v4/layout_parsing",
        {"model": "glm-ocr", "file": "https://example.org/a.pdf", "start_page_id": 2},
        {"md_results": "# A"},
        ("text", "# A"),
    ),
    post(
        "web_search.create",
        "paas/v4/web_search",
        {"search_engine": "search-prime", "search_query": "q", "count": 3},
        {"search_result": []},
        ("results", []),
    ),
    post(
        "reader.read",
        "paas/v4/reader",
        {"url": "https://example.org", "timeout": 5, "no_cache": True},
        {"reader_result": {"content": "Text"}},
        ("text", "Text"),
    ),
    post(
        "embeddings.create",
        "paas/v4/embeddings",
        {"model": "embedding-3", "input": ["a"], "dimensions": 256},
        {"data": [{"index": 0, "embedding": [0.5]}]},
        ("vectors", [[0.5]]),
    ),
    post(
        "rerank.create",
        "paas/v4/rerank",
        {"model": "rerank", "query": "q", "documents": ["a"]},
        {"results": []},
        ("results", []),
    ),
    post(
        "moderations.create",
        "paas/v4/moderations",
        {"model": "moderation", "input": {"type": "text", "text": "x"}},
        {"result_list": [{"risk_level": "REJECT"}]},
        ("flagged", True),
    ),
    post(
        "voices.clone",
        "paas/v4/voice/clone",
        {"model": "glm-tts-clone", "voice_name": "me", "input": "Hello", "file_id": "f-1"},
        {"voice": "v-1"},
        ("voice", "v-1"),
    ),
    get(
        "voices.list",
        "paas/v4/voice/list?voiceName=me&voiceType=PRIVATE",
        {"voice_name": "me", "voice_type": "PRIVATE"},
        {"voice_list": []},
        ("voice_list", []),
    ),
    post(
        "voices.delete",
        "paas/v4/voice/delete",
        {"voice": "v-1"},
        {"voice": "v-1", "update_time": "2026-11-20 10:00:00"},
        ("update_time", "2026-11-20 10:00:00"),
    ),
    get(
        "files.list",
        "paas/v4/files?purpose=batch&limit=5",
        {"purpose": "batch", "limit": 5},
        {"data": []},
        ("has_more", False),
    ),
    get(
        "files.delete",
        "paas/v4/files/f%2F1",
        {"file_id": "f/1"},
        {"id": "f/1", "deleted": True},
        ("deleted", True),
        method="DELETE",
    ),
    post(
        "batches.create",
        "paas/v4/batches",
        {"input_file_id": "f-1", "endpoint": "/v4/chat/completions", "metadata": {"job": "x"}},
        {"id": "b-1", "status": "validating"},
        ("state", "processing"),
    ),
    get(
        "batches.retrieve",
        "paas/v4/batches/b-1",
        {"batch_id": "b-1"},
        {"id": "b-1", "status": "completed"},
        ("state", "succeeded"),
    ),
    get("batches.list", "paas/v4/batches?limit=1", {"limit": 1}, {"data": []}, ("data", [])),
    post(
        "batches.cancel",
        "paas/v4/batches/b-1/cancel",
        {"batch_id": "b-1"},
        {"id": "b-1", "status": "cancelling"},
        ("status", "cancelling"),
        body={},
    ),
    post(
        "agents.invoke",
        "v1/agents",
        {
            "agent_id": "general_translation",
            "messages": AGENT_MESSAGES,
            "custom_variables": {"target_lang": "de"},
        },
        {"status": "success", "choices": [{"messages": [{"content": "Hallo"}]}]},
        ("text", "Hallo"),
    ),
    post(
        "agents.conversation",
        "v1/agents/conversation",
        {"agent_id": "slides_glm_agent", "conversation_id": "c-1"},
        {"conversation_id": "c-1", "choices": []},
        ("conversation_id", "c-1"),
    ),
    get("models.list", "paas/v4/models", {}, {"object": "list", "data": []}, ("data", [])),
    get(
        "quota",
        "monitor/usage/quota/limit",
        {},
        {"code": 200, "msg": "ok", "success": True, "data": {"level": "pro"}},
        ("level", "pro"),
    ),
]


def client(transport, **settings):
    settings = {"retry": RetryPolicy(retries=0)} | settings
    return AsyncZai(api_key=KEY, base_url=ROOT, transport=transport, **settings)


def method_of(zai, name):
    for part in name.split("."):
        zai = getattr(zai, part)
    return zai


@pytest.mark.parametrize("operation", CASES, ids=lambda operation: operation.name)
async def test_an_operation_sends_its_request_and_reads_its_answer(operation):
    transport = FakeTransport(FakeReply.json(operation.answer, X_Log_Id="log-1"))
    async with client(transport) as zai:
        answer = await method_of(zai, operation.name)(**operation.params)
    (request,) = transport.requests
    assert f"{request.method} {request.url}" == operation.sent
    assert transport.bodies == [operation.body]
    assert ("Content-Type" in request.headers) == (request.method == "POST")
    attribute, value = operation.found
    assert getattr(answer, attribute) == value
    assert (answer.request_id, len(answer.attempts)) == ("log-1", 1)


@pytest.mark.parametrize("operation", CASES, ids=lambda operation: operation.name)
async def test_a_refusal_is_raised_and_names_the_operation(operation):
    refusal = FakeReply.json({"error": {"code": "1113", "message": "no balance"}}, status=429)
    async with client(FakeTransport(refusal)) as zai:
        with pytest.raises(BillingError) as caught:
            await method_of(zai, operation.name)(**operation.params)
    assert caught.value.operation == operation.name


@pytest.mark.parametrize("operation", CASES, ids=lambda operation: operation.name)
async def test_what_is_no_keyword_is_not_sent(operation):
    transport = FakeTransport(FakeReply.json({}))
    async with client(transport) as zai:
        with pytest.raises(TypeError, match="unexpected keyword: colour"):
            await method_of(zai, operation.name)(**operation.params, colour="blue")
    assert transport.requests == []


def is_simple(row):
    """Tell whether an operation is one JSON request and one JSON answer, and no part of a task."""
    plain = row.upload is None and not row.stream and row.result is not bytes
    return plain and not row.name.endswith((".submit", ".result")) and row is not ep.CHAT


def test_every_simple_operation_is_tried_above():
    rows = [row for row in vars(ep).values() if isinstance(row, Operation)]
    assert {row.name for row in rows if is_simple(row)} == {each.name for each in CASES}


async def test_a_client_has_every_group_and_so_has_a_derived_one():
    async with client(FakeTransport(FakeReply.json({}))) as zai:
        derived = zai.with_options(timeout=5)
        for name, kind in Resources.__annotations__.items():
            assert isinstance(getattr(zai, name), kind)
            assert getattr(derived, name) is not getattr(zai, name)


async def test_a_failed_agent_is_an_error_although_the_status_is_200():
    failed = {
        "id": "1",
        "agent_id": "general_translation",
        "status": "failed",
        "error": {"code": "1113", "message": "Your account balance is insufficient."},
    }
    async with client(FakeTransport(FakeReply.json(failed))) as zai:
        with pytest.raises(BillingError, match="insufficient"):
            await zai.agents.invoke(agent_id="general_translation", messages=AGENT_MESSAGES)


async def test_a_refused_quota_is_an_error_although_the_status_is_200():
    refused = {"code": 401, "msg": "token expired or incorrect", "success": False}
    async with client(FakeTransport(FakeReply.json(refused))) as zai:
        with pytest.raises(AuthenticationError, match="expired"):
            await zai.quota()


async def test_voices_are_read_without_a_content_type():
    reply = FakeReply(steps=(b'{"voice_list":[{"voice":"tongtong"}]}',))
    async with client(FakeTransport(reply)) as zai:
        found = await zai.voices.list()
    assert [voice.voice for voice in found.voice_list] == ["tongtong"]


async def test_a_ranking_names_no_document_beyond_those_that_were_given():
    hits = [{"index": 1, "relevance_score": 0.9}, {"index": 2, "relevance_score": 0.1}]
    async with client(FakeTransport(FakeReply.json({"results": hits}))) as zai:
        with pytest.raises(ResponseError, match="beyond the 2 that were given") as caught:
            await zai.rerank.create(model="rerank", query="q", documents=["a", "b"])
    assert len(caught.value.partial.results) == 2


# --- lists that come in pages ---------------------------------------------------------------


def page(*ids, more=False):
    data = [{"id": each} for each in ids]
    return FakeReply.json({"object": "list", "data": data, "has_more": more})


async def test_one_page_is_awaited_and_all_items_are_iterated():
    script = [page("a", "b", more=True), page("a", "b", more=True), page("c")]
    transport = FakeTransport(*script)
    async with client(transport) as zai:
        listing = zai.batches.list(limit=2)
        first = await listing
        ids = [batch.id async for batch in listing]
    assert ([batch.id for batch in first.data], first.next_after) == (["a", "b"], "b")
    assert ids == ["a", "b", "c"]
    assert [request.url.partition("?")[2] for request in transport.requests] == [
        "limit=2",
        "limit=2",
        "limit=2&after=b",
    ]


async def test_nothing_is_sent_before_a_list_is_read():
    transport = FakeTransport(page())
    async with client(transport) as zai:
        listing = zai.files.list(purpose="batch")
        assert transport.requests == []
        assert [file.id async for file in listing] == []
    assert len(transport.requests) == 1


async def test_the_same_page_again_ends_the_list():
    transport = FakeTransport(page("a", more=True))
    async with client(transport) as zai:
        ids = [file.id async for file in zai.files.list(purpose="batch")]
    assert ids == ["a", "a"]
    assert len(transport.requests) == 2


async def test_a_list_can_begin_later_and_be_left_early():
    transport = FakeTransport(page("b", "c", more=True))
    async with client(transport) as zai:
        async for batch in zai.batches.list(after="a"):
            assert batch.id == "b"
            break
    (request,) = transport.requests
    assert request.url.endswith("?after=a")


async def test_a_read_that_is_given_up_does_not_end_a_list():
    transport = FakeTransport(page("a", more=True), page("b"))
    async with client(transport) as zai:
        files = aiter(zai.files.list(purpose="batch"))
        await give_up_a_read(files)
        assert (await anext(files)).id == "a"
        await give_up_a_read(files)
        assert [file.id async for file in files] == ["b"]
    assert len(transport.requests) == 2


async def test_models_are_iterated():
    async with client(FakeTransport(page("glm-5.3"))) as zai:
        assert [model.id async for model in zai.models.list()] == ["glm-5.3"]
