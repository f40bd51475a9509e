"""An agent on LiteLLM: its messages and its streams, our client below.

pip install ".[litellm]"  # in a clone of the repository
python examples/litellm_agent.py --emulate  # no key needed
ZAI_API_KEY=... python examples/litellm_agent.py
"""

import asyncio
import json
import os
import sys
from contextlib import ExitStack
from typing import Any

import litellm

from zai_async import AsyncZai
from zai_async.integrations.litellm import ZaiLLM

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def weather(city: str) -> str:
    return f"In {city} the sun shines, at 21 degrees."


async def answer(question: str) -> str:
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        stream: Any = await litellm.acompletion(
            "zai-async/glm-5.3", messages, tools=[WEATHER], stream=True
        )
        completion: Any = litellm.stream_chunk_builder([chunk async for chunk in stream])
        message = completion.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        for call in message.tool_calls:
            result = weather(**json.loads(call.function.arguments))
            print(f"{call.function.name}: {result}")
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def main() -> None:
    async with AsyncZai() as zai:
        litellm.suppress_debug_info = True  # or it prints where its list of providers is
        # All of them, and whatever else uses this client, share one limit.
        litellm.custom_provider_map = [{"provider": "zai-async", "custom_handler": ZaiLLM(zai)}]
        async with asyncio.TaskGroup() as agents:
            tasks = [
                agents.create_task(answer(f'How is the weather in "{city}"?'))
                for city in ("Oslo", "Lima")
            ]
        for task in tasks:
            print(task.result())


if __name__ == "__main__":
    with ExitStack() as stack:
        if "--emulate" in sys.argv:
            from zai_async.testing import Emulator

            emulator = stack.enter_context(Emulator())
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        asyncio.run(main())
