"""One call by every extra: what `python -m venv` and `pip install zai-async[all]` have made.

A program that needs nothing but the installed package, in a folder where it may write. It prints
the name of each extra, and its answer.
"""

import asyncio
import importlib
import os
import pkgutil
import sys
from collections.abc import Awaitable, Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import asks for prices

import zai_async.integrations
from zai_async import AsyncZai, CallOptions, ConnectError
from zai_async.testing import Emulator

ASKED: Any = [{"role": "user", "content": "Hi"}]


async def any_llm(zai: AsyncZai) -> str:
    from zai_async.integrations.any_llm import ZaiAsyncProvider

    answer: Any = await ZaiAsyncProvider(client=zai).acompletion("glm-5.3", ASKED)
    return answer.choices[0].message.content


async def langchain(zai: AsyncZai) -> str:
    from zai_async.integrations.langchain import ChatZai

    return (await ChatZai(model="glm-5.3", client=zai).ainvoke("Hi")).text


async def litellm(zai: AsyncZai) -> str:
    import litellm

    from zai_async.integrations.litellm import ZaiLLM

    litellm.custom_provider_map = [{"provider": "zai-async", "custom_handler": ZaiLLM(zai)}]
    answer: Any = await litellm.acompletion("zai-async/glm-5.3", ASKED)
    return answer.choices[0].message.content


async def mcp(zai: AsyncZai) -> str:
    from mcp import Client

    from zai_async.integrations.mcp_client import mcp_tools
    from zai_async.integrations.mcp_server import mcp_server

    async with Client(mcp_server(zai)) as client:
        assert len(await mcp_tools(client)) == 14
        asked = {"model": "glm-5.3", "messages": ASKED}
        answer: Any = await client.call_tool("create_a_z_ai_chat_completion", asked)
        return answer.content[0].text


async def otel(zai: AsyncZai) -> str:
    from zai_async.integrations.otel import Telemetry

    traced = Telemetry().instrument(zai)
    return (await traced.chat.completions.create(model="glm-5.3", messages="Hi")).text


async def pydantic_ai(zai: AsyncZai) -> str:
    from pydantic_ai import Agent

    from zai_async.integrations.pydantic_ai import ZaiAsyncModel

    return (await Agent(ZaiAsyncModel("glm-5.3", client=zai)).run("Hi")).output


async def parquet(zai: AsyncZai) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"prompt": ["Hi"]}), "rows.parquet")
    return await answered(zai, "rows.parquet")


async def compression(zai: AsyncZai) -> str:
    import brotli

    assert brotli.decompress(brotli.compress(b"Hi")) == b"Hi"
    newer = sys.version_info >= (3, 14)
    zstd: Any = importlib.import_module("compression.zstd" if newer else "backports.zstd")
    with zstd.open("rows.jsonl.zst", "wt") as rows:
        rows.write('{"prompt": "Hi"}\n')
    return await answered(zai, "rows.jsonl.zst")


async def answered(zai: AsyncZai, rows: str) -> str:
    async with zai.batch.run(rows, out=f"{rows}.out.jsonl", model="glm-5.3") as run:
        [row] = [row async for row in run]
    return row.text or ""


async def ray(zai: AsyncZai) -> str:
    import ray.data  # a cluster takes a minute to start, which `make test-ray` does

    from zai_async.integrations.ray_actors import ChatActor

    assert ray.data.ActorPoolStrategy(size=2)
    return ChatActor.__name__


async def redis(zai: AsyncZai) -> str:
    from zai_async.web import RedisReplay

    return type(RedisReplay("redis://127.0.0.1:9/0")).__name__


async def socks(zai: AsyncZai) -> str:
    async with AsyncZai(api_key="test", proxy="socks5://127.0.0.1:9", trust_env=False) as other:
        try:
            await other.models.list(options=CallOptions(retries=0))
        except ConnectError as error:  # nobody is there, which only aiohttp-socks finds out
            return type(error).__name__
    return ""


EXTRAS: tuple[Callable[[AsyncZai], Awaitable[str]], ...] = (
    *(any_llm, compression, langchain, litellm, mcp, otel),
    *(parquet, pydantic_ai, ray, redis, socks),
)


async def main() -> None:
    for module in pkgutil.iter_modules(zai_async.integrations.__path__):
        importlib.import_module(f"zai_async.integrations.{module.name}")
    async with Emulator() as platform, AsyncZai(base_url=platform.url, api_key="test") as zai:
        platform.chat.reply("Hello", times=None)
        for extra in EXTRAS:
            answer = await extra(zai)
            assert answer, extra.__name__
            sys.stdout.write(f"{extra.__name__} {answer}\n")


if __name__ == "__main__":
    assert "site-packages" in zai_async.__file__, zai_async.__file__
    asyncio.run(main())
