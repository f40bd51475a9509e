"""See conftest.py."""

from tests.test_hooks import *  # noqa: F403
