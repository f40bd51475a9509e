"""The pytest plugin: the fixtures ``zai_emulator`` and ``zai_aioresponses``.

It is loaded in every pytest run of everyone who has this package installed, so it imports the
emulator, and with it aiohttp, only when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zai_async.testing.emulator import Emulator


# One server for the whole run: starting a thread for each test would cost more than the test.
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
    # Afterwards, not before: what a test leaves open must not be the next one's.
    yield _zai_emulator_server
    _zai_emulator_server.reset()


@pytest.fixture
def zai_aioresponses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Answer the requests of aiohttp's clients, ours too, by ``aioresponses``, if it is installed.

    ``aioresponses`` 0.7.9 does not know an argument that responses have since aiohttp 3.14.
    """
    core = pytest.importorskip("aioresponses.core")
    import aiohttp  # noqa: PLC0415 - see the module's docstring

    def response(*args: Any, **kwargs: Any) -> aiohttp.ClientResponse:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        return aiohttp.ClientResponse(*args, **kwargs)

    monkeypatch.setattr(core, "ClientResponse", response)
    with core.aioresponses() as mocked:
        yield mocked
