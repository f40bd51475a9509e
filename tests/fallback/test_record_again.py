"""See conftest.py."""

from tests.test_record import *  # noqa: F403
