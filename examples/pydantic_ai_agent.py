"""An agent of pydantic-ai: a stream with a tool, then a value of a type, with one client.

    pip install ".[pydantic-ai]"  # in a clone of the repository
    ZAI_API_KEY=... python examples/pydantic_ai_agent.py
    python examples/pydantic_ai_agent.py --emulate             # no key needed

All agents of a client share its connections, its limits and its retries.
"""

import argparse
import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent

from zai_async import AsyncZai
from zai_async.integrations.pydantic_ai import ZaiAsyncModel
from zai_async.testing import Emulator


class Advice(BaseModel):
    umbrella: bool
    reason: str


def weather(city: str) -> str:
    """Tell the weather of a city."""
    print(f"[the model asks for the weather in {city}]")
    return f"Rain in {city}, 9 degrees"


async def talk(zai: AsyncZai) -> None:
    model = ZaiAsyncModel("glm-5.3", client=zai)
    reporter = Agent(model, tools=[weather], instructions="Be brief.")
    async with reporter.run_stream("What is the weather in Lund?") as result:
        async for piece in result.stream_text(delta=True):
            print(piece, end="", flush=True)
    print()

    adviser = Agent(model, output_type=Advice)
    # What was said before, thinking included, goes along.
    answer = await adviser.run("Do I need an umbrella?", message_history=result.all_messages())
    print(repr(answer.output), answer.usage, sep="\n")


async def main(*, emulate: bool) -> None:
    if not emulate:
        async with AsyncZai() as zai:
            await talk(zai)
        return
    async with Emulator() as platform:
        call = {"name": "weather", "arguments": {"city": "Lund"}}
        advice = {"umbrella": True, "reason": "It rains in Lund."}
        platform.chat.reply(thinking="I have to look.", tool_calls=[call])
        platform.chat.reply("It rains in Lund, at 9 degrees.")
        platform.chat.reply(tool_calls=[{"name": "final_result", "arguments": advice}])
        async with AsyncZai(base_url=platform.url, api_key="emulated") as zai:
            await talk(zai)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emulate", action="store_true", help="answer without key and network")
    asyncio.run(main(emulate=parser.parse_args().emulate))
