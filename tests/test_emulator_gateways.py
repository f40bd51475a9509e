"""Gateways of the emulator: the same platform in other people's words."""

import pytest

from tests.emulator_wire import events_of, wire
from zai_async.testing import Emulator

TOKEN = {"api_token": "at_123"}
ACCOUNT = {"integrated_account_id": "acc-1"}
CHAT = {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hello"}]}
CHATS = "/api/paas/v4/chat/completions"
CUSTOM = "/custom/paas/v4/chat/completions"


@pytest.fixture
async def emulator():
    async with Emulator(api_key="id.secret") as emulator:
        yield emulator


@pytest.fixture
async def lowcode(emulator):
    async with wire(emulator, {}) as client:
        client.base_url = emulator.lowcodeapi_url
        client.params = TOKEN
        yield client


@pytest.fixture
async def truto(emulator):
    async with wire(emulator) as client:
        client.base_url = emulator.truto_url
        client.params = ACCOUNT
        yield client


def message_of(completion):
    return completion["choices"][0]["message"]["content"]


# LowCodeAPI


async def test_lowcodeapi_wraps_what_it_forwards(emulator, lowcode):
    emulator.chat.reply("hello")
    reply = await lowcode.post(CHATS, json=CHAT)
    body = reply.json()
    assert (body["message"], body["provider"]) == ("Request completed", "zai")
    assert message_of(body["result"]) == "hello"
    assert body["response_headers"]["x-log-id"] == reply.headers["X-Log-Id"]
    assert emulator.requests[0].operation == "chat.completions"
    assert emulator.requests[0].path == "/lowcodeapi" + CHATS


async def test_lowcodeapi_can_wrap_as_documented(emulator, lowcode):
    emulator.lowcodeapi.envelope = "data"
    body = (await lowcode.post("/api/coding/paas/v4/chat/completions", json=CHAT)).json()
    assert body.keys() == {"data"}
    emulator.reset()
    assert emulator.lowcodeapi.envelope == "result"


@pytest.mark.parametrize("query", [{}, {"api_token": "id.secret"}])
async def test_lowcodeapi_wants_its_own_token(emulator, lowcode, query):
    lowcode.params = query
    reply = await lowcode.post(CHATS, json=CHAT)
    assert (reply.status_code, reply.json().keys()) == (401, {"message"})
    assert emulator.requests[0].operation == ""


async def test_lowcodeapi_nests_errors(lowcode):
    reply = await lowcode.post(CHATS, json=CHAT | {"model": "nope"})
    assert reply.status_code == 400
    assert reply.json()["error"]["error"]["code"] == "1211"


async def test_lowcodeapi_knows_no_other_paths(lowcode):
    assert (await lowcode.post("/api/paas/v4/layout_parsing", json={})).status_code == 404
    assert (await lowcode.get(CHATS)).status_code == 404


async def test_lowcodeapi_holds_streams_back(lowcode):
    reply = await lowcode.post(CHATS, json=CHAT | {"stream": True})
    assert events_of(reply)[-1]["choices"][0]["finish_reason"] == "stop"


async def test_lowcodeapi_polls_with_the_id_in_the_query(lowcode):
    created = await lowcode.post(
        "/api/paas/v4/videos/generations", json={"model": "cogvideox-3", "prompt": "p"}
    )
    query = TOKEN | {"id": created.json()["result"]["id"]}
    states = []
    for _ in range(2):
        reply = await lowcode.get("/api/paas/v4/async-result/id", params=query)
        states.append(reply.json()["result"]["task_status"])
    assert states == ["PROCESSING", "SUCCESS"]


async def test_lowcodeapi_has_names_of_its_own(emulator, lowcode):
    search = {"search_engine": "search-prime", "query": "tea", "max_results": 3}
    found = (await lowcode.post("/paas/v4/web_search", json=search)).json()["result"]
    assert len(found["search_result"]) == 3
    count = {"model": "glm-4.6", "input": "Hello there"}
    counted = (await lowcode.post("/paas/v4/tokenizer", json=count)).json()["result"]
    assert counted["usage"]["total_tokens"] == 2
    film = {"agent_id": "vidu_template_agent", "messages": CHAT["messages"]}
    film |= {"custom_variables": {"template": "bodyshake"}}
    task = (await lowcode.post("/v1/agents", json=film)).json()["result"]
    poll = {"agent_id": "vidu_template_agent", "task_id": task["async_id"]}
    state = (await lowcode.post("/api/v1/agents/async-result", json=poll)).json()["result"]
    assert state["status"] == "pending"


@pytest.mark.parametrize("body", [{"search_query": "tea"}, []])
async def test_lowcodeapi_does_not_know_the_platforms_names(lowcode, body):
    fields = body and {"search_engine": "search-prime"} | body
    reply = await lowcode.post("/paas/v4/web_search", json=fields)
    assert reply.status_code == 400


async def test_lowcodeapi_forwards_forms_and_leaves_bytes_alone(emulator, lowcode):
    fields, files = {"purpose": "agent"}, {"file": ("a.pdf", b"%PDF-")}
    reply = await lowcode.post("/api/paas/v4/files", data=fields, files=files)
    assert emulator.files[reply.json()["result"]["id"]].data == b"%PDF-"
    emulator.fault(status=502)
    assert (await lowcode.post(CHATS, json=CHAT)).text.startswith("<html>")


async def test_faults_are_wrapped_unless_they_are_raw(emulator, lowcode):
    emulator.fault(code="1302", path="chat")
    emulator.fault(body=b"{}")
    replies = [await lowcode.post(CHATS, json=CHAT) for _ in range(2)]
    assert replies[0].json()["error"]["error"]["code"] == "1302"
    assert replies[1].content == b"{}"


async def test_a_request_through_a_gateway_makes_room_again(emulator, lowcode):
    emulator.account.limit(concurrency=1)
    assert [(await lowcode.post(CHATS, json=CHAT)).status_code for _ in range(2)] == [200, 200]


# Truto


async def test_truto_wraps_what_it_forwards(emulator, truto):
    emulator.chat.reply("hello")
    reply = await truto.post(CUSTOM, json=CHAT)
    assert message_of(reply.json()["result"]) == "hello"
    assert emulator.requests[0].operation == "chat.completions"
    assert events_of(await truto.post(CUSTOM, json=CHAT | {"stream": True}))


async def test_truto_has_resources(truto):
    video = {"model": "cogvideox-3", "prompt": "p"}
    task = (await truto.post("/proxy/videos_generations", json=video)).json()["result"]
    polled = await truto.get(f"/proxy/async_results/{task['id']}")
    assert polled.json()["task_status"] == "PROCESSING"  # a single GET is not wrapped
    polled = await truto.get(f"/custom/paas/v4/async-result/{task['id']}")
    assert polled.json()["result"]["task_status"] == "SUCCESS"
    assert (await truto.post("/proxy/nothing", json={})).status_code == 404


async def test_truto_takes_other_resources(emulator, truto):
    emulator.truto.resources["chats"] = "paas/v4/chat/completions"
    assert (await truto.post("/proxy/chats", json=CHAT)).json().keys() == {"result"}
    emulator.reset()
    assert "chats" not in emulator.truto.resources


async def test_truto_passes_errors_on_or_words_them_itself(emulator, truto):
    wrong = CHAT | {"model": "nope"}
    plain = (await truto.post(CUSTOM, json=wrong)).json()
    assert plain["error"]["code"] == "1211"
    emulator.truto.errors = "truto"
    own = (await truto.post(CUSTOM, json=wrong)).json()
    assert (own["statusCode"], own["details"]) == (400, plain)


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, {}, 400),
        ({"Authorization": ""}, ACCOUNT, 401),
        ({"Authorization": "bad"}, ACCOUNT, 401),
    ],
)
async def test_truto_wants_an_account_and_a_token(truto, headers, query, status):
    truto.params = query
    reply = await truto.post(CUSTOM, json=CHAT, headers=headers)
    assert (reply.status_code, reply.json()["statusCode"]) == (status, status)


def test_gateways_have_addresses_while_the_emulator_runs():
    with pytest.raises(RuntimeError, match="not running"):
        _ = Emulator().truto_url
