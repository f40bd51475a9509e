"""The contract with type checkers: plain lists and dicts, as everybody writes them; never run."""

from typing import Any, assert_type

from zai_async import AsyncZai, ChatCompletion, MessageParam, ZaiError, image, to_dict
from zai_async.models import Reply


async def plain_history(zai: AsyncZai) -> None:
    history = [{"role": "user", "content": "Hi"}]
    answer = await zai.chat.completions.create(model="glm-5.3", messages=history)
    assert_type(answer, ChatCompletion)
    await zai.tokenizer.count(model="glm-4.6", messages=history)


async def history_that_grows(zai: AsyncZai) -> None:
    history: list[MessageParam] = [{"role": "user", "content": "Hi"}]
    answer = await zai.chat.completions.create(model="glm-5.3", messages=history)
    history += [answer.message, {"role": "user", "content": "And then?"}]
    history.append({"role": "tool", "content": "1", "tool_call_id": answer.tool_calls[0].id})
    async with zai.chat.completions.stream(model="other-model", messages=history) as stream:
        async for text in stream.text:
            assert_type(text, str)
    assert_type(to_dict(history), Any)


async def plain_content(zai: AsyncZai) -> None:
    content = [{"type": "text", "text": "What is this?"}, image("a.png")]
    await zai.chat.completions.create(
        model="glm-5v-turbo", messages=[{"role": "user", "content": content}]
    )


async def plain_tools(zai: AsyncZai) -> None:
    tools = [
        {
            "type": "function",
            "function": {"name": "f", "parameters": {"type": "object", "required": ["city"]}},
        }
    ]
    thinking = {"type": "enabled"}
    choice = {"type": "function", "function": {"name": "f"}}
    await zai.chat.completions.create(
        model="glm-5.3",
        messages=[{"role": "user", "content": "Hi"}],
        tools=tools,
        thinking=thinking,
        tool_choice=choice,
        response_format={"type": "json_object"},
    )


async def any_provider_and_operation() -> None:
    async with AsyncZai(provider="zai-coding") as zai:
        assert_type(await zai.request("POST", "/new/thing", body={"a": 1}, into=str), str)
        await zai.chat.completions.create(model="glm-6", messages=[{"role": "user", "content": ""}])


async def what_arrived_before_an_error(zai: AsyncZai) -> None:
    try:
        await zai.chat.completions.create(model="glm-5.3", messages="Hi")
    except ZaiError as error:
        assert_type(error.partial, Reply | None)
        if error.partial is not None:
            assert_type(error.partial.text, str)
