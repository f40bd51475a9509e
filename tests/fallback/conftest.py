"""The suites of calls and streams once more, on the other ways of sending."""

import pytest

from zai_async._transport import _direct, _internals


@pytest.fixture(autouse=True, params=["client", "public"])
def way(request, monkeypatch):
    """Send through aiohttp's client, on the pool of ours or by nothing but its public parts."""
    if request.param == "client":
        monkeypatch.setattr(_direct, "is_watched", lambda session: True)
    elif request.node.originalname == "test_connections_are_used_again":
        pytest.skip("by public means alone none is kept")
    else:
        monkeypatch.setattr(_internals, "hold", lambda: False)
