"""Tools of MCP servers in a turn of ours: the real client and server where they are installed."""

import asyncio
from types import SimpleNamespace as Thing

import pytest

from tests.calls import client
from zai_async import ConfigurationError, ToolFinished, ToolProgress
from zai_async.integrations.mcp_client import mcp_tools

CITY = {"type": "object", "properties": {"city": {"$ref": "#/$defs/City"}}, "required": ["city"]}
SCHEMA = CITY | {"$defs": {"City": {"type": "string", "title": "City"}}}


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url) as zai:
        yield zai


def text(value):
    return Thing(type="text", text=value)


class FakeServer:
    """What the tools ask of a client, without the package."""

    def __init__(self, *tools, result=None, error=False, structured=None):
        self.tools = tools
        self.result = result or []
        self.is_error = error
        self.structured = structured
        self.called = []

    async def list_tools(self, *, cursor=None):
        at = int(cursor or 0)
        after = str(at + 1) if at + 1 < len(self.tools) else None
        return Thing(tools=[*self.tools[at : at + 1]], next_cursor=after)

    async def call_tool(self, name, arguments, progress_callback):
        self.called.append((name, arguments))
        await progress_callback(1, 2, "half")
        return Thing(
            content=self.result, is_error=self.is_error, structured_content=self.structured
        )


def offered(name, schema=SCHEMA, **facts):
    fields = {"description": "Tell the weather.", "title": None} | facts
    return Thing(name=name, input_schema=schema, **fields)


async def test_all_pages_of_tools_are_offered_as_functions():
    tools = await mcp_tools(
        FakeServer(
            offered("a.weather"), offered("b", description=None, title="B"), offered("c" * 99)
        ),
        prefix="x-",
        timeout=3,
        approve=True,
        parallel=False,
    )
    assert [tool.name for tool in tools] == ["x-a_weather", "x-b", "x-" + "c" * 62]
    assert [tool.description for tool in tools] == ["Tell the weather.", "B", "Tell the weather."]
    assert tools[0].param["function"]["parameters"] == CITY | {
        "properties": {"city": {"type": "string"}}
    }
    assert (tools[0].timeout, tools[0].approve, tools[0].parallel) == (3, True, False)


async def test_some_of_the_tools_are_taken():
    server = FakeServer(offered("a"), offered("b"))
    assert [tool.name for tool in await mcp_tools(server, only={"b"})] == ["b"]
    with pytest.raises(ConfigurationError, match=r"no tools \['c'\]"):
        await mcp_tools(server, only=["b", "c"])


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$ref": "#/$defs/T", "$defs": {"T": {"items": {"$ref": "#/$defs/T"}}}}, "T refers to"),
        ({"$ref": "#/properties/city"}, "#/properties/city"),
    ],
)
async def test_a_schema_that_cannot_be_offered_is_refused_with_the_reason(schema, reason):
    with pytest.raises(
        ConfigurationError, match=rf"MCP tool 'tree'.*{reason}.*only= leaves it out"
    ):
        await mcp_tools(FakeServer(offered("tree", schema)))


LINK = Thing(type="resource_link", uri="file:///a.txt", mime_type=None)
BLOB = Thing(type="resource", resource=Thing(uri="file:///b", mime_type="image/png", blob="AA=="))
INNER = Thing(type="resource", resource=Thing(uri="file:///c", mime_type=None, text="inside"))
IMAGE = Thing(type="image", data="AA==", mime_type="image/png")


@pytest.mark.parametrize(
    ("server", "content", "outcome"),
    [
        (FakeServer(offered("w"), result=[text("sunny"), text("20°")]), "sunny\n20°", "completed"),
        (FakeServer(offered("w"), structured={"degrees": 20}), '{"degrees":20}', "completed"),
        (FakeServer(offered("w")), "", "completed"),
        (
            FakeServer(offered("w"), result=[IMAGE, LINK, BLOB, INNER]),
            "[image/png]\n[resource_link: file:///a.txt]\n[image/png: file:///b]\ninside",
            "completed",
        ),
        (FakeServer(offered("w"), result=[text("no such city")], error=True), "no such", "failed"),
        (FakeServer(offered("w"), error=True), "the tool failed", "failed"),
    ],
)
async def test_results_are_told_to_the_model(zai, zai_emulator, server, content, outcome):
    zai_emulator.chat.reply(tool_calls=[{"name": "w", "arguments": {"city": "Oslo"}}])
    zai_emulator.chat.reply("Done.")
    async with zai.chat.completions.run_tools(
        model="glm-5.3", messages="The weather?", tools=await mcp_tools(server)
    ) as run:
        events = [event async for event in run.events]
    assert server.called == [("w", {"city": "Oslo"})]
    (finished,) = [event for event in events if isinstance(event, ToolFinished)]
    assert finished.outcome == outcome
    assert content in finished.content
    (progress,) = [event for event in events if isinstance(event, ToolProgress)]
    assert progress.data == {"progress": 1, "total": 2, "message": "half"}


async def test_a_turn_over_the_real_client_and_server(zai, zai_emulator):
    mcp = pytest.importorskip("mcp", reason="mcp is not installed")
    from mcp.server.mcpserver import Context, MCPServer

    server = MCPServer("weather")

    @server.tool(description="Tell the temperature in a city.")
    async def temperature(city: str, ctx: Context) -> float:
        await ctx.report_progress(1, 2, "asked")
        if city == "Atlantis":
            raise LookupError("no such city")
        return 20.5

    zai_emulator.chat.reply(
        tool_calls=[
            {"name": "temperature", "arguments": {"city": "Oslo"}},
            {"name": "temperature", "arguments": {"city": "Atlantis"}},
        ]
    )
    zai_emulator.chat.reply("Done.")
    async with mcp.Client(server) as remote:
        await remote.call_tool("temperature", {"city": "Rome"})  # which imports what it needs
        tools = await mcp_tools(remote)
        async with zai.chat.completions.run_tools(
            model="glm-5.3", messages="The weather?", tools=tools
        ) as run:
            events = [event async for event in run.events]
    finished = [event for event in events if isinstance(event, ToolFinished)]
    assert {(each.outcome, each.content) for each in finished} == {
        ("completed", "20.5"),
        ("failed", '{"error":"Error executing tool temperature"}'),
    }
    assert any(isinstance(event, ToolProgress) for event in events)
    sent = zai_emulator.requests[0].json["tools"][0]["function"]
    assert sent["parameters"]["properties"] == {"city": {"type": "string"}}
    assert sent["parameters"]["required"] == ["city"]


async def test_cancelling_a_turn_cancels_the_call_at_the_real_server(zai, zai_emulator):
    mcp = pytest.importorskip("mcp", reason="mcp is not installed")
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("slow")
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @server.tool()
    async def wait() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    zai_emulator.chat.reply(tool_calls=[{"name": "wait", "arguments": {}}])

    async def turn(tools):
        async with zai.chat.completions.run_tools(
            model="glm-5.3", messages="Wait.", tools=tools
        ) as run:
            await run.completion()

    async with mcp.Client(server) as remote:
        task = asyncio.create_task(turn(await mcp_tools(remote)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await cancelled.wait()
