"""Ways to answer many rows: `python -m benchmarks.batch_contestants NAME URL ROWS` measures one.

Each is a page to read: what somebody writes who has rows, a key and an afternoon. All have as many
rows under way at once.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

AT_ONCE: Final = 256
MODEL: Final = "glm-5.3"


def prompts(count: int) -> Iterator[str]:
    return (f"Question {number}" for number in range(count))


def client(url: str, limits: int | None = None) -> Any:
    from zai_async import AsyncZai

    address = f"{url}/api/paas/v4"
    return AsyncZai(api_key="key", base_url=address, trust_env=False, limits=limits)


# Each answers so many rows and returns how many have an answer


async def plain(url: str, rows: int) -> int:
    """`gather` with a semaphore, as most people write it, over the same client."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(prompt: str) -> bool:
        async with slots:
            answer = await zai.chat.completions.create(model=MODEL, messages=prompt)
        return bool(answer.text)

    async with client(url) as zai:
        return sum(await asyncio.gather(*map(one, prompts(rows))))


async def engine(url: str, rows: int) -> int:
    """`zai.batch`, every answer on the disk before it is handed out."""
    with tempfile.TemporaryDirectory() as folder:
        async with client(url) as zai:
            given = ({"custom_id": prompt, "prompt": prompt} for prompt in prompts(rows))
            out = Path(folder) / "out.jsonl"
            run = zai.batch.run(given, out=out, model=MODEL, concurrency=AT_ONCE)
            done = 0
            async for row in run:
                done += hasattr(row, "text")
            return done


async def engine_unwritten(url: str, rows: int) -> int:
    """`zai.batch` with a journal that writes nothing: what the disk costs."""
    from zai_async.batch.journal import Journal

    setattr(Journal, "_write", lambda _journal, _data: None)  # noqa: B010 - for this process only
    return await engine(url, rows)


async def openai(url: str, rows: int) -> int:
    """`gather` with a semaphore over openai."""
    from openai import AsyncOpenAI

    slots = asyncio.Semaphore(AT_ONCE)

    async def one(prompt: str) -> bool:
        async with slots:
            answer = await api.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": prompt}]
            )
        return bool(answer.choices[0].message.content)

    async with AsyncOpenAI(api_key="key", base_url=f"{url}/v1") as api:
        return sum(await asyncio.gather(*map(one, prompts(rows))))


async def async_batch_llm(url: str, rows: int, store: Any = None) -> int:
    """async-batch-llm over openai."""
    from async_batch_llm import OpenAICompatibleModel, OpenAIStrategy, process_prompts
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="key", base_url=f"{url}/v1") as api:
        strategy = OpenAIStrategy(OpenAICompatibleModel(MODEL, api))
        batch = await process_prompts(
            strategy, prompts(rows), concurrency=AT_ONCE, artifact_store=store
        )
    return sum(result.success for result in batch.results)


async def async_batch_llm_jsonl(url: str, rows: int) -> int:
    """async-batch-llm over openai, every answer in its JSONL store."""
    from async_batch_llm import JsonlArtifactStore

    with tempfile.TemporaryDirectory() as folder:
        store = JsonlArtifactStore(Path(folder) / "out.jsonl")
        return await async_batch_llm(url, rows, store)


async def curator(url: str, rows: int) -> int:
    """Curator over litellm or openai, with its cache."""
    from bespokelabs import curator as bespoke

    with tempfile.TemporaryDirectory() as folder:
        model = bespoke.LLM(
            model_name=MODEL,
            backend="openai",
            backend_params={
                "base_url": f"{url}/v1",
                "api_key": "key",
                "max_concurrent_requests": AT_ONCE,
                "max_requests_per_minute": 10**7,
                "max_tokens_per_minute": 10**9,
            },
        )
        answers = await asyncio.to_thread(model, list(prompts(rows)), working_dir=folder)
        return len(answers.dataset)


CONTESTANTS: Final = {
    "plain calls": (plain, "zai_async"),
    "zai.batch": (engine, "zai_async"),
    "zai.batch, nothing written": (engine_unwritten, "zai_async"),
    "openai and a semaphore": (openai, "openai"),
    "async-batch-llm": (async_batch_llm, "async_batch_llm"),
    "async-batch-llm, JSONL": (async_batch_llm_jsonl, "async_batch_llm"),
    "curator": (curator, "bespokelabs"),
}
SLOW: Final = {
    "openai and a semaphore": 4,
    "async-batch-llm": 4,
    "async-batch-llm, JSONL": 8,
    "curator": 10,
}
"""By how many times fewer rows tell enough."""


def work(name: str, url: str, rows: int) -> dict[str, float]:
    """Answer a few rows to warm up and then so many, and return what that took."""
    run = CONTESTANTS[name][0]

    async def measured() -> dict[str, float]:
        await run(url, 200)
        cpu, begun = time.process_time(), time.perf_counter()
        done = await run(url, rows)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
        return {"us": cpu / rows * 1e6, "rows/s": rows / wall, "done": done / rows}

    return asyncio.run(measured())


if __name__ == "__main__":
    name, url, rows = sys.argv[1:]
    print(json.dumps(work(name, url, int(rows))))
