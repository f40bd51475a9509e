"""See conftest.py."""

from tests.test_every_operation import *  # noqa: F403
