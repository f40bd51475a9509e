"""See conftest.py."""

from tests.test_stream_opening import *  # noqa: F403
