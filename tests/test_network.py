"""Networks as companies have them: certificates of their own, proxies, passwords."""

import asyncio
import ssl
import traceback
from base64 import b64encode

import pytest

from tests.calls import BODY, FakeClock, ask, client
from tests.certificates import certify, needs_openssl, serving
from tests.fault_server import FaultServer, Listener, Proxy, answer
from zai_async import ConfigurationError, ProxyError, RetryPolicy, TLSError

OK = answer(BODY)
TASK = answer(b'{"id": "task-1", "task_status": "PROCESSING"}')
PASSWORD = "pass-canary-0123"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("good"), "IP:127.0.0.1")


@pytest.fixture(scope="module")
def wrong_host(tmp_path_factory):
    return certify(tmp_path_factory.mktemp("wrong"), "DNS:other.example")


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets proxy variables; there are no others."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch.setenv


# TLS


@needs_openssl
async def test_an_unknown_certificate_is_refused_and_nothing_is_sent(good):
    async with FaultServer([OK], tls=serving(good)) as server, client(server.url) as zai:
        with pytest.raises(TLSError, match="not trusted") as caught:
            await ask(zai)
        assert server.requests == []
    assert not caught.value.retryable
    assert not caught.value.attempts[0].maybe_billed


@needs_openssl
async def test_a_file_of_certificates_cures_it(good):
    async with (
        FaultServer([OK], tls=serving(good)) as server,
        client(server.url, ca_file=str(good)) as zai,
    ):
        assert (await ask(zai)).text == "Hi"


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_file_without_certificates(tmp_path, text):
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"ca_file cannot be used: .+"):
        client(ca_file=str(path))


@needs_openssl
async def test_a_context_of_the_callers_cures_it(good):
    context = ssl.create_default_context(cafile=str(good))
    tls = serving(good)
    async with FaultServer([OK], tls=tls) as server, client(server.url, ssl=context) as zai:
        assert (await ask(zai)).text == "Hi"


@needs_openssl
async def test_a_certificate_of_another_host_is_refused(wrong_host):
    async with FaultServer([OK], tls=serving(wrong_host)) as server:
        async with client(server.url, ca_file=str(wrong_host)) as zai:
            with pytest.raises(TLSError):
                await ask(zai)
        assert server.requests == []


@needs_openssl
async def test_verification_can_be_switched_off(wrong_host):
    tls = serving(wrong_host)
    async with FaultServer([OK], tls=tls) as server, client(server.url, ssl=False) as zai:
        assert (await ask(zai)).text == "Hi"


class Plain(Listener):
    """Does not know what a TLS greeting is."""

    async def serve(self, reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def test_a_server_without_tls():
    async with Plain() as server, client(f"https://127.0.0.1:{server.port}") as zai:
        with pytest.raises(TLSError, match="handshake failed"):
            await ask(zai)


# Proxies


async def test_plain_http_is_passed_on():
    async with FaultServer([OK]) as server, Proxy() as proxy:
        async with client(server.url, proxy=proxy.url) as zai:
            await ask(zai)
            await ask(zai)
        assert (proxy.passed_on, proxy.connections, len(server.requests)) == (1, 1, 2)


@needs_openssl
async def test_https_goes_through_a_tunnel(good):
    async with FaultServer([OK], tls=serving(good)) as server, Proxy() as proxy:
        async with client(server.url, proxy=proxy.url, ca_file=str(good)) as zai:
            replies = [await ask(zai) for _ in range(3)]
        assert (proxy.tunnels, server.connections) == (1, 1)
    assert [reply.attempts[0].connection_reused for reply in replies] == [False, True, True]


@needs_openssl
@pytest.mark.parametrize("password", [PASSWORD, "wrong-canary-0123"])
async def test_a_proxy_may_want_a_password(good, password):
    wanted = "Basic " + b64encode(f"me:{PASSWORD}".encode()).decode()
    async with FaultServer([OK], tls=serving(good)) as server, Proxy(wanted) as proxy:
        address = proxy.url.replace("//", f"//me:{password}@")
        async with client(server.url, proxy=address, ca_file=str(good)) as zai:
            if password == PASSWORD:
                await ask(zai)
                assert (proxy.tunnels, proxy.refused) == (1, 0)
                return
            with pytest.raises(ProxyError, match="refused") as caught:
                await ask(zai)
        assert (proxy.tunnels, proxy.refused) == (0, 1)
    assert_hidden(caught.value, password)


async def test_a_proxy_that_is_down():
    async with Proxy() as gone:
        address = gone.url.replace("//", f"//me:{PASSWORD}@")
    async with client("https://127.0.0.1:9", proxy=address) as zai:
        with pytest.raises(ProxyError, match="cannot be reached") as caught:
            await ask(zai)
    assert (caught.value.retryable, caught.value.repeat) == (True, "short")
    assert_hidden(caught.value, PASSWORD)


class Failing(Proxy):
    """A proxy that answers a few times with something else than a tunnel."""

    def __init__(self, *statuses):
        super().__init__()
        self.statuses = [*statuses]

    async def serve(self, reader, writer):
        if not self.statuses:
            await super().serve(reader, writer)
            return
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d Oh\r\nContent-Length: 0\r\n\r\n" % self.statuses.pop(0))


@needs_openssl
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
async def test_a_proxy_that_fails_for_a_moment_is_asked_again(good, status):
    retry, clock = RetryPolicy(retries=2), FakeClock()
    async with FaultServer([OK], tls=serving(good)) as server, Failing(status, status) as proxy:
        certificate = str(good)
        behind = client(server.url, proxy=proxy.url, ca_file=certificate, retry=retry, clock=clock)
        async with behind as zai:
            reply = await ask(zai)
        assert (proxy.tunnels, len(server.requests)) == (1, 1)
    assert [attempt.error for attempt in reply.attempts] == ["ProxyError", "ProxyError", None]
    assert not any(attempt.maybe_billed for attempt in reply.attempts[:2])


@pytest.mark.parametrize("status", [302, 400, 403, 404, 407, 501, 799])
async def test_a_proxy_that_refuses_is_not_asked_again(status):
    retry = RetryPolicy(retries=2)
    async with Failing(*[status] * 3) as proxy:
        async with client("https://127.0.0.1:9", proxy=proxy.url, retry=retry) as zai:
            with pytest.raises(
                ProxyError, match=f"refused the connection: HTTP {status}"
            ) as caught:
                await ask(zai)
        assert len(proxy.statuses) == 2
    assert not caught.value.retryable
    assert ("other credentials" in caught.value.hint) == (status == 407)


@needs_openssl
async def test_what_a_failing_proxy_has_not_passed_on_may_be_submitted_again(good):
    retry, clock = RetryPolicy(retries=1), FakeClock()
    async with FaultServer([TASK], tls=serving(good)) as server, Failing(503) as proxy:
        certificate = str(good)
        behind = client(server.url, proxy=proxy.url, ca_file=certificate, retry=retry, clock=clock)
        async with behind as zai:
            task = await zai.videos.submit(model="cogvideox-3", prompt="a cat")
        assert (task.id, len(server.requests)) == ("task-1", 1)


@needs_openssl
@pytest.mark.parametrize("answered", [b"", b"\x05\x01 no HTTP\r\n\r\n", b"HTTP/1.1 200"])
async def test_where_a_proxy_opens_nothing_no_task_was_submitted(answered):
    """What was never sent is no unknown task, nor can it have been billed."""

    class Rude(Proxy):
        async def serve(self, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answered)

    async with Rude() as proxy, client("https://127.0.0.1:9", proxy=proxy.url) as zai:
        with pytest.raises(ProxyError, match="opened no connection") as caught:
            await zai.videos.submit(model="cogvideox-3", prompt="a cat")
    assert not caught.value.request_sent
    assert not caught.value.attempts[0].maybe_billed
    assert caught.value.retryable == (b"no HTTP" not in answered)


async def test_a_cancel_while_a_proxy_takes_its_time_stays_one():
    class Slow(Proxy):
        async def serve(self, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()

    asked = asyncio.Event()
    async with Slow() as proxy, client("https://127.0.0.1:9", proxy=proxy.url) as zai:
        call = asyncio.create_task(ask(zai))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def assert_hidden(error, secret):
    """Look into every frame of ours, at the local variables too."""
    assert secret not in f"{error} {error!r} {error.__cause__} {error.__cause__!r}"
    assert secret not in "".join(traceback.format_exception(error))
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in trace.stack if "/zai_async/" in frame.filename]
    assert ours
    assert not [frame for frame in ours if secret in str(frame.locals)]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
async def test_the_environment_names_a_proxy(environment, variable):
    async with FaultServer([OK]) as server, Proxy() as proxy:
        environment(variable, proxy.url)
        async with client(server.url, trust_env=True) as zai:
            await ask(zai)
            await ask(zai)
        async with client(server.url, trust_env=False) as zai:
            await ask(zai)
        assert proxy.passed_on == 1
        assert len(server.requests) == 3


@pytest.mark.parametrize("excepted", ["127.0.0.1", "127.0.0.1:{port}", "*"])
async def test_the_environment_names_exceptions(environment, excepted):
    async with FaultServer([OK]) as server, Proxy() as proxy:
        environment("ALL_PROXY", proxy.url)
        environment("NO_PROXY", excepted.format(port=server.port))
        async with client(server.url, trust_env=True) as zai:
            await ask(zai)
        assert (proxy.connections, server.connections) == (0, 1)


async def test_a_proxy_without_a_scheme_is_taken_for_http(environment):
    async with FaultServer([OK]) as server, Proxy() as proxy:
        environment("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        async with client(server.url, trust_env=True) as zai:
            await ask(zai)
        assert proxy.passed_on == 1


@pytest.mark.parametrize(
    "address",
    ["ftp://me:secret-canary@h", "http://", "http://[::1", "h:99999"],
)
async def test_a_proxy_that_cannot_be_used(environment, address):
    with pytest.raises(ConfigurationError, match="http://") as caught:
        client(proxy=address)
    assert_hidden(caught.value, "canary")
    environment("ALL_PROXY", address)
    async with client(trust_env=True) as zai:
        with pytest.raises(ConfigurationError, match="http://") as caught:
            await ask(zai)
    assert_hidden(caught.value, "canary")
