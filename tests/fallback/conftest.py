"""The suites of calls and streams once more, on the other ways of sending."""

import pytest

from zai_async._transport import _direct, _internals

# By public means no connection is kept, and what came before one broke may be lost.
POOLED = {"test_connections_are_used_again", "test_a_fault_after_the_first_token_is_not"}


@pytest.fixture(autouse=True, params=["client", "public"])
def way(request, monkeypatch):
    """Send through aiohttp's client, on the pool of ours or by nothing but its public parts."""
    if request.param == "client":
        monkeypatch.setattr(_direct, "is_watched", lambda session: True)
    elif request.node.originalname in POOLED:
        pytest.skip("not by public means alone")
    else:
        monkeypatch.setattr(_internals, "hold", lambda: False)
