"""See conftest.py."""

from tests.test_drain import *  # noqa: F403
