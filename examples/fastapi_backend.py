"""A FastAPI backend that streams answers to a page and stops paying when the reader leaves.

pip install . fastapi uvicorn        # in a clone of zai-async
python examples/fastapi_backend.py --emulate            # no key needed
ZAI_API_KEY=... python examples/fastapi_backend.py      # then open http://127.0.0.1:8000
"""

import argparse
import json
import math
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel

from zai_async import AsyncZai, ChatStream, Finished, TextDelta, ThinkingDelta, ZaiError

MODEL = os.environ.get("MODEL", "glm-5.3")
PAGE = Path(__file__).with_name("fastapi_page.html")
# Whatever is not listed is between this backend and the platform: 502.
STATUSES = {"request": 400, "content": 422, "throttle": 503, "overload": 503, "timeout": 504}


class State(TypedDict):
    zai: AsyncZai


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[State, None]:
    """Open one client for the life of the process; its connections are shared by all requests."""
    async with AsyncZai() as zai:
        yield {"zai": zai}


app = FastAPI(lifespan=lifespan)


class Question(BaseModel):
    text: str


async def open_answer(question: Question, request: Request) -> AsyncIterator[ChatStream]:
    """Ask before the response begins, so that a refusal still has a status code.

    FastAPI leaves the context when the response is over, and also when the browser has gone: that
    closes the connection to the platform, which ends the generation.
    """
    zai: AsyncZai = request.state.zai
    async with zai.chat.completions.stream(model=MODEL, messages=question.text) as stream:
        yield stream


@app.post("/chat")
async def chat(stream: Annotated[ChatStream, Depends(open_answer)]) -> StreamingResponse:
    # Without the second header nginx collects the answer before it passes it on.
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(stream), media_type="text/event-stream", headers=headers)


async def events(stream: ChatStream) -> AsyncIterator[str]:
    try:
        async for event in stream.events:
            match event:
                case ThinkingDelta(text):
                    yield frame("thinking", text=text)
                case TextDelta(text):
                    yield frame("text", text=text)
                case Finished(outcome=outcome):
                    yield frame("finished", outcome=outcome)
                case _:
                    pass
    except ZaiError as error:  # too late for a status code
        yield frame("error", **facts(error))


def frame(event: str, **data: Any) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


def facts(error: ZaiError) -> dict[str, Any]:
    """Choose what a stranger may see: messages and hints may speak of the account."""
    return {"kind": error.kind, "retryable": error.retryable, "request_id": error.request_id}


@app.exception_handler(ZaiError)
async def refuse(_: Request, error: ZaiError) -> JSONResponse:
    wait = error.retry_after
    headers = {"Retry-After": str(math.ceil(wait))} if wait is not None else {}
    return JSONResponse(facts(error), STATUSES.get(error.kind, 502), headers)


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(PAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Stream answers to a page.")
    parser.add_argument("--emulate", action="store_true", help="answer without key and network")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        if arguments.emulate:
            from zai_async.testing import Emulator  # noqa: PLC0415 - not for production

            emulator = stack.enter_context(Emulator(pace=1))
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        uvicorn.run(app, port=arguments.port)


if __name__ == "__main__":
    main()
