"""See conftest.py."""

from tests.test_downloads_resumed import *  # noqa: F403
