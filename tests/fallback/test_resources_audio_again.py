"""See conftest.py."""

from tests.test_resources_audio import *  # noqa: F403
