"""See conftest.py."""

from tests.test_repetition import *  # noqa: F403
