"""The pytest plugin: the fixture ``zai_emulator``.

It is loaded in every pytest run of everyone who has this package installed, so it imports the
emulator, and with it aiohttp, only when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zai_async.testing.emulator import Emulator


@pytest.fixture(scope="session")
def _zai_emulator_server() -> Iterator[Emulator]:
    from zai_async.testing.emulator import Emulator  # noqa: PLC0415 - see the module's docstring

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def zai_emulator(_zai_emulator_server: Emulator) -> Iterator[Emulator]:
    """Serve an emulated Z.AI platform; every test gets it without scripts, faults and figures.

    It runs in a thread of its own, so it fits plain, pytest-asyncio and anyio tests alike.
    """
    yield _zai_emulator_server
    _zai_emulator_server.reset()
