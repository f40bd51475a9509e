"""Every operation at every gateway: where it goes, what it says there, and what comes back."""

import inspect
import io
import json
import logging
import os
import re
import traceback
import wave
from pathlib import Path
from typing import get_type_hints
from urllib.parse import urlsplit

import pytest

from tests.calls import ASK, COMPLETION, KEY, ONCE, PROMPT
from zai_async import (
    LOWCODEAPI,
    AsyncZai,
    CallOptions,
    Hooks,
    Provider,
    errors,
    truto,
)
from zai_async import _operations as ep
from zai_async._wire import Operation, open_envelope
from zai_async.models.tolerant import decode
from zai_async.providers import PROVIDERS, ZAI
from zai_async.resources import Resources
from zai_async.testing import FakeReply, FakeTransport

ROOT = Path(__file__).parent.parent
TOKEN = "at_canary0123456789"
PROVIDER_KEYS = {"lowcodeapi": TOKEN, "lowcodeapi-coding": TOKEN}
OPERATIONS = {row.name: row for row in vars(ep).values() if isinstance(row, Operation)}


def second_of_silence():
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    return file.getvalue()


AGENT = {"agent_id": "slides_glm_agent"}
TASK = {"id": "t1", "model": "m", "task_status": "PROCESSING"}

# A row of the table of operations, the keywords of a call, and an answer of the platform.
CALLS = {
    "chat": (ep.CHAT, ASK, COMPLETION),
    "video": (ep.VIDEO_SUBMIT, {"model": "cogvideox-3", "prompt": "sea"}, TASK),
    "result": (
        ep.VIDEO_RESULT,
        {"id": "t/1"},
        {"task_status": "SUCCESS", "video_result": [{"url": "https://cdn.example/v.mp4"}]},
    ),
    "image": (
        ep.IMAGES,
        {"model": "glm-image", "prompt": "sea", "size": "1280x1280", "extra": {"n": 2}},
        {"created": 1, "data": [{"url": "https://cdn.example/i.png"}]},
    ),
    "image task": (ep.IMAGE_SUBMIT, {"model": "glm-image", "prompt": "sea"}, TASK),
    "transcription": (
        ep.TRANSCRIPTION,
        {"model": "glm-asr-2512", "file": second_of_silence()},
        {"id": "1", "text": "hello"},
    ),
    "tokenizer": (
        ep.TOKENIZER,
        {"model": "glm-4.6", "messages": "Hello"},
        {"id": "1", "usage": {"prompt_tokens": 3, "total_tokens": 3}},
    ),
    "layout": (
        ep.LAYOUT,
        {"model": "glm-ocr", "file": "https://cdn.example/a.pdf"},
        {"id": "1", "md_results": "# Title"},
    ),
    "search": (
        ep.SEARCH,
        {"search_engine": "search-prime", "search_query": "sea", "count": 5},
        {"id": "1", "search_result": [{"title": "The sea"}]},
    ),
    "reader": (
        ep.READER,
        {"url": "https://site.example"},
        {"id": "1", "reader_result": {"content": "text"}},
    ),
    "file": (
        ep.FILE_UPLOAD,
        {"file": ("a.txt", b"text"), "purpose": "agent"},
        {"id": "f1", "object": "file", "bytes": 4, "filename": "a.txt"},
    ),
    "agent": (
        ep.AGENT,
        AGENT | {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        AGENT | {"id": "1", "status": "success", "choices": [{"messages": [{"content": "Hi"}]}]},
    ),
    "agent result": (
        ep.AGENT_RESULT,
        AGENT | {"async_id": "a1"},
        AGENT | {"async_id": "a1", "status": "success", "choices": []},
    ),
    "agent conversation": (
        ep.AGENT_CONVERSATION,
        AGENT | {"conversation_id": "c1"},
        AGENT | {"conversation_id": "c1", "choices": []},
    ),
}

ZAI_PATHS = {
    "chat": "POST /paas/v4/chat/completions",
    "video": "POST /paas/v4/videos/generations",
    "result": "GET /paas/v4/async-result/t%2F1",
    "image": "POST /paas/v4/images/generations",
    "image task": "POST /paas/v4/async/images/generations",
    "transcription": "POST /paas/v4/audio/transcriptions",
    "tokenizer": "POST /paas/v4/tokenizer",
    "layout": "POST /paas/v4/layout_parsing",
    "search": "POST /paas/v4/web_search",
    "reader": "POST /paas/v4/reader",
    "file": "POST /paas/v4/files",
    "agent": "POST /v1/agents",
    "agent result": "POST /v1/agents/async-result",
    "agent conversation": "POST /v1/agents/conversation",
}
LOWCODEAPI_PATHS = {
    "chat": "POST /api/paas/v4/chat/completions",
    "video": "POST /api/paas/v4/videos/generations",
    "result": "GET /api/paas/v4/async-result/id?id=t%2F1",
    "image": "POST /api/paas/v4/generate/image",
    "transcription": "POST /api/paas/v4/audio/transcriptions",
    "tokenizer": "POST /paas/v4/tokenizer",
    "search": "POST /paas/v4/web_search",
    "reader": "POST /paas/v4/reader",
    "file": "POST /api/paas/v4/files",
    "agent": "POST /v1/agents",
    "agent result": "POST /api/v1/agents/async-result",
    "agent conversation": "POST /api/v1/agents/conversation",
}
RESOURCES = {
    "chat": "chat_completions",
    "video": "videos_generations",
    "result": "paas_async_results/{id}",
    "image": "images_generations",
    "image task": "async_images_generations",
    "transcription": "audio_transcriptions",
    "tokenizer": "paas_tokenizers",
    "layout": "paas_layout_parsings",
    "search": "paas_web_searches",
    "reader": "paas_readers",
    "file": "paas_files",
    "agent": "agents",
    "agent result": "agents_async_results",
    "agent conversation": "agents_conversations",
}


def placed(prefix, paths):
    return {call: path.replace(" /", f" {prefix}/", 1) for call, path in paths.items()}


def coded(root):
    return {"chat": f"POST {root}/coding/paas/v4/chat/completions"}


def at_truto(form, path):
    method, _, rest = path.partition(" ")
    return f"{method} https://api.truto.one/{form}{rest}?integrated_account_id=acc-1"


def proxied(call):
    resource = RESOURCES[call].replace("{id}", "t%2F1")
    return at_truto("proxy", f"{ZAI_PATHS[call].partition(' ')[0]} /{resource}")


LOWCODEAPI_ROOT = "https://api.lowcodeapi.com/zai"
TRUTO = truto("acc-1")
TRUTO_PROXY = truto(
    "acc-1", resources={CALLS[call][0].name: resource for call, resource in RESOURCES.items()}
)
GATEWAYS = {
    "zai": ("zai", placed("https://api.z.ai/api", ZAI_PATHS)),
    "zai-coding": ("zai-coding", coded("https://api.z.ai/api")),
    "bigmodel": ("bigmodel", placed("https://open.bigmodel.cn/api", ZAI_PATHS)),
    "bigmodel-coding": ("bigmodel-coding", coded("https://open.bigmodel.cn/api")),
    "lowcodeapi": ("lowcodeapi", placed(LOWCODEAPI_ROOT, LOWCODEAPI_PATHS)),
    "lowcodeapi-coding": ("lowcodeapi-coding", coded(f"{LOWCODEAPI_ROOT}/api")),
    "truto custom": (TRUTO, {call: at_truto("custom", path) for call, path in ZAI_PATHS.items()}),
    "truto proxy": (TRUTO_PROXY, {call: proxied(call) for call in ZAI_PATHS}),
}
CELLS = [(gateway, call) for gateway in GATEWAYS for call in CALLS]


def client(provider, *script, **changes):
    key = PROVIDER_KEYS.get(getattr(provider, "name", provider), KEY)
    transport = FakeTransport(*script)
    settings = {"api_key": key, "retry": ONCE, "provider": provider, "transport": transport}
    return AsyncZai(**settings | changes), transport


async def make(call, provider, *script, **changes):
    """Make a call of the table; return its answer and the requests."""
    operation, params, answer = CALLS[call]
    zai, transport = client(provider, *(script or [FakeReply.json(answer)]), **changes)
    async with zai:
        return await zai._manager.call(operation, params), transport.requests


# Where it goes.


@pytest.mark.parametrize(("gateway", "call"), CELLS)
async def test_an_operation_goes_where_the_gateway_has_it(gateway, call):
    provider, addresses = GATEWAYS[gateway]
    if call not in addresses:
        with pytest.raises(errors.ConfigurationError, match=r"has no operation") as caught:
            await make(call, provider)
        assert CALLS[call][0].name in str(caught.value)
        assert provider in str(caught.value)
        return
    _, (request,) = await make(call, provider)
    assert f"{request.method} {request.url}" == addresses[call]


async def test_nothing_is_sent_to_a_gateway_that_lacks_the_operation():
    zai, transport = client("lowcodeapi", FakeReply.json({}))
    async with zai:
        with pytest.raises(errors.ConfigurationError, match=r"'lowcodeapi' .* layout_parsing\.par"):
            await zai.layout_parsing.parse(model="glm-ocr", file="https://cdn.example/a.pdf")
        with pytest.raises(errors.ConfigurationError, match="id must be an id"):
            await zai._manager.call(ep.VIDEO_RESULT, {"id": ".."})
    assert transport.requests == []


async def test_what_has_no_family_goes_through_truto_as_well():
    zai, transport = client(TRUTO, FakeReply.json({"data": {"level": "pro"}}))
    async with zai:
        await zai.quota()
    assert transport.requests[0].url.startswith("https://api.truto.one/custom/monitor/usage/")


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8/x", "https://api.lowcodeapi.com/"])
async def test_aliases_hang_below_another_base_url(base_url):
    _, (request,) = await make("chat", "lowcodeapi", base_url=base_url)
    assert request.url == f"{base_url.rstrip('/')}/api/paas/v4/chat/completions"
    _, (request,) = await make("agent", TRUTO, base_url=base_url)
    assert request.url.startswith(f"{base_url.rstrip('/')}/custom/v1/agents?")


def test_a_gateway_names_operations_and_keywords_that_exist():
    for provider in (*PROVIDERS.values(), TRUTO, TRUTO_PROXY):
        named = {*provider.paths, *provider.renames, *provider.plain_prompts}
        assert named | (provider.operations or set()) <= OPERATIONS.keys()
        for operation, names in provider.renames.items():
            assert names.keys() <= OPERATIONS[operation].keywords


def test_truto_wants_an_account():
    with pytest.raises(errors.ConfigurationError, match="integrated_account_id"):
        truto("")
    with pytest.raises(errors.ConfigurationError, match=r"truto\(\.\.\.\) makes one"):
        AsyncZai(api_key="k", provider="truto")


# What it says.

SAID_TO_LOWCODEAPI = {
    "tokenizer": {"model": "glm-4.6", "input": "Hello"},
    "search": {"search_engine": "search-prime", "query": "sea", "max_results": 5},
    "agent result": AGENT | {"task_id": "a1"},
    "image": {"model": "glm-image", "prompt": "sea", "size": "1280x1280", "n": 2},
    "chat": {"model": "glm-5.3", "messages": [{"role": "user", "content": PROMPT}]},
}
SAID_ELSEWHERE = {
    "tokenizer": {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]},
    "search": CALLS["search"][1],
    "agent result": CALLS["agent result"][1],
}


@pytest.mark.parametrize("call", SAID_TO_LOWCODEAPI)
async def test_fields_are_called_what_lowcodeapi_calls_them(call):
    _, (request,) = await make(call, "lowcodeapi")
    assert json.loads(request.body) == SAID_TO_LOWCODEAPI[call]


@pytest.mark.parametrize("call", SAID_ELSEWHERE)
@pytest.mark.parametrize("provider", ["zai", "bigmodel", TRUTO, TRUTO_PROXY])
async def test_fields_keep_their_names_elsewhere(call, provider):
    _, (request,) = await make(call, provider)
    assert json.loads(request.body) == SAID_ELSEWHERE[call]


async def test_what_is_in_extra_is_not_renamed():
    zai, transport = client("lowcodeapi", FakeReply.json({"search_result": []}))
    async with zai:
        await zai.web_search.create(
            search_engine="search-prime", search_query="sea", extra={"count": 1, "query": "lake"}
        )
    assert transport.bodies == [{"search_engine": "search-prime", "query": "lake", "count": 1}]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
    ],
    ids=["conversation", "parts"],
)
async def test_a_conversation_is_not_squeezed_into_a_plain_text(messages):
    zai, transport = client("lowcodeapi", FakeReply.json({}))
    async with zai:
        with pytest.raises(errors.ConfigurationError, match="messages must be one plain text"):
            await zai.tokenizer.count(model="glm-4.6", messages=messages)
    assert transport.requests == []


# What comes back.

WRAPPERS = {
    "documented by LowCodeAPI": ("lowcodeapi", lambda body: {"data": body}),
    "sent by LowCodeAPI": (
        "lowcodeapi",
        lambda body: {
            "message": "Request completed",
            "provider": "zai",
            "result": body,
            "response_headers": {"x-log-id": "1"},
        },
    ),
    "bare at LowCodeAPI": ("lowcodeapi", lambda body: body),
    "wrapped by Truto": (TRUTO, lambda body: {"result": body}),
    "bare at Truto": (TRUTO, lambda body: body),
    "wrapped by the proxy of Truto": (TRUTO_PROXY, lambda body: {"result": body}),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("call", LOWCODEAPI_PATHS)
async def test_an_answer_is_the_same_out_of_an_envelope(wrapper, call):
    provider, wrap = WRAPPERS[wrapper]
    expected, _ = await make(call, "zai")
    answer, _ = await make(call, provider, FakeReply.json(wrap(CALLS[call][2])))
    assert answer == expected
    assert answer != type(answer)()


OBJECT = b'{"created": 1}'


@pytest.mark.parametrize(
    ("body", "opened"),
    [
        (b'{"data": {"created": 1}}', OBJECT),
        (b'{"a": 1, "result": {"created": 1}}', OBJECT),
        (b'{"request_id": "r", "result": {"created": 1}}', OBJECT),
        (b'{"data": {"created": 1}, "result": {}}', None),
        (b'{"created": 2, "result": {"created": 1}}', None),
        (b'{"data": [{"url": "u"}]}', None),
        (b'{"data": "text"}', None),
        (b'{"result": null}', None),
        (b'{"result": [{"url": "u"}], "next_cursor": null}', b'{"data":[{"url": "u"}]}'),
        (b'{"other": {"created": 1}}', None),
        (b'[{"data": {}}]', None),
        (b'{"data": {"created"', None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_an_envelope_is_opened_only_if_it_is_one(body, opened):
    assert open_envelope(LOWCODEAPI, ep.IMAGES.result, body) == (opened or body)
    assert open_envelope(ZAI, ep.IMAGES.result, body) == body


async def test_a_list_that_lost_its_frame_is_a_list_again():
    models = {"result": [{"id": "glm-5.3"}, {"id": "glm-5.2"}], "result_count": 2}
    zai, _ = client(TRUTO, FakeReply.json(models))
    async with zai:
        assert [model.id for model in (await zai.models.list()).data] == ["glm-5.3", "glm-5.2"]


def test_the_status_of_an_agent_is_its_own():
    body = b'{"data": {"agent_id": "a", "status": "processing"}}'
    inner = b'{"agent_id": "a", "status": "processing"}'
    assert open_envelope(LOWCODEAPI, ep.AGENT_RESULT.result, body) == inner


@pytest.mark.parametrize(
    ("sent", "status", "state", "url"),
    [
        ({"id": "t", "status": "processing", "message": "Wait"}, "PROCESSING", "processing", None),
        ({"status": "Completed", "url": "https://v"}, "SUCCESS", "succeeded", "https://v"),
        ({"status": "completed"}, "SUCCESS", "succeeded", None),
        ({"status": "failed"}, "FAIL", "failed", None),
        ({"status": "dreaming"}, "", "processing", None),
        ({"status": 5}, "", "processing", None),
        ({"status": "completed", "task_status": "FAIL"}, "FAIL", "failed", None),
        (
            {"status": "completed", "url": "https://v", "video_result": [{"url": "https://own"}]},
            "SUCCESS",
            "succeeded",
            "https://own",
        ),
    ],
)
def test_the_words_of_lowcodeapi_about_a_task(sent, status, state, url):
    body = json.dumps({"data": sent}).encode()
    task = open_envelope(LOWCODEAPI, ep.VIDEO_RESULT.result, body)
    answer = decode(ep.VIDEO_RESULT.decoder, task)
    assert (answer.task_status, answer.state, answer.url) == (status, state, url)


SLOW = {"error": {"code": "1302", "message": "slow"}}
BROKE = {"id": "1", "agent_id": "a", "status": "failed", "error": {"code": "1113", "message": "x"}}
LOWCODEAPI_ERROR = {
    "message": "Error received from the zai API",
    "provider": "zai",
    "error": SLOW,
    "headers": {"x-log-id": "1"},
}
REFUSALS = [
    ("lowcodeapi", 429, LOWCODEAPI_ERROR, errors.RateLimitError, "1302"),
    ("lowcodeapi", 200, {"data": SLOW}, errors.RateLimitError, "1302"),
    ("lowcodeapi", 200, {"message": "Request completed", "result": SLOW}, None, "1302"),
    ("lowcodeapi", 200, {"data": BROKE}, errors.BillingError, "1113"),
    ("lowcodeapi", 401, {"message": "A valid API token is required"}, None, None),
    (TRUTO, 429, SLOW, errors.RateLimitError, "1302"),
    (TRUTO, 429, {"statusCode": 429, "details": SLOW}, errors.RateLimitError, "1302"),
    (
        TRUTO,
        429,
        {"statusCode": 429, "error": "Too Many Requests", "message": "no", "details": SLOW},
        errors.RateLimitError,
        "1302",
    ),
    (TRUTO, 405, {"statusCode": 405, "message": "sandbox"}, errors.BadRequestError, None),
    (TRUTO, 200, {"result": SLOW}, errors.RateLimitError, "1302"),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_errors_of_every_form_are_typed(refusal, streamed):
    provider, status, body, error, code = refusal
    zai, _ = client(provider, FakeReply.json(body, status=status))
    async with zai:
        with pytest.raises(error or errors.APIError) as caught:
            await zai.chat.completions.create(**ASK, stream=streamed)
    assert (caught.value.code, caught.value.status_code) == (code, status)


@pytest.mark.parametrize(("provider", "buffered"), [("lowcodeapi", True), ("zai", False)])
async def test_a_stream_says_whether_it_comes_in_one_piece(provider, buffered):
    pieces = [{"choices": [{"delta": {"content": text}}]} for text in "abc"]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    zai, transport = client(provider, FakeReply.sse(*pieces, end))
    async with zai, zai.chat.completions.stream(**ASK) as stream:
        assert stream.buffered is buffered
        assert (await stream.completion()).text == "abc"
    assert transport.bodies[0]["stream"] is True


# The token.


async def test_the_token_is_sent_in_the_query_and_shown_nowhere(caplog):
    caplog.set_level(logging.DEBUG)
    seen = []
    echo = {"error": {"code": "1302", "message": f"slow down, {TOKEN}"}}
    zai, transport = client(
        "lowcodeapi",
        FakeReply.json(echo, status=429),
        hooks=Hooks(on_request=seen.append, on_response=seen.append, on_retry=seen.append),
        retry=None,
    )
    async with zai:
        with pytest.raises(errors.RateLimitError) as caught:
            await zai.chat.completions.create(**ASK, options=CallOptions(deadline=1))
    (first, *_) = transport.requests
    assert {name: secret.reveal() for name, secret in first.secret_query.items()} == {
        "api_token": TOKEN
    }
    assert (first.secret_headers, urlsplit(first.url).query) == ({}, "")
    story = "".join(traceback.TracebackException.from_exception(caught.value).format())
    shown = [caplog.text, repr(seen), repr(first), repr(zai), story, repr(vars(caught.value))]
    assert "canary" not in "".join(shown)


async def test_the_token_arrives_beside_the_rest_of_the_query(zai_emulator):
    async with AsyncZai(
        api_key=TOKEN, provider="lowcodeapi", base_url=zai_emulator.url, retry=ONCE
    ) as zai:
        with pytest.raises(errors.ZaiError):
            await zai._manager.call(ep.VIDEO_RESULT, {"id": "t&1"})
    (request,) = zai_emulator.requests
    assert dict(request.query) == {"id": "t&1", "api_token": TOKEN}


def test_another_service_never_gets_the_key_of_the_platform():
    with pytest.raises(errors.ConfigurationError, match="begins with 'at_'") as caught:
        AsyncZai(api_key=KEY, provider="lowcodeapi")
    assert KEY not in str(caught.value)


# A gateway of one's own.


async def test_a_gateway_of_ones_own_is_a_record():
    mine = Provider(
        name="mine",
        base_url="https://gateway.example",
        paths={"images.generate": "draw/{model}?v=2"},
        query={"team": "a b"},
        renames={"images.generate": {"prompt": "text"}},
        envelope=("payload",),
    )
    answer, (request,) = await make(
        "image", mine, FakeReply.json({"payload": CALLS["image"][2]}), api_key="k"
    )
    assert request.url == "https://gateway.example/draw/glm-image?v=2&team=a+b"
    assert json.loads(request.body) == {"text": "sea", "size": "1280x1280", "n": 2}
    assert answer.created == 1


# Which endpoints accept a key.

MODEL_LIST = FakeReply.json({"object": "list", "data": [{"id": "glm-5.3"}]})


def doorman(request):
    """Accept the key on the Coding Plan endpoints alone; one host is down."""
    if "bigmodel" in request.url:
        return FakeReply(failure=errors.ConnectError("no route"))
    if "coding" in request.url:
        return MODEL_LIST
    return FakeReply.json({"error": {"code": "1000", "message": "bad key"}}, status=401)


@pytest.mark.parametrize("auth", ["key", "jwt"])
async def test_check_tells_where_the_key_is_accepted(auth):
    zai, transport = client("zai", doorman, auth=auth)
    async with zai:
        found = await zai.check()
    assert [(each.provider, each.ok) for each in found] == [
        ("zai", False),
        ("zai-coding", True),
        ("bigmodel", False),
        ("bigmodel-coding", False),
    ]
    assert "bad key (code 1000, HTTP 401). Check the API key" in found[0].detail
    assert found[1].detail == "accepted"
    assert "no route" in found[2].detail
    assert {request.method for request in transport.requests} == {"GET"}
    assert {request.url.rpartition("/")[2] for request in transport.requests} == {"models"}
    keys = {request.secret_headers["Authorization"].reveal() for request in transport.requests}
    assert (f"Bearer {KEY}" in keys) == (auth == "key")


@pytest.mark.parametrize(
    ("provider", "base_url"),
    [
        ("zai", "http://127.0.0.1:9/api"),
        ("zai", "https://api.z.ai/api/coding/paas/v4"),
        (Provider(name="mine", base_url="https://mine.example"), None),
        (TRUTO, None),
    ],
)
async def test_check_asks_another_address_alone(provider, base_url):
    zai, transport = client(provider, MODEL_LIST, base_url=base_url)
    async with zai:
        (found,) = await zai.check()
    assert found.ok
    assert found.provider == zai.provider.name
    assert len(transport.requests) == 1
    assert transport.requests[0].url.startswith(zai.provider.base_url)


async def test_check_needs_a_list_of_models():
    zai, transport = client("lowcodeapi", MODEL_LIST)
    async with zai:
        with pytest.raises(errors.ConfigurationError, match="no list of models"):
            await zai.check()
    assert transport.requests == []


# The page.


def address(operation, provider):
    if not provider.has(operation.name):
        return "-"
    path = provider.paths.get(operation.name)
    if path is None:
        family = next((each for each in provider.families if operation.path.startswith(each)), "")
        path = f"{provider.families.get(family, '')}{operation.path.removeprefix(family)}"
    return f"`{path}`"


def operations():
    """Write the table of the page: one row for each operation, one column for each gateway."""
    columns = [*PROVIDERS.values(), truto("...")]
    lines = [["Operation", *(f"`{provider.name}`" for provider in columns)]]
    lines.append(["---"] * len(lines[0]))
    for operation in OPERATIONS.values():
        cells = [address(operation, provider) for provider in columns]
        lines.append([f"{operation.method} `{operation.name}`", *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def test_the_page_about_gateways_is_up_to_date():
    path = ROOT / "docs/gateways.md"
    page = path.read_text(encoding="utf-8")
    start, end = "<!-- operations -->\n\n", "\n<!-- end -->"
    before, after = page.split(start)
    updated = before + start + operations() + end + after.partition(end)[2]
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(updated, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == updated, "UPDATE_DOCS=1 brings it up to date"


PUBLISHED = json.loads((ROOT / "tests/fields.json").read_bytes())  # what Z.AI documents
UNDOCUMENTED = {"models.list", "quota"}
POLLS = {"tasks.result", "file_parser.result"}  # tasks make them, no method does
ELSEWHERE = {
    row.name for row in OPERATIONS.values() if f"{row.method} /{row.path}" not in PUBLISHED
} - UNDOCUMENTED


def test_the_page_names_what_z_ai_does_not_document():
    text = " ".join((ROOT / "docs/gateways.md").read_text(encoding="utf-8").split())
    sentence = re.search(r"Documented for [^:]+ only: (.+?`)\. ", text)[1]
    groups = tuple(f"{name}." for name in re.findall(r"`([\w.]+)`", sentence))
    assert {name for name in OPERATIONS if f"{name}.".startswith(groups)} == ELSEWHERE


def method_of(operation):
    """Return the class and the method behind an operation; no method for a poll."""
    *groups, name = operation.split(".")
    owner = Resources
    for group in groups:
        owner = get_type_hints(owner)[group]
    return owner, getattr(owner, name, None)


@pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - POLLS))
def test_the_docstring_tells_what_z_ai_does_not_document(operation):
    owner, method = method_of(operation)
    described = f"{owner.__doc__} {method.__doc__}"
    assert ("ocumented for bigmodel.cn only" in described) == (operation in ELSEWHERE)


def test_the_page_about_gateways_names_every_variable():
    page = (ROOT / "docs/gateways.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(?:truto\()?\"(.+?)\"\)?` \| (.+?) \| (.+?) \|", page, re.MULTILINE)
    described = {name: tuple(re.findall(r"\w+", f"{key} {url}")) for name, key, url in rows}
    known = {**PROVIDERS, "account id": TRUTO}
    assert described == {
        name: (*each.key_variables, *each.url_variables) for name, each in known.items()
    }


def test_the_client_names_every_variable():
    described = inspect.getdoc(AsyncZai)
    for provider in (*PROVIDERS.values(), TRUTO):
        for name in (*provider.key_variables, *provider.url_variables):
            assert f"``{name}``" in described


def test_the_page_about_gateways_describes_every_field():
    page = (ROOT / "docs/gateways.md").read_text(encoding="utf-8")
    section = page.partition("## A gateway of your own")[2]
    assert all(f"`{field}`" in section for field in Provider.__struct_fields__)
