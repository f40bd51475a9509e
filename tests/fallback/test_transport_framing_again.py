"""See conftest.py. Every breakage, cut in every way, is for the thorough run."""

import pytest

from tests.effort import THOROUGH
from tests.test_transport_framing import *  # noqa: F403

pytestmark = pytest.mark.skipif(not THOROUGH, reason="a part of the thorough run")
