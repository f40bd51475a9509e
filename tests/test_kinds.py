"""What is set is of the kind that it can be, or is refused by name before anything is sent."""

import math
import sys
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.calls import FakeTransport
from zai_async import (
    APIError,
    AsyncZai,
    Backoff,
    Budget,
    CallOptions,
    ConfigurationError,
    Hooks,
    Limits,
    Price,
    RepetitionGuard,
    RetryPolicy,
    Timeout,
)
from zai_async.testing import FakeReply

KEY = "canary-key.canary-secret"
NO_NUMBERS = [math.nan, True, "5", b"5", [], {}, object(), Decimal(5)]
OTHERS = {
    "int": 5,
    "float": 2.5,
    "bytes": b"x",
    "list": [],
    "object": object(),
    "function": lambda: None,
}


def repr_of(value):
    """Return how a value is written, the same in every worker."""
    return "object()" if type(value) is object else repr(value)


def frames(error):
    """Return the variables of all frames of the package that an error has passed, as printed."""
    shown, trace = [], error.__traceback__
    while trace is not None:
        if "zai_async" in trace.tb_frame.f_code.co_filename:
            shown.append(repr(trace.tb_frame.f_locals))
        trace = trace.tb_next
    return "\n".join(shown)


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize(
    "name",
    [
        "base_url",
        "provider",
        "retry",
        "hooks",
        "coordinator",
        "budget",
        "prices",
        "wait_for_quota",
        "proxy",
        "trust_env",
        "ssl",
        "ca_file",
        "session",
        "transport",
        "clock",
        "headers",
        "auth",
    ],
)
def test_a_setting_of_another_kind_is_named(name, value):
    with pytest.raises(ConfigurationError, match=name):
        AsyncZai(api_key=KEY, **{name: value})


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -1, math.inf], ids=repr_of)
def test_a_limit_of_time_is_a_number_above_zero(value):
    with pytest.raises(ConfigurationError, match="timeout must be a Timeout, or a number of"):
        AsyncZai(api_key=KEY, timeout=value)


@pytest.mark.parametrize("value", [0, "3", math.nan])
@pytest.mark.parametrize("name", ["retry", "hooks", "wait_for_quota", "tag", "budget", "headers"])
def test_a_derived_client_is_as_strict(name, value):
    client = AsyncZai(api_key=KEY, transport=FakeTransport())
    value = 5 if name == "tag" else value
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        client.with_options(**{name: value})


@pytest.mark.parametrize("key", [5, object(), [5], b"canary", [b"canary"], {5: 6}], ids=repr_of)
def test_a_key_is_text(key):
    with pytest.raises(ConfigurationError, match="key"):
        AsyncZai(api_key=key)


def test_prices_are_prices():
    with pytest.raises(ConfigurationError, match="prices must map models to Price, not 'glm' to 5"):
        AsyncZai(api_key=KEY, prices={"glm": 5})
    with pytest.raises(ConfigurationError, match="prices must map models to Price, not 5 to"):
        AsyncZai(api_key=KEY, prices={5: Price()})


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": [("Authorization", "canary-header")]},
        {"headers": {"Authorization": "canary-header"}, "limits": "no"},
        {"headers": {"Authorization": "canary-header"}, "retry": 5},
        {"proxy": b"http://user:canary-password@proxy"},
        {"proxy": "http://user:canary-password@proxy", "hooks": 5},
        {"api_key": b"canary-other"},
    ],
)
def test_what_is_refused_shows_no_secret(wrong):
    with pytest.raises(ConfigurationError) as caught:
        AsyncZai(**{"api_key": KEY} | wrong)
    assert "canary" not in frames(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [["canary-header"], "canary-header", {"X": "canary-header"}],
    ids=["list", "text", "mapping"],
)
def test_what_a_derived_client_refuses_shows_no_secret(headers):
    client = AsyncZai(api_key=KEY, transport=FakeTransport())
    with pytest.raises(ConfigurationError) as caught:
        client.with_options(headers=headers, retry=5)
    assert "canary" not in frames(caught.value)


def test_headers_of_a_call_show_no_secret():
    with pytest.raises(ValueError, match="headers must be a mapping of names to values") as caught:
        CallOptions(headers=["canary-header"])
    assert "canary" not in frames(caught.value)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr_of)
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Timeout, "connect first_byte first_progress between_progress"),
        (Budget, "tokens cost"),
        (Price, "prompt completion cached call"),
        (RepetitionGuard, "chars max_unit"),
        (CallOptions, "timeout deadline retries headers allow budget repetition tag"),
        (RetryPolicy, "budget longest_retry_after retries short throttle overload"),
        (Limits, "start least most requests_per_minute tokens_per_minute burst mode"),
        (Hooks, "on_start on_request on_finish around"),
    ],
    ids=lambda kind: getattr(kind, "__name__", ""),
)
def test_no_number_is_no_number(kind, names, value):
    for name in names.split():
        if (name, value) in [("allow", []), ("headers", {}), ("allow", {}), ("tag", "5")]:
            continue
        with pytest.raises(ValueError, match=name):
            kind(**{name: value})


@pytest.mark.parametrize("value", [*NO_NUMBERS, -1], ids=repr_of)
@pytest.mark.parametrize("name", ["first", "longest", "tries"])
def test_waits_are_seconds(name, value):
    with pytest.raises(ValueError, match=name):
        Backoff(**{"first": 1.0, "longest": 2.0, name: value})


def test_a_price_is_left_out_and_not_none():
    assert Price(cached=None).cached is None
    with pytest.raises(ValueError, match="call must be a price of 0 or more, not None"):
        Price(call=None)


def test_numbers_of_other_types_are_numbers():
    assert Timeout(Fraction(1, 2)).connect == 0.5
    assert CallOptions(timeout=sys.maxsize, retries=10**30).retries == 10**30
    assert RetryPolicy(budget=math.inf).budget == math.inf


@pytest.mark.parametrize("options", [{"timeout": 5}, {}, [], 5, Timeout()], ids=repr_of)
async def test_options_of_a_call_are_options(options):
    transport = FakeTransport()
    async with AsyncZai(api_key=KEY, transport=transport) as zai:
        with pytest.raises(
            ConfigurationError,
            match=r"^options must be CallOptions, such as CallOptions\(timeout=30\), not ",
        ):
            await zai.chat.completions.create(model="glm-5.3", messages="Hi", options=options)
    assert not transport.requests


@pytest.mark.parametrize("extra", [[], 5, "x", [("a", 1)]])
async def test_what_is_extra_is_a_mapping(extra):
    transport = FakeTransport()
    async with AsyncZai(api_key=KEY, transport=transport) as zai:
        with pytest.raises(ConfigurationError, match=r"create\(\): extra must be a mapping, not"):
            await zai.chat.completions.create(model="glm-5.3", messages="Hi", extra=extra)
    assert not transport.requests


async def test_options_may_be_of_a_class_of_the_caller():
    class Patient(CallOptions, frozen=True):
        """Options of somebody's own."""

    refusal = {"error": {"code": "1211", "message": "No such model."}}
    replies = FakeTransport(FakeReply.json(refusal, status=400))
    async with AsyncZai(api_key=KEY, transport=replies) as zai:
        for options in (Patient(tag="patient"), None):
            with pytest.raises(APIError):
                await zai.chat.completions.create(model="glm", messages="Hi", options=options)
    assert len(replies.requests) == 2


@pytest.mark.parametrize("path", [5, None, b"/models", ["models"]])
async def test_the_path_of_a_request_is_text(path):
    transport = FakeTransport()
    async with AsyncZai(api_key=KEY, transport=transport) as zai:
        with pytest.raises(ConfigurationError, match=r"request\(\): path must be a path, not "):
            await zai.request("GET", path)
    assert not transport.requests


@pytest.mark.parametrize(
    "wrong",
    [{"max_bytes": 0}, {"max_bytes": "5"}, {"max_bytes": True}, {"on_progress": 5}, {"allow": "a"}],
    ids=str,
)
async def test_a_download_is_refused_before_anything_is_sent(tmp_path, wrong):
    transport = FakeTransport()
    async with AsyncZai(api_key=KEY, transport=transport) as zai:
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            await zai.download("https://files.example/a", tmp_path / "a", **wrong)
    assert not transport.requests


async def test_progress_of_an_upload_is_told_to_a_function(tmp_path):
    transport = FakeTransport()
    async with AsyncZai(api_key=KEY, transport=transport) as zai:
        with pytest.raises(ConfigurationError, match=r"create\(\): on_progress must be a function"):
            await zai.files.create(file=b"{}", purpose="batch", on_progress=5)
    assert not transport.requests


@pytest.mark.parametrize("allow", [[[]], [5], ["empty", None], 5, "empty"])
def test_outcomes_that_are_allowed_are_outcomes(allow):
    with pytest.raises(ValueError, match="allow must be a collection of "):
        CallOptions(allow=allow)
