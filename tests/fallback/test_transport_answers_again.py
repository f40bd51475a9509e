"""See conftest.py."""

from tests.test_transport_answers import *  # noqa: F403
