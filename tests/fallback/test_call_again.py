"""See conftest.py."""

from tests.test_call import *  # noqa: F403
