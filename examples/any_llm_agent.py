"""An agent on any-llm: its tools, its messages and its loop, our client below.

pip install ".[any-llm]"  # in a clone of the repository
python examples/any_llm_agent.py --emulate  # no key needed
ZAI_API_KEY=... python examples/any_llm_agent.py
"""

import asyncio
import json
import os
import sys
from contextlib import ExitStack
from typing import Any

from zai_async import AsyncZai
from zai_async.integrations.any_llm import ZaiAsyncProvider


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"In {city} the sun shines, at 21 degrees."


async def answer(provider: ZaiAsyncProvider, question: str) -> str:
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        completion: Any = await provider.acompletion("glm-5.3", messages, tools=[weather])
        message = completion.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        for call in message.tool_calls:
            result = weather(**json.loads(call.function.arguments))
            print(f"{call.function.name}: {result}")
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def main() -> None:
    async with AsyncZai() as zai, asyncio.TaskGroup() as agents:
        # All of them, and whatever else uses this client, share one limit.
        provider = ZaiAsyncProvider(client=zai)
        tasks = [
            agents.create_task(answer(provider, f'How is the weather in "{city}"?'))
            for city in ("Oslo", "Lima")
        ]
        for task in tasks:
            print(await task)


if __name__ == "__main__":
    with ExitStack() as stack:
        if "--emulate" in sys.argv:
            from zai_async.testing import Emulator

            emulator = stack.enter_context(Emulator())
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        asyncio.run(main())
