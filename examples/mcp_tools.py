"""Let a model use the tools of an MCP server, told step by step.

    pip install ".[mcp]"  # in a clone of the repository
    python examples/mcp_tools.py --emulate  # no key needed
    ZAI_API_KEY=... python examples/mcp_tools.py
    ZAI_API_KEY=... python examples/mcp_tools.py https://host/mcp "What is new?"

Without an address the server is one of this file.
"""

import asyncio
import os
import sys
from contextlib import ExitStack

from mcp import Client
from mcp.server.mcpserver import Context, MCPServer

from zai_async import AsyncZai, TextDelta, ToolFinished, ToolProgress, ToolStarted
from zai_async.integrations.mcp_client import mcp_tools

library = MCPServer("library")


@library.tool()
async def find_book(title: str, context: Context) -> str:
    """Tell where a book stands."""
    await context.report_progress(1, 2, "looking at the shelves")
    return f"{title}: shelf C 14"


async def main(server: MCPServer | str, question: str) -> None:
    async with AsyncZai() as zai, Client(server) as client:
        tools = await mcp_tools(client, timeout=60)
        print("tools:", ", ".join(tool.name for tool in tools))
        async with zai.chat.completions.run_tools(
            model="glm-5.3", messages=question, tools=tools
        ) as run:
            async for event in run.events:
                match event:
                    case ToolStarted(name=name):
                        print(f"[{name} begins]")
                    case ToolProgress(data={"message": message}):
                        print(f"[{message}]")
                    case ToolFinished(content=content):
                        print(f"[{content}]")
                    case TextDelta(text=text):
                        print(text, end="", flush=True)
        print()


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if word != "--emulate"]
    where, asked = given or (library, "Where is 'Persuasion'?")
    with ExitStack() as stack:
        if "--emulate" in sys.argv:
            from zai_async.testing import Emulator

            emulator = stack.enter_context(Emulator())
            call = {"name": "find_book", "arguments": {"title": "Persuasion"}}
            emulator.chat.reply(tool_calls=[call])
            emulator.chat.reply("'Persuasion' stands on shelf C 14.")
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        asyncio.run(main(where, asked))
