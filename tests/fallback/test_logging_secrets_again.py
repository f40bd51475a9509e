"""See conftest.py."""

from tests.test_logging_secrets import *  # noqa: F403
