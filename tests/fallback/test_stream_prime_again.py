"""See conftest.py."""

from tests.test_stream_prime import *  # noqa: F403
