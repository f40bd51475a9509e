"""Hooks: what they are told, and what their own failures do."""

import pytest

from tests.calls import COMPLETION, KEY, FakeClock, ask, client
from zai_async import CallOptions, Hooks, RetryPolicy
from zai_async.testing import FakeReply, FakeTransport

FINE = FakeReply.json(COMPLETION, X_Log_Id="log-1")
BUSY = FakeReply.json({"error": {"code": "1302", "message": "slow down"}}, status=429)


class Seen(list):
    """Remembers events; as hooks that are functions, or coroutine functions."""

    def plain(self) -> Hooks:
        return Hooks(on_request=self.append, on_response=self.append, on_retry=self.append)

    def waiting(self) -> Hooks:
        async def hook(event):
            self.append(event)

        return Hooks(on_request=hook, on_response=hook, on_retry=hook)

    @property
    def names(self):
        return [type(event).__name__ for event in self]


def watched(hooks, *script):
    transport = FakeTransport(*script)
    return client(transport=transport, hooks=hooks, retry=RetryPolicy(), clock=FakeClock())


@pytest.mark.parametrize("kind", ["plain", "waiting"])
async def test_hooks_see_everything_in_order(kind):
    seen = Seen()
    async with watched(getattr(seen, kind)(), BUSY, FINE) as zai:
        await ask(zai, options=CallOptions(tag="mine"))
    request, response, retry, again, answer = seen
    assert seen.names == [
        "RequestEvent",
        "ResponseEvent",
        "RetryEvent",
        "RequestEvent",
        "ResponseEvent",
    ]
    assert {event.operation for event in seen} == {"chat.completions.create"}
    assert {event.tag for event in seen} == {"mine"}
    assert [event.attempt for event in seen] == [1, 1, 1, 2, 2]
    assert (request.method, request.url) == (
        "POST",
        "http://127.0.0.1:9/api/paas/v4/chat/completions",
    )
    assert again.url == request.url
    assert (response.status_code, response.request_id, response.duration) == (429, None, 0.0)
    assert (retry.error.code, retry.wait) == ("1302", 1.0)
    assert (answer.status_code, answer.request_id) == (200, "log-1")
    assert answer.connection_reused is False
    assert KEY not in repr(list(seen))


@pytest.mark.parametrize("name", ["on_request", "on_response"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_a_hook_raises_ends_the_call(name, asynchronous):
    def fail(event):
        raise LookupError(name)

    async def fail_later(event):
        raise LookupError(name)

    hooks = Hooks(**{name: fail_later if asynchronous else fail})
    transport = FakeTransport(BUSY, FINE)
    async with client(
        transport=transport, hooks=hooks, retry=RetryPolicy(), clock=FakeClock()
    ) as zai:
        with pytest.raises(LookupError, match=name):
            await ask(zai)
    assert len(transport.requests) == (name != "on_request")
    assert transport.open_responses == 0
