"""See conftest.py."""

from tests.test_transport_secrets import *  # noqa: F403
