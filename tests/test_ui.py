"""The server of the chat app: what the page gets, and what everybody else is refused."""

import asyncio
import io
import json
import signal

import aiohttp
import anyio
import pytest

from tests.chat_app import chat_app, metadata_in, parts_of, question
from zai_async import Limits
from zai_async.cli import main
from zai_async.web.ui import chatting, is_bundled, server
from zai_async.web.ui.guard import SECURITY
from zai_async.web.ui.waiting import WaitingLine

from .command_line import surround

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "index.html").write_text("<p>The page")
    (tmp_path / "app.js").write_text("1")
    return tmp_path


def types_in(parts):
    return [part["type"] for part in parts]


# The page


async def test_page_is_served_with_a_strict_policy(http, zai_emulator, bundle):
    async with chat_app(zai_emulator, bundle=bundle) as url:
        async with http.get(url) as page:
            assert await page.text() == "<p>The page"
            policy = page.headers["Content-Security-Policy"]
        async with http.get(f"{url}static/app.js") as script:
            assert await script.text() == "1"
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers.items() >= SECURITY.items()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "[bad"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
async def test_other_sites_are_refused(http, zai_emulator, headers):
    async with chat_app(zai_emulator) as url:
        body = question("Hello")
        async with http.post(f"{url}api/chat", json=body, headers=headers) as response:
            assert response.status == 403
        async with http.get(f"{url}api/models", headers=headers) as response:
            assert response.status == 403
    assert zai_emulator.requests == []


@pytest.mark.parametrize("host", ["localhost:1234", "[::1]:1234", "127.0.0.1", "192.168.1.5"])
async def test_names_of_this_machine_are_taken(http, zai_emulator, bundle, host):
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    async with (
        chat_app(zai_emulator, bundle=bundle) as url,
        http.get(url, headers=headers) as response,
    ):
        assert response.status == 200


async def test_models_are_those_of_the_key(http, zai_emulator):
    async with chat_app(zai_emulator) as url, http.get(f"{url}api/models") as response:
        told = await response.json()
    assert told["model"] == "glm-5.3"
    sees = {model["id"]: model["sees"] for model in told["models"]}
    assert list(sees)[:2] == ["glm-5.3", "glm-5.3-flash"]
    assert (sees["glm-5.3"], sees["glm-5.3-flash"]) == (False, True)
    assert told["error"] == ""


async def test_models_are_named_without_the_platform(http, zai_emulator):
    zai_emulator.fault(status=401, code="1000", times=None)
    async with chat_app(zai_emulator) as url, http.get(f"{url}api/models") as response:
        told = await response.json()
    assert [model["id"] for model in told["models"]] == ["glm-5.3", "glm-5.3-flash"]
    assert told["error"]


# Answers


async def test_answer_tells_how_it_came_to_be(http, zai_emulator):
    zai_emulator.chat.reply("Hello, you.", thinking="Greet them.")
    async with (
        chat_app(zai_emulator) as url,
        http.post(f"{url}api/chat", json=question("Hi")) as response,
    ):
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        parts = await parts_of(response)
    text = "".join(part["delta"] for part in parts if part["type"] == "text-delta")
    facts = metadata_in(parts)
    assert text == "Hello, you."
    assert (facts["outcome"], facts["model"]) == ("completed", "glm-5.3")
    assert facts["thinkingMs"] >= 0
    assert facts["thinkingSince"] > 0
    assert types_in(parts)[-1] == "finish"
    sent = zai_emulator.requests[0].json
    assert [message["role"] for message in sent["messages"]] == ["user"]
    assert sent["thinking"] == {"type": "enabled"}


async def test_answer_without_thinking_by_another_model(http, zai_emulator):
    body = question("Hi", thinking=False, model="glm-4.7")
    async with chat_app(zai_emulator) as url, http.post(f"{url}api/chat", json=body) as response:
        facts = metadata_in(await parts_of(response))
    assert "thinkingMs" not in facts
    assert zai_emulator.requests[0].json["model"] == "glm-4.7"
    assert zai_emulator.requests[0].json["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("ending", "outcome"), [("length", "length"), ("sensitive", "sensitive"), ("stop", "completed")]
)
async def test_end_is_called_what_it_is(http, zai_emulator, ending, outcome):
    zai_emulator.chat.reply("As far as", finish_reason=ending)
    async with (
        chat_app(zai_emulator) as url,
        http.post(f"{url}api/chat", json=question("Hi")) as response,
    ):
        assert metadata_in(await parts_of(response))["outcome"] == outcome


async def test_failure_is_told_in_its_own_words(http, zai_emulator):
    zai_emulator.fault(code="1113", times=None)
    async with (
        chat_app(zai_emulator) as url,
        http.post(f"{url}api/chat", json=question("Hi")) as response,
    ):
        parts = await parts_of(response)
    error = metadata_in(parts)["error"]
    assert error["kind"] == "billing"
    assert "1113" in error["message"]
    assert error["requestId"]
    assert types_in(parts)[-1] == "error"


async def test_place_in_the_queue_is_told(http, zai_emulator, monkeypatch):
    monkeypatch.setattr(chatting, "_LOOK_EVERY", 0.01)
    zai_emulator.fault(hang=True)
    async with chat_app(zai_emulator, limits=Limits(mode="fixed", start=1)) as url:
        first = await http.post(f"{url}api/chat", json=question("1", id="a"))
        assert '"state":"asked"' in await told_by(first, '"data-status"')
        second = await http.post(f"{url}api/chat", json=question("2", id="b"))
        assert '{"state":"queued","before":0}' in await told_by(second, '"data-status"')
        third = await http.post(f"{url}api/chat", json=question("3", id="c"))
        assert '{"state":"queued","before":1}' in await told_by(third, '"data-status"')
        async with http.post(f"{url}api/chat/a/stop") as stopped:
            assert stopped.status == 204
        assert "abort" in await first.text()
        # The slot is free, so the others get their turn.
        assert types_in(await parts_of(second))[-1] == "finish"
        assert types_in(await parts_of(third))[-1] == "finish"


async def test_silence_within_an_answer_is_no_waiting(http, zai_emulator, monkeypatch):
    monkeypatch.setattr(chatting, "_LOOK_EVERY", 0.01)
    looks = []
    news_of = WaitingLine.news_of

    def look(line, place):
        looks.append(news_of(line, place))
        return looks[-1]

    monkeypatch.setattr(WaitingLine, "news_of", look)
    zai_emulator.chat.reply("The beginning and the end", thinking="", chunk_size=13)
    zai_emulator.fault(silence_after=(300, 600))
    async with chat_app(zai_emulator) as url:
        response = await http.post(f"{url}api/chat", json=question("Hi"))
        await told_by(response, "beginning")
        del looks[:]
        while len(looks) < 2:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
        assert looks[:2] == [None, None]
        async with http.post(f"{url}api/chat/chat-1/stop"):
            assert "abort" in await response.text()


async def told_by(response, mark):
    """Read up to an event with a mark."""
    async for line in response.content:
        if mark in line.decode():
            return line.decode()
    raise AssertionError(mark)


async def test_reload_resumes_and_the_answer_is_bought_once(http, zai_emulator):
    zai_emulator.chat.reply("The whole answer", chunk_size=4)
    async with chat_app(zai_emulator) as url:
        first = await http.post(f"{url}api/chat", json=question("Hi"))
        await told_by(first, "start")
        first.close()
        async with http.get(f"{url}api/chat/chat-1/stream") as again:
            parts = await parts_of(again)
        async with http.get(f"{url}api/chat/other/stream") as nothing:
            assert nothing.status == 204
    text = "".join(part["delta"] for part in parts if part["type"] == "text-delta")
    assert text == "The whole answer"
    assert len(zai_emulator.requests) == 1


async def test_web_search_and_pages(http, zai_emulator):
    call = {"name": "read_page", "arguments": {"url": "https://example.com/"}}
    zai_emulator.chat.reply(tool_calls=[call])
    page = {"title": "News", "link": "https://example.com/news", "refer": "ref_1"}
    zai_emulator.chat.reply("It says so.", web_search=[page])
    async with chat_app(zai_emulator) as url:
        body = question("What is new?", web=True)
        async with http.post(f"{url}api/chat", json=body) as response:
            parts = await parts_of(response)
    available = next(part for part in parts if part["type"] == "tool-input-available")
    assert available["providerExecuted"] is True
    output = next(part for part in parts if part["type"] == "tool-output-available")
    assert output["output"]
    source = next(part for part in parts if part["type"] == "source-url")
    assert source["url"] == "https://example.com/news"
    kinds = [tool["type"] for tool in zai_emulator.requests[0].json["tools"]]
    assert kinds == ["web_search", "function"]


# What is no question


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"messages": []}',
        b'{"id": "x", "messages": [{"role": "user", "parts": 5}]}',
        b'{"id": "x", "messages": [{"role": "system", "parts": []}]}',
        json.dumps(question("Hi", id="")).encode(),
        json.dumps(question("Hi", id="x" * 201)).encode(),
        json.dumps(question("Hi", mode="music")).encode(),
        json.dumps(question("Hi", thinking="much")).encode(),
        b'{"id": "x", "messages": ' + b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=range(12),
)
async def test_malformed_body_is_400(http, zai_emulator, body):
    async with (
        chat_app(zai_emulator) as url,
        http.post(f"{url}api/chat", data=body, headers=JSON) as response,
    ):
        assert response.status == 400
        assert await response.text()
    assert zai_emulator.requests == []


async def test_form_of_another_site_is_refused(http, zai_emulator):
    async with (
        chat_app(zai_emulator) as url,
        http.post(f"{url}api/chat", data=json.dumps(question("Hi"))) as response,
    ):
        assert response.status == 415


async def test_body_that_does_not_come_is_given_up(http, zai_emulator, monkeypatch):
    monkeypatch.setattr(server, "_BODY_TIMEOUT", 0.01)
    async with chat_app(zai_emulator) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as socket:
            await socket.send(
                b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            assert (await socket.receive()).startswith(b"HTTP/1.1 408")


async def test_conversation_of_more_than_a_mebibyte(http, zai_emulator):
    messages = [*question("Hi")["messages"]]
    for number in range(40):
        said = {"type": "text", "text": "word " * 6_000}
        role = ("assistant", "user")[number % 2]
        messages.append({"id": f"m{number}", "role": role, "parts": [said]})
    body = json.dumps(question("Hi") | {"messages": messages}).encode()
    zai_emulator.chat.reply("Long.")
    async with (
        chat_app(zai_emulator) as url,
        http.post(f"{url}api/chat", data=io.BytesIO(body), headers=JSON) as response,
    ):
        parts = await parts_of(response)
    assert len(body) > 2**20
    assert types_in(parts)[-1] in {"finish", "error"}  # the model takes in as much as it can


# Pictures, films and sounds


async def test_image_is_made_with_progress(http, zai_emulator):
    async with chat_app(zai_emulator) as url:
        body = question("A lighthouse", mode="image")
        async with http.post(f"{url}api/chat", json=body) as response:
            parts = await parts_of(response)
        states = [part["data"]["state"] for part in parts if part["type"] == "data-task"]
        assert states == ["submitted", "processing", "success"]
        made = next(part for part in parts if part["type"] == "file")
        async with http.get(url + made["url"]) as picture:
            assert picture.content_type == made["mediaType"] == "image/png"
            assert (await picture.read()).startswith(b"\x89PNG")
        async with http.get(f"{url}api/media/{'0' * 32}") as nothing:
            assert nothing.status == 404
    assert metadata_in(parts) == {"outcome": "completed", "model": "glm-image"}


async def test_video_begins_with_the_picture(http, zai_emulator):
    zai_emulator.tasks.polls = 1
    picture = {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAAA"}
    body = question("Waves", mode="video")
    body["messages"][0]["parts"].append(picture)
    async with (
        chat_app(zai_emulator) as url,
        http.post(f"{url}api/chat", json=body) as response,
    ):
        parts = await parts_of(response)
    assert next(part for part in parts if part["type"] == "file")["mediaType"] == "video/mp4"
    sent = zai_emulator.requests[0].json
    assert (sent["prompt"], sent["image_url"]) == ("Waves", [picture["url"]])


async def test_image_that_fails(http, zai_emulator):
    zai_emulator.tasks.polls = 1
    zai_emulator.tasks.script("FAIL", result={"error": {"code": "1301", "message": "unsafe"}})
    async with (
        chat_app(zai_emulator) as url,
        http.post(f"{url}api/chat", json=question("A", mode="image")) as response,
        http.get(f"{url}api/media/{'0' * 32}") as nothing,
    ):
        parts = await parts_of(response)
        assert nothing.status == 404
    assert "unsafe" in metadata_in(parts)["error"]["message"]
    assert types_in(parts)[-1] == "error"


async def test_two_pictures_of_one_server(http, zai_emulator):
    zai_emulator.tasks.polls = 1
    async with chat_app(zai_emulator) as url:
        for name in ("a", "b"):
            body = question("A lighthouse", id=name, mode="image")
            async with http.post(f"{url}api/chat", json=body) as response:
                assert "file" in types_in(await parts_of(response))


async def test_sound_is_written_down(http, zai_emulator):
    sound = b"RIFF" + bytes(4) + b"WAVEfmt " + bytes(100)
    zai_emulator.audio.transcribe(sound, "Good morning")
    headers = {"Content-Type": "audio/wav"}
    async with chat_app(zai_emulator) as url:
        to = f"{url}api/transcriptions"
        async with http.post(to, data=sound, headers=headers) as response:
            assert await response.text() == "Good morning"
        async with http.post(to, data=sound, headers={"Content-Type": "text/plain"}) as response:
            assert response.status == 415
        async with http.post(to, data=b"", headers=headers) as response:
            assert response.status == 400


async def test_answer_after_the_end_is_refused(http, zai_emulator, monkeypatch):
    async with chat_app(zai_emulator) as url:
        monkeypatch.setattr(server.Relay, "start", refuse)
        async with http.post(f"{url}api/chat", json=question("Hi")) as response:
            assert response.status == 503


async def refuse(*_, **__):
    raise server.ZaiError("the relay is shutting down", kind="server")


# The command


@pytest.fixture
def command(monkeypatch, zai_emulator, tmp_path, bundle):
    surround(monkeypatch, zai_emulator, tmp_path)
    monkeypatch.setattr(server, "BUNDLE", bundle)
    opened = []

    def open_browser(url):
        opened.append(url)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("webbrowser.open", open_browser)
    return opened


def test_command_serves_until_interrupted(command, capsys):
    assert main(["ui", "--port", "0"]) == 0
    assert capsys.readouterr().out.split() == command
    assert command[0].startswith("http://127.0.0.1:")


def test_command_leaves_the_browser_alone(command, capsys, monkeypatch):
    monkeypatch.setattr("zai_async.cli.ui.webbrowser", None)
    monkeypatch.setattr(
        "zai_async.cli.terminal.Terminal.data",
        lambda _, text: command.append(text) or signal.raise_signal(signal.SIGTERM),
    )
    assert main(["ui", "--port", "0", "--emulate", "--no-browser", "--host", "::1"]) == 0
    assert command[0].startswith("http://[::1]:")


def test_command_without_the_page_says_what_to_do(command, capsys, bundle):
    (bundle / "index.html").unlink()
    assert not is_bundled()
    assert main(["ui"]) == 1
    assert "make ui" in capsys.readouterr().err
    assert command == []
