"""See conftest.py."""

from tests.test_files import *  # noqa: F403
