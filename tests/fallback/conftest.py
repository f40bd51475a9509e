"""The suites of calls and streams once more, on the other ways of sending."""

import pytest

from tests.ways import send_by

# By public means no connection is kept, and what came before one broke may be lost.
POOLED = {"test_connections_are_used_again", "test_a_fault_after_the_first_token_is_not"}


@pytest.fixture(autouse=True, params=["client", "public"])
def way(request, monkeypatch):
    """Send through aiohttp's client, on the pool of ours or by nothing but its public parts."""
    if request.param == "public" and request.node.originalname in POOLED:
        pytest.skip("not by public means alone")
    send_by(request.param, monkeypatch)
