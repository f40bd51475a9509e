"""Test without the platform: an emulator on loopback, faults on demand.

Names are imported when first used, so that the pytest plugin costs nothing in runs that do not
use it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zai_async.testing._catalogue import MODELS
    from zai_async.testing._fake_transport import FakeReply, FakeTransport
    from zai_async.testing._ledger import RecordedRequest
    from zai_async.testing._reply import Fault
    from zai_async.testing.emulator import Emulator

__all__ = ["MODELS", "Emulator", "FakeReply", "FakeTransport", "Fault", "RecordedRequest"]

_HOMES = {
    "MODELS": "_catalogue",
    "Emulator": "emulator",
    "FakeReply": "_fake_transport",
    "FakeTransport": "_fake_transport",
    "Fault": "_reply",
    "RecordedRequest": "_ledger",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
