"""What the machine brings along: proxies and exceptions from them, a lack of files or ports."""

import asyncio
import base64
import errno
import importlib.util
import socket
import subprocess
import sys
from urllib.parse import quote

import aiohttp
import pytest
import yarl

from tests.calls import ASK, BODY, FakeClock, ask, client
from tests.certificates import certify, needs_openssl, serving
from tests.fault_server import FaultServer, Listener, answer
from tests.test_network import PASSWORD, VARIABLES, assert_hidden
from tests.ways import send_by
from zai_async import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    LocalResourceError,
    ProxyError,
    ResponseError,
    RetryPolicy,
    ZaiError,
)
from zai_async._secrets import Secret
from zai_async._transport import _direct, _internals
from zai_async._transport._errors import translate
from zai_async._transport._proxies import from_environment, is_excepted, usable_proxy
from zai_async.downloads import PartialFile

OK = answer(BODY)


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets proxy variables; there are no others."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch.setenv


@pytest.fixture(params=["direct", "public"])
def way(request, monkeypatch):
    if request.param == "public":
        monkeypatch.setattr(_internals, "hold", lambda: False)
    return request.param


# SOCKS


class SocksProxy(Listener):
    """SOCKS version 5 with a password (RFC 1928, RFC 1929)."""

    def __init__(self, password=PASSWORD):
        super().__init__()
        self.password, self.asked = password, []

    async def serve(self, reader, writer):
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x02")
        _, length = await reader.readexactly(2)
        await reader.readexactly(length)
        [length] = await reader.readexactly(1)
        given = (await reader.readexactly(length)).decode()
        writer.write(b"\x01" + bytes([given != self.password]))
        if given != self.password:
            return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = socket.inet_ntoa(await reader.readexactly(4))
        else:
            [length] = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(host)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.create_task(self.pump(far_reader, writer))
        try:
            await self.pump(reader, far_writer)
        finally:
            back.cancel()
            far_writer.close()

    async def pump(self, reader, writer):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()


async def test_a_socks_proxy_is_used(environment, way):
    async with FaultServer([OK]) as server, SocksProxy() as proxy:
        environment("ALL_PROXY", f"socks5://me:{PASSWORD}@127.0.0.1:{proxy.port}")
        async with client(server.url, trust_env=True) as zai:
            replies = [await ask(zai) for _ in range(3)]
            await ask(zai, messages="x" * 100_000)
        assert proxy.asked[0] == "127.0.0.1"
    kept = way == "direct"
    assert proxy.connections == (1 if kept else 4)
    assert replies[2].attempts[0].connection_reused is kept


@needs_openssl
async def test_tls_within_socks(tmp_path):
    certificate = certify(tmp_path, "IP:127.0.0.1")
    async with FaultServer([OK], tls=serving(certificate)) as server, SocksProxy() as proxy:
        address = f"socks5h://me:{PASSWORD}@127.0.0.1:{proxy.port}"
        async with client(server.url, proxy=address, ca_file=str(certificate)) as zai:
            assert (await ask(zai)).text == (await ask(zai)).text == "Hi"
        assert proxy.connections == 1


@pytest.mark.parametrize("down", [True, False], ids=["down", "refuses"])
async def test_a_socks_proxy_that_fails_is_named(environment, way, down):
    async with SocksProxy("another password") as proxy:
        address = f"socks5://me:{PASSWORD}@127.0.0.1:{9 if down else proxy.port}"
        environment("all_proxy", address)
        async with client("http://127.0.0.1:9/api", trust_env=True) as zai:
            with pytest.raises(ProxyError, match="all_proxy names a socks5://") as caught:
                await ask(zai)
    assert_hidden(caught.value, PASSWORD)


def test_without_the_package_its_name_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    address = Secret(f"socks5://me:{PASSWORD}@127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="ALL_PROXY names a socks5://") as caught:
        usable_proxy(address, "ALL_PROXY")
    assert "zai-async[socks]" in caught.value.hint
    assert_hidden(caught.value, PASSWORD)


# Exceptions from proxies


@pytest.mark.parametrize(
    ("exceptions", "host", "port", "excepted"),
    [
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3/8", "10.9.9.9", 443, True),
        ("localhost,127.0.0.0/8 , ::1", "127.8.8.8", 80, True),
        ("::1/128", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 80, False),
        ("fd00::/8", "fd12::7", 80, True),
        ("fd00::/8", "fe80::1", 80, False),
        ("10.0.0.0/8", "::ffff:10.0.0.1", 80, True),
        ("10.0.0.0/8:8080", "10.0.0.1", 8080, True),
        ("example.com", "example.com", 443, True),
        ("example.com", "api.example.com", 443, True),
        ("example.com", "badexample.com", 443, False),
        (".example.com", "example.com", 443, True),
        ("*.example.com", "api.example.com", 443, True),
        ("EXAMPLE.com.", "Api.Example.Com", 443, True),
        ("example.com", "api.example.com.", 443, True),
        ("example.com:8443", "example.com", 8443, True),
        ("example.com:8443", "example.com", 443, False),
        ("*", "anything.example", 443, True),
        (" , ,", "example.com", 443, False),
        ("not an/address,10.0.0.1", "10.0.0.1", 443, True),
        ("10.0.0.0/99, 10.0.0.1", "10.0.0.1", 443, True),
        ("10.0.0.0/8", "ten.example", 443, False),
        ("...", "example.com", 443, False),
        ("a:b:c:d", "example.com", 443, False),
        (f"example.com:{'4' * 5000}", "example.com", 443, False),
    ],
)
def test_who_is_excepted(exceptions, host, port, excepted):
    assert is_excepted(exceptions, host, port) is excepted


def test_the_order_of_the_variables(environment):
    url = yarl.URL("https://api.example")
    environment("ALL_PROXY", "http://all:1")
    assert from_environment(url).address.reveal() == "http://all:1"
    environment("HTTPS_PROXY", "http://upper:1")
    environment("https_proxy", "http://lower:1")
    assert from_environment(url).name == "https_proxy"
    environment("https_proxy", "")
    assert from_environment(url).name == "HTTPS_PROXY"
    environment("NO_PROXY", "example")
    assert from_environment(url) is None


def test_a_header_of_a_request_to_a_cgi_script_names_no_proxy(environment):
    environment("HTTP_PROXY", "http://forged:1")
    assert from_environment(yarl.URL("http://api.example")).name == "HTTP_PROXY"
    environment("REQUEST_METHOD", "GET")
    assert from_environment(yarl.URL("http://api.example")) is None


@pytest.mark.parametrize(
    ("found", "excepted", "expected"),
    [
        ({"https": "http://settings:1"}, False, "http://settings:1"),
        ({"all": "settings:1"}, False, "http://settings:1"),
        ({"https": "http://settings:1"}, True, None),
        ({}, False, None),
    ],
)
def test_settings_of_the_system(environment, monkeypatch, found, excepted, expected):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("urllib.request.getproxies", lambda: found)
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: excepted)
    proxy = from_environment(yarl.URL("https://api.example"))
    assert (proxy and proxy.address.reveal()) == expected


# What a proxy says


@pytest.mark.parametrize("named", ["argument", "variable"])
async def test_a_proxy_that_repeats_its_password(named, environment):
    """Pages of proxies show what was sent to them; the error keeps the beginning of one."""
    password = "pr0xy/p@ss-9876543210"
    pair = base64.b64encode(f"me:{password}".encode()).decode()
    page = f"<html>me:{quote(password, '')} {password} Basic {pair}</html>".encode()
    async with FaultServer([answer(page, status="403 Forbidden")]) as proxy:
        place = f"me:{quote(password, '')}@127.0.0.1:{proxy.port}"
        environment("http_proxy", place)
        given = {"trust_env": True} if named == "variable" else {"proxy": f"http://{place}"}
        async with client("http://api.invalid/v4", **given) as zai:
            with pytest.raises(ZaiError) as caught:
                await ask(zai)
    assert proxy.requests[0].header("Proxy-Authorization") == f"Basic {pair}"
    for secret in password, quote(password, ""), pair:
        assert secret not in str(vars(caught.value)) + str(caught.value)
    assert caught.value.body


async def test_a_proxy_that_is_no_address_has_no_password(environment):
    environment("http_proxy", "http://[::1")
    environment("no_proxy", "*")
    async with FaultServer([answer(BODY)]) as server, client(server.url, trust_env=True) as zai:
        assert (await ask(zai)).text == "Hi"


@pytest.mark.parametrize("reply", [b"no HTTP\r\n\r\n", b""])
async def test_what_seems_the_fault_of_the_server_may_be_that_of_the_proxy(reply):
    async with (
        FaultServer([reply, "fin"]) as proxy,
        client("https://api.invalid/v4", proxy=f"127.0.0.1:{proxy.port}") as zai,
    ):
        with pytest.raises(ZaiError) as caught:
            await ask(zai)
    assert "proxy names a http:// proxy" in caught.value.hint


# A lack of files, ports or memory


@pytest.mark.parametrize("number", ["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS", "ENOMEM"])
@pytest.mark.parametrize("way", ["direct", "client", "public"])
async def test_a_shortage_of_this_machine_is_told_as_such(monkeypatch, way, number):
    send_by(way, monkeypatch)

    def fail(address):
        code = getattr(errno, number)
        raise OSError(code, "of the system")

    monkeypatch.setattr(_internals, "keepalive_socket", fail)
    monkeypatch.setattr("zai_async._transport._client.keepalive_socket", fail)
    async with client("http://127.0.0.1:9") as zai:
        with pytest.raises(LocalResourceError, match="of the system") as caught:
            await ask(zai)
    assert caught.value.kind == "local"
    assert caught.value.hint
    assert not caught.value.request_sent
    assert not caught.value.attempts[0].maybe_billed
    assert isinstance(caught.value, ConnectError)


@pytest.mark.parametrize("what", ["connection", "file"])
async def test_connections_that_idle_are_given_up_for_what_needs_their_files(
    monkeypatch, tmp_path, what
):
    failures = []

    def failing(genuine):
        def fail(*args):
            if failures:
                raise OSError(failures.pop(), "of the system")
            return genuine(*args)

        return fail

    if what == "connection":
        monkeypatch.setattr(_internals, "keepalive_socket", failing(_internals.keepalive_socket))
    else:
        monkeypatch.setattr(PartialFile, "_open", failing(PartialFile._open))
    settings = {"retry": RetryPolicy(), "clock": FakeClock()}
    async with (
        FaultServer([OK]) as server,
        FaultServer([answer(b"file")]) as other,
        client(server.url, **settings) as zai,
    ):
        await ask(zai)
        assert (await ask(zai)).attempts[0].connection_reused
        failures.append(errno.EMFILE)
        await zai.download(f"http://127.0.0.1:{other.port}/a.txt", tmp_path)
        assert failures == []
        assert not (await ask(zai)).attempts[0].connection_reused


@pytest.mark.parametrize(
    ("number", "local"), [(socket.EAI_SYSTEM, True), (socket.EAI_NONAME, False)]
)
def test_a_name_that_cannot_be_looked_up_for_lack_of_files(number, local):
    from aiohttp.client_reqrep import ConnectionKey

    place = ConnectionKey("api.invalid", 443, True, True, None, None, None)
    error = aiohttp.ClientConnectorDNSError(place, socket.gaierror(number, "said so"))
    assert isinstance(translate(error), LocalResourceError) is local


async def test_calls_go_on_when_files_are_free_again(monkeypatch):
    make, failures = _internals.keepalive_socket, [1, 1]

    def fail(address):
        if failures:
            failures.pop()
            raise OSError(errno.EMFILE, "too many")
        return make(address)

    monkeypatch.setattr(_internals, "keepalive_socket", fail)
    async with FaultServer([OK]) as server, client(server.url, retry=RetryPolicy()) as zai:
        reply = await ask(zai)
    assert [attempt.error for attempt in reply.attempts] == [
        "LocalResourceError",
        "LocalResourceError",
        None,
    ]


# Codings of answers


@pytest.mark.parametrize("coding", ["lzma", "gzip, br", "x-unknown"])
async def test_a_coding_that_nobody_knows_is_named(coding):
    packed = answer(b"\x00\x01", f"Content-Encoding: {coding}")
    async with FaultServer([packed]) as server, client(server.url) as zai:
        with pytest.raises(ResponseError, match=f"packed as '{coding}'"):
            await ask(zai)


@pytest.mark.parametrize(("coding", "library"), [("br", "HAS_BROTLI"), ("zstd", "HAS_ZSTD")])
async def test_a_coding_whose_library_is_missing_is_named(monkeypatch, coding, library):
    monkeypatch.setattr(f"aiohttp.http_parser.{library}", False)
    packed = answer(b"\x00\x01", f"Content-Encoding: {coding}")
    async with FaultServer([packed]) as server, client(server.url) as zai:
        with pytest.raises(ResponseError, match=rf"cannot be unpacked: .*\({coding}\)"):
            await ask(zai)


@pytest.mark.parametrize("way", ["direct", "client"])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("coding", ["br", "zstd", "gzip", "deflate"])
async def test_what_is_not_of_its_coding_is_not_ordered_again(monkeypatch, coding, streams, way):
    if coding in {"br", "zstd"}:
        pytest.importorskip({"br": "brotli", "zstd": "backports.zstd"}[coding])
    monkeypatch.setattr(_direct, "is_watched", lambda session: way == "client")
    script = [answer(BODY, f"Content-Encoding: {coding}")]
    async with FaultServer(script) as server, client(server.url, retry=RetryPolicy()) as zai:
        with pytest.raises(ResponseError, match=f"unpacked: it is said to be '{coding}'") as caught:
            await (zai.chat.completions.stream(**ASK).completion() if streams else ask(zai))
        assert len(server.requests) == 1
    assert "proxy" in caught.value.hint


async def test_an_error_that_cannot_be_unpacked_is_known_by_its_status():
    script = [answer(b"{}", "Content-Encoding: gzip", status="401 Unauthorized")]
    async with FaultServer(script) as server, client(server.url) as zai:
        with pytest.raises(AuthenticationError):
            await ask(zai)


@pytest.mark.parametrize("coding", ["br", "zstd"])
async def test_codings_of_optional_libraries(coding):
    if coding == "br":
        packed = pytest.importorskip("brotli").compress(BODY)
    else:
        packed = pytest.importorskip("backports.zstd").compress(BODY)
    script = [answer(packed, f"Content-Encoding: {coding}")]
    async with FaultServer(script) as server, client(server.url) as zai:
        assert (await ask(zai)).text == "Hi"
        assert coding in server.requests[0].header("Accept-Encoding")


# Other event loops


def test_outside_asyncio_one_error_says_so():
    code = """
from zai_async import AsyncZai

def end_of(work):
    try:
        work.send(None)
    except (RuntimeError, ValueError) as error:
        return str(error)

zai = AsyncZai(api_key="a.b")
ask = {"model": "m", "messages": "x"}
ends = [
    end_of(zai.chat.completions.create(**ask)),
    end_of(zai.chat.completions.stream(**ask).open()),
    end_of(zai.videos.submit(model="m", prompt="x")),
    end_of(zai.aclose()),
]
print({end[:25] for end in ends})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{'zai_async runs on asyncio'}\n"
