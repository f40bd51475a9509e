"""nginx in front of the emulator; squid and tinyproxy between it and us.

Install: `apt-get install nginx-light squid tinyproxy`.
"""

import pytest

from tests.interop.programs import running
from tests.ports import free_port
from zai_async import (
    AsyncZai,
    BadRequestError,
    ProxyError,
    RetryPolicy,
    ServerError,
    StreamTruncatedError,
)
from zai_async.testing import Emulator

pytestmark = pytest.mark.interop

TEXT = "word " * 400

NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 4k; gzip on; gzip_types text/event-stream application/json;
  gzip_min_length 1; keepalive_requests 3;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {target}; proxy_http_version 1.1; proxy_read_timeout 1s;
      proxy_set_header Connection "";
      proxy_buffering {buffering};
    }}
  }}
}}
"""
SQUID = """
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/pid
shutdown_lifetime 0 seconds
"""
TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 10
"""


@pytest.fixture
async def emulator():
    async with Emulator() as server:
        yield server


def client(url, **changes):
    return AsyncZai(
        api_key="key",
        base_url=url,
        **{"retry": RetryPolicy(retries=0), "trust_env": False} | changes,
    )


@pytest.fixture(params=["on", "off"])
def nginx(request, tmp_path, emulator):
    port = free_port()
    config = tmp_path / "nginx.conf"
    target = emulator.root_url.removesuffix("/api")
    config.write_text(
        NGINX.format(folder=tmp_path, port=port, target=target, buffering=request.param)
    )
    with running(port, "nginx", "-p", tmp_path, "-c", config, log=tmp_path / "log"):
        yield f"http://127.0.0.1:{port}/api/paas/v4"


@pytest.fixture(params=["squid", "tinyproxy"])
def proxy(request, tmp_path):
    tmp_path.chmod(0o777)
    port, config = free_port(), tmp_path / "proxy.conf"
    text = {"squid": SQUID, "tinyproxy": TINYPROXY}[request.param]
    config.write_text(text.format(folder=tmp_path, port=port))
    options = {"squid": ["-N", "-f"], "tinyproxy": ["-d", "-c"]}[request.param]
    with running(port, request.param, *options, config, log=tmp_path / "log"):
        yield f"http://127.0.0.1:{port}"


async def ask(zai, **params):
    return await zai.chat.completions.create(model="glm-4.6", messages="Hi", **params)


async def read(zai):
    async with zai.chat.completions.stream(model="glm-4.6", messages="Hi") as stream:
        return (await stream.completion()).text


async def test_nginx_passes_everything_on(emulator, nginx):
    async with client(nginx) as zai:
        for _ in range(4):  # it closes a connection after three requests
            emulator.chat.reply(TEXT)
            assert await read(zai) == TEXT
            assert (await ask(zai)).outcome == "completed"


async def test_nginx_cuts_a_silent_stream(emulator, nginx):
    emulator.chat.reply(TEXT, chunk_size=5)
    emulator.fault(silence_after=(3000, 30.0))
    async with client(nginx) as zai:
        with pytest.raises(StreamTruncatedError) as caught:
            await read(zai)
    assert TEXT.startswith(caught.value.partial.text)


async def test_nginx_answers_with_pages_of_its_own(emulator, nginx):
    emulator.fault(hang=True)
    async with client(nginx) as zai:
        with pytest.raises(ServerError, match="HTTP 504 with a page") as caught:
            await ask(zai)
        assert caught.value.status_code == 504
        emulator.fault(drop=True)
        with pytest.raises(ServerError, match="HTTP 502 with a page"):
            await read(zai)


async def test_nginx_refuses_what_is_too_large(nginx):
    async with client(nginx) as zai:
        with pytest.raises(BadRequestError, match="HTTP 413"):
            await ask(zai, stop=["x" * 9000])


async def test_a_proxy_passes_everything_on(emulator, proxy):
    # tinyproxy closes a connection after its answer without saying so.
    async with client(emulator.url, proxy=proxy, retry=RetryPolicy(retries=1)) as zai:
        for _ in range(3):
            emulator.chat.reply(TEXT)
            assert await read(zai) == TEXT
            assert (await ask(zai)).outcome == "completed"


async def test_a_stream_through_a_proxy_is_cut(emulator, proxy):
    emulator.chat.reply(TEXT, chunk_size=5)
    emulator.fault(cut_after=3000)
    async with client(emulator.url, proxy=proxy) as zai:
        with pytest.raises(StreamTruncatedError):
            await read(zai)


async def test_a_server_that_a_proxy_cannot_reach(proxy):
    async with client(f"http://127.0.0.1:{free_port()}/api/paas/v4", proxy=proxy) as zai:
        with pytest.raises((ProxyError, ServerError)):
            await ask(zai)


async def test_a_proxy_that_is_not_there(emulator):
    async with client(emulator.url, proxy=f"http://127.0.0.1:{free_port()}") as zai:
        with pytest.raises(ProxyError):
            await ask(zai)
