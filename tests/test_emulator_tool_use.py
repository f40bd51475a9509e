"""The emulator's model uses the tools that a prompt names, with what the prompt says."""

import json

import pytest

from tests.calls import client
from zai_async import tool


@tool
def add(a: float, b: float) -> float:
    """Add numbers."""
    return a + b


@tool
def weather(city: str, unit: str = "celsius", days: int = 1) -> str:
    """Tell the weather."""
    return city


@tool(
    parameters={
        "type": "object",
        "properties": {
            "mode": {"enum": ["fast", "very slow", 3]},
            "kind": {"const": "k"},
            "words": {"type": "array", "items": {"type": "string"}},
            "sizes": {"type": "array", "items": {"type": "integer"}},
            "flags": {"type": "array", "items": {"type": "boolean"}},
            "day": {"type": "string", "format": "date"},
            "limit": {"anyOf": [{"type": "null"}, {"type": "integer", "maximum": 10}]},
            "place": {"type": "object", "properties": {"street": {"type": "string"}}},
        },
    }
)
def search_all(**anything): ...


@tool
def get_weather(city: str) -> str:
    """Tell the weather, too."""
    return city


async def asked(emulator, prompt, *tools, results=(), **changes):
    """Return the calls that the model makes after these results, as (name, arguments)."""
    messages = [{"role": "user", "content": prompt}]
    for number, result in enumerate(results):
        call = {"id": str(number), "type": "function", "function": {"name": "x", "arguments": "{}"}}
        messages.append({"role": "assistant", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": str(number), "content": result})
    async with client(emulator.url) as zai:
        answer = await zai.chat.completions.create(
            model="glm-5.3",
            messages=messages,
            tools=[each.param for each in tools],
            **changes,
        )
    return [(call.name, call.parse()) for call in answer.tool_calls]


async def test_named_tools_are_called_one_after_the_other(zai_emulator):
    prompt = "Call add with 2 and 3.5, then weather for Oslo and 4 days, then add 1 and that result"
    tools = (weather, add)
    assert await asked(zai_emulator, prompt, *tools) == [("add", {"a": 2, "b": 3.5})]
    (second,) = await asked(zai_emulator, prompt, *tools, results=["5.5"])
    assert second == ("weather", {"city": "Oslo", "unit": "celsius", "days": 4})
    (third,) = await asked(zai_emulator, prompt, *tools, results=["5.5", "-3 degrees"])
    assert third == ("add", {"a": -3, "b": 1})
    assert await asked(zai_emulator, prompt, *tools, results=["5.5", "-3 degrees", "-2"]) == []


async def test_named_tools_are_called_in_parallel_where_the_prompt_says_so(zai_emulator):
    prompt = 'In parallel: get weather for "Oslo" and get_weather for Rio de Janeiro'
    calls = await asked(zai_emulator, prompt, weather, get_weather)
    assert calls == [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rio"})]


async def test_unnamed_tool_is_called_once(zai_emulator):
    prompt = "How cold is it in Lisbon tomorrow? Tell me."
    (call,) = await asked(zai_emulator, prompt, add, get_weather)
    assert call == ("get_weather", {"city": "Lisbon"})
    assert await asked(zai_emulator, prompt, add, get_weather, results=["cold"]) == []


async def test_arguments_of_all_kinds_are_found(zai_emulator):
    prompt = "search_all in the Very Slow mode for 'A b' and \"C\" with the limit 12, 7 and 8.5"
    ((_, found),) = await asked(zai_emulator, prompt, search_all)
    assert found == {
        "mode": "very slow",
        "kind": "k",
        "words": ["A b", "C"],
        "sizes": [12, 7],
        "flags": [True],
        "day": "2026-10-09",
        "limit": 1,
        "place": {"street": "street"},
    }


async def test_what_does_not_fit_the_schema_is_not_taken(zai_emulator):
    parameters = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}}
    small = tool(name="small", parameters=parameters)(lambda **_: None)
    assert await asked(zai_emulator, "small with 12", small) == [("small", {"n": 1})]
    assert await asked(zai_emulator, "small with 3", small) == [("small", {"n": 3})]


@pytest.mark.parametrize(
    ("prompt", "city"),
    [("Describe the city Graz", "Graz"), ("Describe a city", "Beijing")],
)
async def test_documents_say_what_the_prompt_does(zai_emulator, prompt, city):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    async with client(zai_emulator.url) as zai:
        answer = await zai.chat.completions.create(
            model="glm-5.3",
            messages=[
                {"role": "system", "content": f"JSON: {json.dumps(schema)}"},
                {"role": "user", "content": prompt},
            ],
            response_format={"type": "json_object"},
        )
    assert json.loads(answer.text) == {"city": city}


@pytest.mark.parametrize(
    ("prompt", "keys"),
    [
        ("As JSON with 'setup' and 'punchline' keys. It's 'fun'.", ["setup", "punchline"]),
        ("Tell me. Use the fields `city`, `n_2` and `city`!\nNo 'more'", ["city", "n_2"]),
        ('One property, "answer"', ["answer"]),
        ("Keys are what it's about, isn't it", ["topic", "answer", "confident"]),
        ("Quote 'this'", ["topic", "answer", "confident"]),
        ("Keys " + " ".join(f"'k{n}'" for n in range(60)), [f"k{n}" for n in range(50)]),
    ],
)
async def test_documents_have_the_keys_that_the_prompt_names(zai_emulator, prompt, keys):
    async with client(zai_emulator.url) as zai:
        answer = await zai.chat.completions.create(
            model="glm-5.3", messages=prompt, response_format={"type": "json_object"}
        )
    assert list(json.loads(answer.text)) == keys
