"""The same scripts over the loops of others reach the same calls: our runner is judged by them."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.calls import client
from zai_async import tool

SCRIPTS = {
    "one": "What is the weather in Lisbon?",
    "chain": "add 2 and 3, then multiply the result with 4, then add 1 and that result",
    "parallel": "In parallel: weather for Oslo, weather for Rome, and add 7 and 8",
    "mixed": 'weather in "New York", then add 20.5 and -3 please',
    "none": "multiply",
}
MADE: list[tuple[str, dict[str, Any]]] = []


def made(name, **arguments):
    MADE.append((name, arguments))


async def add(a: float, b: float) -> float:
    """Add two numbers."""
    made("add", a=a, b=b)
    return a + b


async def multiply(a: float, b: float) -> float:
    """Multiply two numbers."""
    made("multiply", a=a, b=b)
    return a * b


async def weather(city: str) -> str:
    """Tell the weather of a city."""
    made("weather", city=city)
    return f"21 degrees in {city}"


FUNCTIONS = [add, multiply, weather]


async def over_ours(url, prompt):
    async with client(url) as zai:
        run = zai.chat.completions.run_tools(model="glm-5.3", messages=prompt, tools=FUNCTIONS)
        async with run:
            return (await run.completion()).text


async def over_openai(url, prompt):
    """Go round as the documentation of OpenAI shows it."""
    tools = [tool(each) for each in FUNCTIONS]
    functions = {each.name: each for each in tools}
    messages: list[Any] = [{"role": "user", "content": prompt}]
    async with AsyncOpenAI(api_key="k", base_url=url) as openai:
        while True:
            answer = await openai.chat.completions.create(
                model="glm-5.3", messages=messages, tools=[each.param for each in tools]
            )
            message = answer.choices[0].message
            messages.append(message)
            if not message.tool_calls:
                return message.content
            for call in message.tool_calls:
                arguments = json.loads(call.function.arguments, parse_int=float)
                result = await functions[call.function.name](**arguments)
                content = result if isinstance(result, str) else json.dumps(result)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": content})


async def over_pydantic_ai(url, prompt):
    pydantic_ai = pytest.importorskip("pydantic_ai")
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async with AsyncOpenAI(api_key="k", base_url=url) as openai:
        model = OpenAIChatModel("glm-5.3", provider=OpenAIProvider(openai_client=openai))
        agent = pydantic_ai.Agent(model, tools=FUNCTIONS)
        return (await agent.run(prompt)).output


@pytest.mark.parametrize("loop", [over_openai, over_pydantic_ai])
@pytest.mark.parametrize("script", SCRIPTS)
async def test_loops_reach_the_same_calls(zai_emulator, loop, script):
    MADE.clear()
    ours = await over_ours(zai_emulator.url, SCRIPTS[script])
    calls = sorted(map(str, MADE))
    assert calls
    MADE.clear()
    theirs = await loop(zai_emulator.url, SCRIPTS[script])
    assert sorted(map(str, MADE)) == calls
    assert theirs == ours
