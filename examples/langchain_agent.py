"""An agent of LangChain with a tool, told step by step and word by word.

pip install ".[langchain]" langchain  # in a clone of the repository
python examples/langchain_agent.py --emulate  # no key needed
ZAI_API_KEY=... python examples/langchain_agent.py
"""

import asyncio
import os
import sys
from contextlib import ExitStack

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk, ToolMessage

from zai_async import AsyncZai
from zai_async.integrations.langchain import ChatZai


def get_weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city for some days."""
    return f"{city}: sunny for {days} days"


async def main() -> None:
    async with AsyncZai() as zai:
        # All models of this client share its limits and connections.
        model = ChatZai(model="glm-5.3", client=zai)
        agent = create_agent(model, [get_weather], system_prompt="You know about the weather.")
        question = {"messages": [("human", 'Use get_weather for "Lima" and 3 days.')]}
        async for piece, _ in agent.astream(question, stream_mode="messages"):
            match piece:
                case AIMessageChunk():
                    for block in piece.content_blocks:
                        print(block.get("text") or block.get("reasoning") or "", end="")
                case ToolMessage():
                    print("\n\n", piece.text, "\n", sep="")
        print("\n\ntokens:", zai.usage.total.tokens)


if __name__ == "__main__":
    with ExitStack() as stack:
        if "--emulate" in sys.argv:
            from zai_async.testing import Emulator

            emulator = stack.enter_context(Emulator())
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        asyncio.run(main())
