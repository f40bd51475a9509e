"""What the tests of the command line share: surroundings, and a screen that a person watches."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from zai_async.testing import Emulator

UNSET = ("NO_COLOR", "ZAI_MODEL", "ZHIPUAI_API_KEY", "ZHIPUAI_BASE_URL")


class Screen(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


def surround(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    """Point the command at the emulator, with nobody watching and nothing piped in."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("ZAI_API_KEY", "id.secret")
    monkeypatch.setenv("ZAI_BASE_URL", emulator.url)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def watch(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Put a person in front of stderr; not a fixture, because pytest sets stderr after those."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def sent(emulator: Emulator, number: int = -1) -> Any:
    return emulator.requests[number].json
