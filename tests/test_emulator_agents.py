"""Agents of the emulator: translation, films and slides."""

import pytest

from tests.emulator_wire import error_of, events_of, wire
from zai_async.testing import Emulator

HELLO = [{"role": "user", "content": [{"type": "text", "text": "Hello there"}]}]
TRANSLATE = {"agent_id": "general_translation", "messages": HELLO}
FILM = {
    "agent_id": "vidu_template_agent",
    "messages": HELLO,
    "custom_variables": {"template": "bodyshake"},
}
SLIDES = {"agent_id": "slides_glm_agent", "messages": HELLO, "stream": True}


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with wire(emulator) as client:
        yield client


@pytest.fixture
async def post(client):
    return lambda body, path="": client.post(f"/v1/agents{path}", json=body)


async def test_a_translation_comes_at_once(post):
    body = (await post(TRANSLATE | {"custom_variables": {"target_lang": "de"}})).json()
    assert body == {
        "id": body["id"],
        "agent_id": "general_translation",
        "status": "success",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "messages": {
                    "role": "assistant",
                    "content": {"type": "text", "text": "[de] Hello there"},
                },
            }
        ],
        "usage": body["usage"],
    }
    assert body["usage"]["total_calls"] == 1


@pytest.mark.parametrize("content", ["Hello there", {"type": "text", "text": "Hello there"}])
async def test_a_translation_can_stream(post, content):
    messages = [{"role": "user", "content": content}]
    events = events_of(await post(TRANSLATE | {"messages": messages, "stream": True}))
    choices = [event["choices"][0] for event in events]
    texts = [choice["messages"][0]["content"]["text"] for choice in choices]
    assert "".join(texts) == "[zh-CN] Hello there"
    assert [choice["index"] for choice in choices] == list(range(len(choices)))
    assert choices[-1]["finish_reason"] == "stop"
    assert events[-1]["usage"]["total_tokens"] > 0


async def test_a_glossary_must_have_been_uploaded(client, post):
    form = {"data": {"purpose": "agent"}, "files": {"file": ("g.txt", b"a=b")}}
    glossary = (await client.post("/paas/v4/files", **form)).json()["id"]
    states = []
    for file in (glossary, "nobody"):
        reply = await post(TRANSLATE | {"custom_variables": {"glossary": file}})
        states.append(reply.json()["status"])
    assert states == ["success", "failed"]


async def test_a_film_is_polled_for_with_its_agent(client, post):
    task = (await post(FILM)).json()
    assert task == {
        "async_id": task["async_id"],
        "agent_id": "vidu_template_agent",
        "status": "pending",
    }
    poll = {"agent_id": "vidu_template_agent", "async_id": task["async_id"]}
    answers = [(await post(poll, "/async-result")).json() for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["pending", "success"]
    (message,) = answers[1]["choices"][0]["message"]
    film = await client.get(message["content"][0]["video_url"])
    assert film.headers["Content-Type"] == "video/mp4"


def pages_of(events):
    """Put together the HTML of each position."""
    pages = {}
    for event in events:
        (message,) = event["choices"][0]["messages"]
        for part in message["content"]:
            if message["phase"] == "tool":
                assert part["object"]["tool_name"] == "insert_page"
                (place,) = part["object"]["position"]
                pages[place] = pages.get(place, "") + part["object"]["output"]
    return pages


async def test_slides_are_drawn_in_phases(post):
    events = events_of(await post(SLIDES))
    phases = [event["choices"][0]["messages"][0]["phase"] for event in events]
    assert phases == ["thinking"] + ["tool"] * 6 + ["answer"]
    assert [event["choices"][0]["index"] for event in events] == list(range(8))
    assert pages_of(events) == {
        number: f"<html><body><h1>Hello there {number}</h1></body></html>" for number in (1, 2, 3)
    }
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["usage"]["total_tokens"] == 100


async def test_slides_go_on_in_a_conversation_and_can_be_exported(client, post):
    ask = SLIDES | {"messages": [{"role": "user", "content": "2 slides on tea"}]}
    conversation = events_of(await post(ask))[0]["conversation_id"]
    more = events_of(await post(SLIDES | {"conversation_id": conversation}))
    assert list(pages_of(more)) == [3]
    body = {"agent_id": "slides_glm_agent", "conversation_id": conversation}
    export = (await post(body, "/conversation")).json()
    (message,) = export["choices"][0]["message"]
    assert [part["type"] for part in message["content"]] == ["image_url"] * 3
    wishes = {"include_pdf": True, "pages": [{"position": 1, "width": 960, "height": 540}]}
    export = (await post(body | {"custom_variables": wishes}, "/conversation")).json()
    (message,) = export["choices"][0]["message"]
    assert [part["type"] for part in message["content"]] == ["image_url", "file_url"]
    paper = await client.get(message["content"][1]["file_url"])
    assert (paper.headers["Content-Type"], paper.content[:5]) == ("application/pdf", b"%PDF-")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("", TRANSLATE | {"agent_id": "nobody"}, "1211"),
        ("", {"agent_id": "general_translation"}, "1213"),
        ("", TRANSLATE | {"messages": []}, "1214"),
        ("", TRANSLATE | {"custom_variables": {"target_lang": "xx"}}, "1210"),
        ("", FILM | {"custom_variables": {}}, "1213"),
        ("", FILM | {"custom_variables": {"template": "waltz"}}, "1210"),
        ("", SLIDES | {"stream": False}, "1210"),
        ("", [], "1210"),
        ("/async-result", {"agent_id": "a", "async_id": "nobody"}, "400"),
        ("/conversation", {"agent_id": "slides_glm_agent", "conversation_id": "x"}, "400"),
    ],
)
async def test_what_an_agent_cannot_do_fails_with_200(post, path, body, code):
    reply = await post(body, path)
    answer = reply.json()
    assert reply.status_code == 200
    assert (answer["status"], answer["error"]["code"]) == ("failed", code)
    expected = {"id", "status", "error"} | ({"agent_id", "async_id"} & set(body))
    assert answer.keys() == expected


async def test_agents_need_a_key_like_everything_else(emulator):
    async with wire(emulator, {"Authorization": "Bearer bad.key"}) as anyone:
        assert error_of(await anyone.post("/v1/agents", json=TRANSLATE)) == (401, "1000")


async def test_agents_are_not_below_chat(client):
    reply = await client.post("/paas/v4/v1/agents", json=TRANSLATE)
    assert (reply.status_code, reply.json()["msg"]) == (200, "404 NOT_FOUND")
