"""Backends that relay an answer, each as somebody would write it.

`python -m benchmarks.relay_site NAME UPSTREAM LOOP HTTP` prints its port. `benchmarks.relay`
measures what a token costs the process, from the bytes of the platform to those of the reader.
"""

import os
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from benchmarks.emulator import resident
from benchmarks.scenarios.work import need_descriptors
from zai_async import AsyncZai, RetryPolicy
from zai_async.web import Protocol, sse_response

ASK: Final[dict[str, Any]] = {
    "model": "glm-4.6",
    "messages": [{"role": "user", "content": "Say something long."}],
}

Handler = Callable[[], Awaitable[Any]]


def ours(url: str, protocol: Protocol, coalesce: float) -> tuple[Handler, AsyncZai]:
    """Return what relays with this package."""
    zai = AsyncZai(base_url=url, api_key="k.s", limits=5_000, retry=RetryPolicy(retries=0))

    async def chat() -> Any:
        stream = zai.chat.completions.stream(**ASK)
        return sse_response(stream, protocol=protocol, coalesce=coalesce)

    return chat, zai


def chunks_of_openai(url: str) -> Callable[[], AsyncGenerator[str, None]]:
    import openai  # noqa: PLC0415 - the others must not pay for its start

    client = openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0)

    async def chunks() -> AsyncGenerator[str, None]:
        async for chunk in await client.chat.completions.create(**ASK, stream=True):
            yield chunk.model_dump_json()

    return chunks


def with_sse_starlette(url: str) -> tuple[Handler, None]:
    """Return what is found in most tutorials."""
    from sse_starlette import EventSourceResponse  # noqa: PLC0415 - it may not be there

    chunks = chunks_of_openai(url)

    async def events() -> AsyncGenerator[dict[str, str], None]:
        async for chunk in chunks():
            yield {"data": chunk}

    async def chat() -> EventSourceResponse:
        return EventSourceResponse(events())

    return chat, None


def with_streaming_response(url: str) -> tuple[Handler, None]:
    """Return what is found in the others."""
    chunks = chunks_of_openai(url)

    async def events() -> AsyncGenerator[str, None]:
        async for chunk in chunks():
            yield f"data: {chunk}\n\n"

    async def chat() -> StreamingResponse:
        return StreamingResponse(events(), media_type="text/event-stream")

    return chat, None


SITES: Final[dict[str, Callable[[str], tuple[Handler, AsyncZai | None]]]] = {
    "ours, UI message stream": lambda url: ours(url, "ui-message-v1", 0),
    "ours, UI message stream, coalesced": lambda url: ours(url, "ui-message-v1", 0.025),
    "ours, chunks of OpenAI": lambda url: ours(url, "openai", 0),
    "ours, chunks of OpenAI, coalesced": lambda url: ours(url, "openai", 0.025),
    "ours, text": lambda url: ours(url, "text", 0),
    "ours, text, coalesced": lambda url: ours(url, "text", 0.025),
    "openai + StreamingResponse": with_streaming_response,
    "openai + sse-starlette": with_sse_starlette,
}


def app_of(name: str, url: str) -> FastAPI:
    chat, zai = SITES[name](url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        yield
        if zai is not None:
            await zai.aclose()

    app = FastAPI(lifespan=lifespan)
    app.post("/chat", response_model=None)(chat)

    @app.get("/state")
    async def state() -> dict[str, Any]:
        limits = zai.limits.snapshot() if zai is not None else {}
        return {
            "permits": sum(each.in_flight for each in limits.values()),
            "memory": resident(os.getpid()),
        }

    return app


def main() -> None:
    name, url, loop, http = sys.argv[1:]
    need_descriptors(0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(4096)
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(
            app_of(name, url),
            loop=loop,
            http=http,  # type: ignore[arg-type]  # a literal that came by the command line
            log_level="warning",
            access_log=False,
        )
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
