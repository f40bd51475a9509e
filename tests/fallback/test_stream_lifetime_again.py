"""See conftest.py."""

from tests.test_stream_lifetime import *  # noqa: F403
