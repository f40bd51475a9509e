"""Serve the platform's operations as tools, and call two of them as an agent would.

    pip install ".[mcp]"  # in a clone of the repository
    python examples/mcp_server.py --emulate  # no key needed
    ZAI_API_KEY=... python examples/mcp_server.py

An agent starts `zai mcp` instead; here both ends are in one process.
"""

import asyncio
import os
import sys
from contextlib import ExitStack

from mcp.client import Client

from zai_async import AsyncZai
from zai_async.integrations.mcp_server import mcp_server


async def told(progress: float, total: float | None, message: str | None) -> None:
    print(progress, total or "?", message)


async def main() -> None:
    async with AsyncZai() as zai, Client(mcp_server(zai)) as agent:
        for tool in (await agent.list_tools()).tools:
            print(tool.name, tool.description, sep=": ")
        asked = {"model": "glm-4.6", "messages": [{"role": "user", "content": "How long is this?"}]}
        answer = await agent.call_tool("create_a_z_ai_paas_tokenizer", asked)
        print(answer.structured_content)
        wanted = {"model": "glm-image", "prompt": "a lighthouse in a storm"}
        image = await agent.call_tool(
            "create_a_z_ai_async_images_generation", wanted, progress_callback=told
        )
        print([content.type for content in image.content])


if __name__ == "__main__":
    with ExitStack() as stack:
        if "--emulate" in sys.argv:
            from zai_async.testing import Emulator

            emulator = stack.enter_context(Emulator())
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        asyncio.run(main())
