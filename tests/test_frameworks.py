"""Results that a web framework writes down: the lines that the page about plain data shows."""

import pytest

from tests.calls import COMPLETION
from zai_async.models import ChatCompletion

httpx = pytest.importorskip("httpx")
ANSWER = ChatCompletion.from_dict(COMPLETION)


def fastapi_app():
    app = pytest.importorskip("fastapi").FastAPI()

    @app.get("/")
    async def root():
        return ANSWER.to_dict()

    return app


def starlette_app():
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def root(request):
        return JSONResponse(ANSWER.to_dict())

    return Starlette(routes=[Route("/", root)])


def litestar_app():
    litestar = pytest.importorskip("litestar")

    @litestar.get("/")
    async def root() -> dict:
        return ANSWER.to_dict()

    return litestar.Litestar([root])


@pytest.mark.parametrize("make", [fastapi_app, starlette_app, litestar_app])
async def test_results_are_written_down(make):
    transport = httpx.ASGITransport(app=make())
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        reply = await client.get("/")
    assert reply.status_code == 200
    assert ChatCompletion.from_dict(reply.json()) == ANSWER
