"""The emulated platform: what it answers (no I/O) and the server that sends it."""

from __future__ import annotations

from zai_async.testing.emulator.emulator import Emulator

__all__ = ["Emulator"]
