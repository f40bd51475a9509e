"""See conftest.py."""

from tests.test_call_clocks import *  # noqa: F403
