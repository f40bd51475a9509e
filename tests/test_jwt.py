"""Tokens that an id.secret key signs, and what becomes of them when they are refused."""

import base64
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import ASK, COMPLETION, ONCE, FakeClock
from zai_async import AsyncZai, ConfigurationError, RetryPolicy, errors
from zai_async._secrets import Secret
from zai_async._wire.headers import LIFETIME, sign_token
from zai_async.testing import FakeReply, FakeTransport

IDENTITY, SECRET = "canary0123456789", "secret9876543210" * 2
KEY = f"{IDENTITY}.{SECRET}"
ANSWER = FakeReply.json(COMPLETION)


def refusal(code, message="refused", status=401):
    return FakeReply.json({"error": {"code": code, "message": message}}, status=status)


def claims(token):
    """Read a token as PyJWT does, which thinks in seconds and so never takes it for expired."""
    return jwt.decode(token, SECRET, algorithms=["HS256"])


async def tokens_of(*script, retry=None, **changes):
    """Ask once; return the tokens that were sent, and the error if there was one."""
    transport = FakeTransport(*script)
    settings = {"api_key": KEY, "auth": "jwt", "clock": FakeClock(), "transport": transport}
    settings["limits"] = "off"  # a queue waits on the clock of the loop
    error = None
    async with AsyncZai(**settings | changes, retry=retry) as zai:
        try:
            await zai.chat.completions.create(**ASK)
        except errors.ZaiError as caught:
            error = caught
    sent = [request.secret_headers["Authorization"].reveal() for request in transport.requests]
    return [text.removeprefix("Bearer ") for text in sent], error


# Signing.


def test_a_token_is_what_another_library_makes_of_the_same_claims():
    header = {"alg": "HS256", "sign_type": "SIGN", "typ": None}
    expected = jwt.encode(
        {"api_key": IDENTITY, "exp": 1_790_000_210_123, "timestamp": 1_790_000_000_123},
        SECRET,
        headers=header,
    )
    token = sign_token(Secret(KEY), 1_790_000_000.123).reveal()
    assert claims(token) == claims(expected)
    assert token.split(".")[1] == expected.split(".")[1]


def test_the_header_names_the_kind_of_signature():
    token = sign_token(Secret(KEY), 0.0).reveal()
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "sign_type": "SIGN"}


@given(
    st.text("abcdef0123456789", min_size=1), st.text(min_size=1), st.floats(0, 4e9, allow_nan=False)
)
def test_every_key_signs_a_token_without_padding_or_secret(identity, secret, now):
    token = sign_token(Secret(f"{identity}.{secret}"), now).reveal()
    _, payload, _ = token.split(".")
    found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert found["api_key"] == identity
    assert found["exp"] - found["timestamp"] == LIFETIME * 1000
    assert "=" not in token


# Sending.


async def test_the_key_itself_is_not_sent():
    (token,), error = await tokens_of(ANSWER)
    assert error is None
    assert KEY not in token
    assert claims(token)["api_key"] == IDENTITY
    assert claims(token)["timestamp"] == FakeClock().wall() * 1000


async def test_each_attempt_has_a_token_of_its_own():
    busy = FakeReply.json({"error": {"code": "1302"}}, status=429, retry_after="200")
    tokens, error = await tokens_of(
        busy, ANSWER, retry=RetryPolicy(budget=1000, longest_retry_after=300)
    )
    assert error is None
    first, second = map(claims, tokens)
    assert second["timestamp"] - first["timestamp"] == 200_000


async def test_a_stream_has_a_token():
    transport = FakeTransport(FakeReply.sse({"choices": [{"finish_reason": "stop"}]}))
    zai = AsyncZai(api_key=KEY, auth="jwt", transport=transport)
    async with zai, zai.chat.completions.stream(**ASK) as stream:
        await stream.open()
    assert transport.requests[0].secret_headers["Authorization"].reveal().count(".") == 2


# What is refused.


@pytest.mark.parametrize("code", ["1003", "1004"])
async def test_a_stale_token_is_signed_again_once(code):
    tokens, error = await tokens_of(refusal(code), ANSWER)
    assert (len(tokens), error) == (2, None)
    tokens, error = await tokens_of(refusal(code))
    assert len(tokens) == 2
    assert isinstance(error, errors.AuthenticationError)
    assert [attempt.code for attempt in error.attempts] == [code, code]


async def test_signing_again_is_no_repetition():
    down = refusal("500", status=500)
    tokens, error = await tokens_of(refusal("1003"), down, ANSWER, retry=RetryPolicy(retries=1))
    assert (len(tokens), error) == (3, None)


@pytest.mark.parametrize(
    ("code", "changes"),
    [("1003", {"retry": ONCE}), ("1000", {}), ("1003", {"auth": "key"})],
    ids=["one request", "another code", "plain key"],
)
async def test_nothing_else_is_signed_again(code, changes):
    tokens, error = await tokens_of(refusal(code), **changes)
    assert len(tokens) == 1
    assert error.code == code


async def test_a_token_is_not_repeated_in_an_error():
    def echo(request):
        token = request.secret_headers["Authorization"].reveal().removeprefix("Bearer ")
        return refusal("1000", f"{token} is not good, {SECRET} neither")

    (token,), error = await tokens_of(echo)
    assert token.rpartition(".")[2] not in f"{error} {vars(error)}"
    assert SECRET not in f"{error} {vars(error)}"


@pytest.mark.parametrize("key", ["no-dot-in-it", ".9876543210", "identity."])
def test_a_key_that_cannot_sign_is_refused_when_the_client_is_made(key):
    with pytest.raises(ConfigurationError, match=r"of the form id\.secret") as caught:
        AsyncZai(api_key=key, auth="jwt")
    assert key not in str(caught.value)


def test_auth_is_one_of_two_words():
    with pytest.raises(ConfigurationError, match="auth must be 'key' or 'jwt', not 'JWT'"):
        AsyncZai(api_key=KEY, auth="JWT")


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_credentials_of_the_caller_win_and_other_secrets_stay(name):
    headers = {name: "Basic mine", "X-Api-Key": "mine too"}
    transport = FakeTransport(refusal("1302", status=429), ANSWER)
    zai = AsyncZai(
        api_key=KEY,
        auth="jwt",
        clock=FakeClock(),
        transport=transport,
        limits="off",
        headers=headers,
    )
    async with zai:
        await zai.chat.completions.create(**ASK)
    for request in transport.requests:
        sent = {key: secret.reveal() for key, secret in request.secret_headers.items()}
        assert sent == headers


async def test_a_token_is_renewed_beside_a_secret_of_the_caller():
    transport = FakeTransport(refusal("1003"), ANSWER)
    headers = {"X-Api-Key": "mine"}
    zai = AsyncZai(
        api_key=KEY,
        auth="jwt",
        clock=FakeClock(),
        transport=transport,
        limits="off",
        headers=headers,
    )
    async with zai:
        await zai.chat.completions.create(**ASK)
    assert [set(request.secret_headers) for request in transport.requests] == [
        {"Authorization", "X-Api-Key"}
    ] * 2
