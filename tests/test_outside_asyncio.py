"""What is used where no event loop of asyncio runs says so at once."""

import pytest

from tests.calls import KEY
from zai_async import AsyncZai, ZaiError
from zai_async._clock import RescheduleTimeout


def test_a_timeout_needs_a_loop():
    with pytest.raises((ZaiError, RuntimeError), match="asyncio"):
        RescheduleTimeout().__enter__()


def test_a_session_needs_a_loop():
    zai = AsyncZai(api_key=KEY)
    opening = zai._manager.sessions.current()
    with pytest.raises((ZaiError, RuntimeError), match="asyncio"):
        opening.send(None)


def test_closing_needs_a_loop():
    closing = AsyncZai(api_key=KEY)._manager.sessions.aclose()
    with pytest.raises(RuntimeError, match="zai_async runs on asyncio"):
        closing.send(None)
