"""Test without the platform: an emulator on loopback, faults on demand.

Names are imported when first used, so that the pytest plugin costs nothing in runs that do not
use it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zai_async.testing.emulator import Emulator
    from zai_async.testing.emulator.catalogue import MODELS
    from zai_async.testing.emulator.faults import InjectedFault as Fault
    from zai_async.testing.emulator.requests import RecordedRequest
    from zai_async.testing.fake_transport import FakeReply, FakeTransport

__all__ = ["MODELS", "Emulator", "FakeReply", "FakeTransport", "Fault", "RecordedRequest"]

# The classes have names that are unique in the package; what is imported keeps the short ones.
_HOMES = {
    "MODELS": "emulator.catalogue:MODELS",
    "Emulator": "emulator:Emulator",
    "FakeReply": "fake_transport:FakeReply",
    "FakeTransport": "fake_transport:FakeTransport",
    "Fault": "emulator.faults:InjectedFault",
    "RecordedRequest": "emulator.requests:RecordedRequest",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), attribute)
