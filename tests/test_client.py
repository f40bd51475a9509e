"""The client: where settings come from, and what a derived client shares."""

import copy
import pickle

import pytest

from tests.calls import BODY, COMPLETION, KEY, FakeClock, ask, client
from tests.fault_server import FaultServer, answer
from zai_async import (
    AsyncZai,
    CallOptions,
    ConfigurationError,
    Hooks,
    LimitError,
    MissingKeyError,
    RateLimitError,
    RetryPolicy,
    Timeout,
)
from zai_async._clock import SystemClock
from zai_async.session import Settings
from zai_async.testing import FakeReply, FakeTransport

FINE = FakeReply.json(COMPLETION)
VARIABLES = ("ZAI_API_KEY", "ZAI_BASE_URL", "ZHIPUAI_API_KEY", "ZHIPUAI_BASE_URL")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


@pytest.fixture
def transport():
    return FakeTransport(FINE)


@pytest.mark.parametrize(
    "name", ["max_response_bytes", "max_response_values", "max_event_bytes", "max_event_values"]
)
@pytest.mark.parametrize("size", [0, -1, 1.5, "10", True, None], ids=repr)
def test_a_limit_of_a_size_is_a_whole_number(name, size):
    wrong = pytest.raises(ConfigurationError, match=f"^{name} must be a whole number above 0, not")
    with wrong:
        AsyncZai(api_key=KEY, **{name: size})
    with wrong:
        AsyncZai(api_key=KEY).with_options(**{name: size})


def test_the_smallest_size_is_one():
    sizes = ("response_bytes", "response_values", "error_bytes", "event_bytes", "event_values")
    Settings(**{f"max_{name}": 1 for name in sizes})


async def sent(zai, transport, **params):
    """Make a call and return the key and the address that were sent."""
    async with zai:
        await ask(zai, **params)
    request = transport.requests[-1]
    return request.secret_headers["Authorization"].reveal(), request.url


# Keys


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("zai", "ZAI_API_KEY"),
        ("zai-coding", "ZAI_API_KEY"),
        ("bigmodel", "ZHIPUAI_API_KEY"),
        ("bigmodel", "ZAI_API_KEY"),
    ],
)
async def test_the_key_comes_from_the_environment(environment, transport, provider, name):
    environment(name, f" {KEY}\n")
    key, _ = await sent(AsyncZai(provider=provider, transport=transport), transport)
    assert key == f"Bearer {KEY}"


async def test_the_first_variable_wins_unless_it_is_empty(environment, transport):
    environment("ZAI_API_KEY", "second-key")
    environment("ZHIPUAI_API_KEY", " ")
    zai = AsyncZai(provider="bigmodel", transport=transport)
    assert (await sent(zai, transport))[0] == "Bearer second-key"
    environment("ZHIPUAI_API_KEY", "first-key")
    zai = AsyncZai(provider="bigmodel", transport=transport)
    assert (await sent(zai, transport))[0] == "Bearer first-key"


async def test_an_argument_wins(environment, transport):
    environment("ZAI_API_KEY", "other")
    zai = AsyncZai(api_key=f"{KEY}\r\n", transport=transport)
    assert (await sent(zai, transport))[0] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", [None, "", " \n"])
def test_no_key(key):
    with pytest.raises(MissingKeyError, match=r"pass api_key=\.\.\. or set ZAI_API_KEY$"):
        AsyncZai(api_key=key)
    with pytest.raises(MissingKeyError, match="set ZHIPUAI_API_KEY or ZAI_API_KEY"):
        AsyncZai(api_key=key, provider="bigmodel")


@pytest.mark.parametrize("key", ["canary\nX: 1", "canary\u2013", "canary\x00", "canary\x7f!"])
def test_a_key_that_no_header_can_carry(environment, key):
    with pytest.raises(ConfigurationError) as caught:
        AsyncZai(api_key=key)
    assert "canary" not in str(caught.value)


# Addresses


async def test_the_address_of_the_platform(transport):
    _, url = await sent(AsyncZai(api_key=KEY, transport=transport), transport)
    assert url == "https://api.z.ai/api/paas/v4/chat/completions"


@pytest.mark.parametrize(
    ("provider", "name"), [("zai", "ZAI_BASE_URL"), ("bigmodel", "ZHIPUAI_BASE_URL")]
)
async def test_the_address_comes_from_the_environment(environment, transport, provider, name):
    environment(name, "https://gateway.example/api/paas/v4/")
    zai = AsyncZai(api_key=KEY, provider=provider, transport=transport)
    assert repr(zai) == f"AsyncZai(provider={provider!r}, base_url='https://gateway.example/api')"
    _, url = await sent(zai, transport)
    assert url == "https://gateway.example/api/paas/v4/chat/completions"


async def test_an_empty_variable_does_not_count(environment, transport):
    environment("ZAI_BASE_URL", "")
    zai = AsyncZai(api_key=KEY, transport=transport)
    assert zai.provider.base_url == "https://api.z.ai/api"
    await zai.aclose()


async def test_the_argument_wins_over_the_environment(environment, transport):
    environment("ZAI_BASE_URL", "https://gateway.example/api")
    zai = AsyncZai(api_key=KEY, base_url="https://other.example/api", transport=transport)
    assert (await sent(zai, transport))[1].startswith("https://other.example/")


def test_an_address_that_cannot_be_meant(environment):
    environment("ZAI_BASE_URL", "gateway.example")
    with pytest.raises(ConfigurationError, match="base_url"):
        AsyncZai(api_key=KEY)


# Derived clients


async def test_a_derived_client_shares_the_connections():
    async with FaultServer([answer(BODY)]) as server, client(server.url) as zai:
        await ask(zai)
        await ask(zai.with_options(timeout=5.0))
        await ask(zai.with_options(headers={"X-A": "1"}).with_options(headers={"X-B": "2"}))
        assert server.connections == 1
        assert server.requests[2].header("X-A") == "1"
        assert server.requests[2].header("X-B") == "2"
        assert server.requests[1].header("X-A") is None


def test_headers_that_are_none_are_refused_without_a_word_of_them():
    for headers in ([("X-Token", "Canary")], "X-Token: Canary"):
        with pytest.raises(ConfigurationError, match=r"^headers must be ") as caught:
            client(headers=headers)
        assert "Canary" not in str(caught.value)


async def test_headers_are_merged_the_nearest_wins(transport):
    headers = {"X-Client": "1", "X-Both": "client", "X-All": "client"}
    zai = client(transport=transport, headers=headers)
    headers["X-Client"] = "changed later"
    derived = zai.with_options(headers={"X-Both": "derived", "X-All": "derived"})
    await sent(derived, transport, options=CallOptions(headers={"X-All": "call"}))
    found = transport.requests[0].headers
    assert {name: found[name] for name in found if name.startswith("X-")} == {
        "X-Client": "1",
        "X-Both": "derived",
        "X-All": "call",
    }
    assert found["User-Agent"].startswith("zai-async/")


async def test_each_option_can_differ():
    seen = []
    busy = FakeReply.json({"error": {"code": "1302"}}, status=429)
    transport = FakeTransport(busy, busy, FINE)
    zai = client(transport=transport, clock=FakeClock())
    eager = zai.with_options(retry=RetryPolicy(), hooks=Hooks(on_request=seen.append))
    async with zai:
        with pytest.raises(RateLimitError):
            await ask(zai)
        await ask(eager)
        with pytest.raises(LimitError):
            await ask(zai.with_options(max_response_bytes=10, max_event_bytes=10))
    assert [event.attempt for event in seen] == [1, 2]


@pytest.mark.parametrize("name", ["api_key", "base_url", "retries"])
def test_unknown_options(name):
    with pytest.raises(TypeError, match=f"unexpected keyword: {name}"):
        client().with_options(**{name: "x"})


def test_timeouts_are_clocks():
    def clocks(zai):
        return zai._manager.settings.timeout

    assert clocks(client()) == Timeout()
    assert clocks(client(timeout=Timeout(1, 2, 3, 4))) == Timeout(1, 2, 3, 4)
    assert clocks(client(timeout=7)) == Timeout(10.0, 7, 7, 7)
    derived = client(timeout=Timeout(1, 2, 3, 4)).with_options(timeout=9)
    assert clocks(derived) == Timeout(1, 9, 9, 9)


def test_the_key_is_in_no_repr():
    zai = client()
    assert KEY not in repr(zai) + repr(zai._manager.settings) + repr(vars(zai))


# The clock of this machine


async def test_the_clock_of_this_machine():
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() >= before + 0.001
    assert clock.wall() > 1_700_000_000
    assert 0 <= clock.random() < 1


PARTS = {
    "completions": lambda zai: zai.chat.completions,
    "videos": lambda zai: zai.videos,
    "batch": lambda zai: zai.batch,
    "limits": lambda zai: zai.limits,
    "usage": lambda zai: zai.usage,
}


@pytest.mark.parametrize("part", PARTS)
async def test_what_belongs_to_a_client_is_shared_by_copies(part, transport):
    """Settings of frameworks are copied in depth, with whatever they hold."""
    async with client(transport=transport) as zai:
        held = {"one": PARTS[part](zai)}
        for copied in (copy.copy(held["one"]), copy.deepcopy(held)["one"]):
            completions = getattr(copied, "create", None)
            if completions is not None and part == "completions":
                await completions(model="glm-5.3", messages="Hi")
        with pytest.raises(TypeError, match="zai_async cannot be pickled"):
            pickle.dumps(held)
        assert len(transport.requests) == 2 * (part == "completions")
