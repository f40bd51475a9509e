"""Customers of one backend, each with a budget, a place in the ledger and a number of answers."""

import re
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import openai
import pytest

from tests.test_examples import served_by_uvicorn
from tests.test_web_openai_router import CHAT, client_of, mounted
from tests.test_web_relay import posted
from zai_async import AsyncZai, Budget, CallOptions, Hooks

DOCS = Path(__file__).parent.parent / "docs" / "web.md"
pytestmark = pytest.mark.usefixtures("children_unmeasured")


@pytest.fixture
async def zai(zai_emulator):
    async with AsyncZai(base_url=zai_emulator.url, api_key="k.s") as zai:
        yield zai


@pytest.fixture
def recipe(zai):
    """Run what the documentation says, and return its names."""
    blocks = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = (each for each in blocks if "def limited(" in each)
    names = {"zai": zai, "__name__": __name__}
    exec(block, names)
    return names


@asynccontextmanager
async def asked(url, tenant):
    headers = {"X-Tenant": tenant, "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(url) as session,
        session.post("/chat", data=posted(), headers=headers) as answer,
    ):
        yield answer


async def status_of(url, tenant):
    async with asked(url, tenant) as answer:
        await answer.read()
        return answer.status


async def test_budget_of_one_is_none_of_the_others(zai, recipe, zai_emulator):
    alice = zai.with_options(tag="alice", budget=Budget(tokens=1))
    recipe["clients"]["alice"] = alice
    async with served_by_uvicorn(recipe["app"]) as url:
        assert await status_of(url, "alice") == 200
        assert await status_of(url, "bob") == 200
        async with asked(url, "alice") as answer:
            assert (answer.status, await answer.text()) == (
                429,
                "The budget for this is used up.",
            )
        assert await status_of(url, "bob") == 200
    assert len(zai_emulator.requests) == 3
    told = zai.usage.by_tag()
    assert (told["alice"].calls, told["bob"].calls) == (1, 2)
    assert told["alice"].tokens > 1


async def test_answers_of_one_are_no_more_than_its_share(recipe, zai_emulator):
    zai_emulator.fault(silence_after=(1000, 600), times=2)
    async with served_by_uvicorn(recipe["app"]) as url:
        async with asked(url, "alice") as first, asked(url, "alice") as second:
            await first.content.readany()
            await second.content.readany()
            assert await status_of(url, "alice") == 429
            assert await status_of(url, "bob") == 200
            first.close()
            second.close()
            await zai_emulator.wait_disconnected(timeout=100)
        # The places of readers who have left are free again.
        while recipe["running"]["alice"]:
            assert await status_of(url, "bob") == 200
        assert await status_of(url, "alice") == 200


async def test_tag_of_a_call_comes_before_that_of_its_client(zai):
    seen = []
    hooks = Hooks(on_start=lambda event: seen.append(event.tag))
    named = zai.with_options(tag="alice", hooks=hooks)
    question = {"model": "glm-5.3", "messages": "Hi"}
    await named.chat.completions.create(**question)
    await named.chat.completions.create(**question, options=CallOptions(tag="night"))
    await zai.chat.completions.create(**question)
    assert seen == ["alice", "night"]
    told = zai.usage.by_tag()
    assert {tag: each.calls for tag, each in told.items()} == {"alice": 1, "night": 1, None: 1}


async def test_key_leads_to_the_client_of_its_owner(zai, zai_emulator):
    owners = {
        "key-1": zai.with_options(tag="alice", budget=Budget(tokens=1)),
        "key-2": zai.with_options(tag="bob"),
    }
    async with mounted(zai, authorize=owners.get) as url:
        async with client_of(url, "key-1") as alice, client_of(url, "key-2") as bob:
            await alice.chat.completions.create(**CHAT)
            with pytest.raises(openai.RateLimitError):
                await alice.chat.completions.create(**CHAT)
            await bob.chat.completions.create(**CHAT)
        async with client_of(url, "key-3") as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.chat.completions.create(**CHAT)
    assert len(zai_emulator.requests) == 2
    assert {tag: told.calls for tag, told in zai.usage.by_tag().items()} == {"alice": 1, "bob": 1}
