"""The account of the emulator: keys, limits, quotas, balance and overload."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.counting import calls
from tests.emulator_wire import error_of, wire
from zai_async.testing import Emulator
from zai_async.testing.emulator.account import EmulatedAccount, KeyCheck
from zai_async.testing.emulator.media import pcm, wav
from zai_async.testing.emulator.reply import Refusal
from zai_async.testing.emulator.requests import RecordedRequest

CHAT = {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hello"}]}
PATH = "/paas/v4/chat/completions"
QUOTA = "/monitor/usage/quota/limit"
FUTURE = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with wire(emulator) as client:
        yield client


async def chat(client, **changes):
    return await client.post(PATH, json=CHAT | changes)


# Limits


def held(emulator, client, **changes):
    """Send a request whose answer does not come to an end before the client leaves."""
    emulator.fault(silence_after=(0, 60))
    return client.stream("POST", PATH, json=CHAT | changes)


async def test_requests_beyond_the_limit_are_refused_until_one_ends(emulator, client):
    emulator.account.limit(concurrency=1)
    async with held(emulator, client, stream=True) as first:
        assert first.status_code == 200
        assert error_of(await chat(client)) == (429, "1302")
        assert error_of(await chat(client, model="glm-5")) == (429, "1302")
        assert (await client.get("/paas/v4/models")).status_code == 200
    await emulator.wait_until(lambda: emulator.in_flight == 0)
    assert [(await chat(client)).status_code for _ in range(3)] == [200, 200, 200]


async def test_a_limit_may_concern_one_model(emulator, client):
    emulator.account.limit("glm-5.2", concurrency=1)
    emulator.account.limit(concurrency=2)
    async with held(emulator, client):
        assert error_of(await chat(client)) == (429, "1302")
        assert (await chat(client, model="glm-5")).status_code == 200
        async with held(emulator, client, model="glm-5") as second:
            assert second.status_code == 200
            assert error_of(await chat(client, model="glm-5")) == (429, "1302")


async def test_forms_name_a_model_too(emulator, client):
    emulator.account.overload("glm-asr-2512")
    form = {"data": {"model": "glm-asr-2512"}, "files": {"file": ("a.wav", wav(pcm(1)))}}
    reply = await client.post("/paas/v4/audio/transcriptions", **form)
    assert error_of(reply) == (429, "1305")


# Quota and balance


@pytest.mark.parametrize(
    ("code", "language", "start"),
    [
        ("1308", "en", "Usage limit reached for 5 hour. "),
        ("1308", "zh", "已达到 5\n小时"),
        ("1310", "en", "Weekly/Monthly Limit Exhausted. "),
        ("1316", "zh", "已达到 7 天"),
    ],
)
async def test_a_spent_quota_says_when_it_comes_back(emulator, client, code, language, start):
    emulator.account.quota(code, until=FUTURE, language=language)
    reply = await chat(client, max_tokens=-1)  # the parameters are not even looked at
    assert error_of(reply) == (429, code)
    message = reply.json()["error"]["message"]
    assert message.startswith(start)
    assert "2030-01-02 11:04:05" in message  # Beijing


async def test_a_quota_comes_back(emulator, client):
    emulator.account.quota(until=PAST)
    assert (await chat(client)).status_code == 200


def test_a_moment_without_a_zone_means_nothing(emulator):
    with pytest.raises(ValueError, match="time zone"):
        emulator.account.quota(until=FUTURE.replace(tzinfo=None))


async def test_without_balance_nothing_goes(emulator, client):
    emulator.account.balance(0)
    assert error_of(await chat(client)) == (429, "1113")
    agents = await client.post("/v1/agents", json={"agent_id": "general_translation"})
    assert (agents.status_code, agents.json()["status"]) == (200, "failed")
    assert agents.json()["error"]["code"] == "1113"
    emulator.account.balance(5)
    assert (await chat(client)).status_code == 200


async def test_the_monitor_shows_the_quota(emulator, client):
    async def percentages():
        body = (await client.get(QUOTA)).json()
        assert (body["code"], body["success"], body["data"]["level"]) == (200, True, "pro")
        limits = body["data"]["limits"]
        return [limit["percentage"] for limit in limits], limits[1]["nextResetTime"]

    emulator.account.quota(until=PAST)
    used, reset = await percentages()
    assert used == [10, 10]
    assert reset > time.time() * 1000
    emulator.account.quota(until=FUTURE)
    assert await percentages() == ([100, 100], FUTURE.timestamp() * 1000)


async def test_the_monitor_takes_a_bare_key_and_refuses_with_200():
    async with Emulator(api_key="id.secret") as emulator:
        for key, code in {"id.secret": 200, "Bearer id.secret": 200, "other": 401}.items():
            async with wire(emulator, {"Authorization": key}) as client:
                reply = await client.get(QUOTA)
            assert (reply.status_code, reply.json()["code"]) == (200, code)


# Overload


async def test_overload_ends_after_some_requests_or_seconds(emulator, client):
    emulator.account.overload("glm-5.2", requests=2)
    emulator.account.overload("glm-5", seconds=60)
    emulator.account.overload(seconds=0)
    codes = [(await chat(client)).status_code for _ in range(3)]
    assert codes == [429, 429, 200]
    assert error_of(await chat(client, model="glm-5")) == (429, "1305")
    emulator.account.reset()
    assert (await chat(client, model="glm-5")).status_code == 200


async def test_only_matching_bodies_are_rejected(emulator, client):
    emulator.account.reject(lambda body: body.get("temperature") == 0.5)
    assert error_of(await chat(client, temperature=0.5)) == (429, "1305")
    assert (await chat(client, temperature=0.6)).status_code == 200
    assert error_of(await client.post(PATH, content=b"[]")) == (400, "1210")


# KeyCheck


def packed(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(secret="secret", header=None, expires=timedelta(minutes=3), **changes):
    now = int(time.time() * 1000)
    claims = {"api_key": "id", "exp": now + int(expires.total_seconds() * 1000), "timestamp": now}
    parts = header or {"alg": "HS256", "sign_type": "SIGN"}, claims | changes
    signed = ".".join(packed(json.dumps(part).encode()) for part in parts)
    signature = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{packed(signature)}"


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("id.secret", 200),
        (token, 200),
        ("id.other", (401, "1000")),
        (partial(token, expires=timedelta(minutes=-3)), (401, "1003")),
        (lambda: token(exp=int(time.time()) + 180), (401, "1003")),  # seconds, not milliseconds
        (partial(token, "other"), (401, "1004")),
        (partial(token, api_key="other"), (401, "1004")),
        (partial(token, header={"alg": "none"}), (401, "1002")),
        (partial(token, exp="soon"), (401, "1002")),
        ("a.b.c", (401, "1002")),
        ("\u00fc.b.c", (401, "1002")),
    ],
)
async def test_a_key_may_come_as_a_token(key, answer):
    key = key() if callable(key) else key  # signed now: the tests are collected minutes before
    async with Emulator(api_key="id.secret") as emulator:
        headers = {"Authorization": f"Bearer {key}".encode()}
        async with wire(emulator, headers) as client:
            reply = await chat(client)
    assert (200 if answer == 200 else error_of(reply)) == answer
    assert reply.status_code == (200 if answer == 200 else 401)


@given(st.text(alphabet=st.characters(exclude_characters=" ")), st.sampled_from([".", "a"]))
def test_no_key_breaks_the_check(text, dot):
    key = dot.join([text, text, text])
    with pytest.raises(Refusal) as refused:
        KeyCheck("id.secret").check(f"Bearer {key}", "bearer")
    assert refused.value.code in {"1000", "1002"}


async def test_any_token_does_where_any_key_does(emulator):
    async with wire(emulator, {"Authorization": f"Bearer {token()}"}) as client:
        assert (await chat(client)).status_code == 200


@pytest.mark.parametrize("header", ["Basic id.secret", "Bearer", "Bearer bad"])
async def test_what_is_not_a_key_is_refused(emulator, header):
    async with wire(emulator, {"Authorization": header}) as client:
        assert error_of(await chat(client)) == (401, "1000")


def test_a_request_costs_the_same_however_many_are_in_flight():
    account = EmulatedAccount()
    account.limit(concurrency=200)

    def admitted():
        one = RecordedRequest(
            method="POST",
            path="/",
            query={},
            headers={},
            connection=1,
            reused=False,
            received_at=0,
            body=b'{"model": "glm-5.2"}',
        )
        return calls(lambda: account.admit(one, one))

    _, first, *_, last = [admitted() for _ in range(200)]
    assert first == last
    with pytest.raises(Refusal):
        admitted()
