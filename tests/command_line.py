"""What the tests of the command line share: surroundings, and a screen that a person watches."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from zai_async.testing import Emulator

UNSET = ("COLUMNS", "NO_COLOR", "ZAI_HISTORY", "ZAI_MODEL", "ZHIPUAI_API_KEY", "ZHIPUAI_BASE_URL")


class Screen(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


def surround(monkeypatch: pytest.MonkeyPatch, emulator: Emulator, home: Path) -> None:
    """Point the command at the emulator and an empty home, with nobody watching or piping."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in surroundings_of(emulator, home).items():
        monkeypatch.setenv(name, value)
    # An installed keyring may hold a key, or open a window.
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def surroundings_of(emulator: Emulator, home: Path) -> dict[str, str]:
    """Return the environment of a command that runs as a process of its own."""
    return {
        "TERM": "xterm",
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "ZAI_API_KEY": "id.secret",
        "ZAI_BASE_URL": emulator.url,
    }


def pipe_in(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Have the command read these bytes on stdin."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def watch(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Put a person in front of stderr; not a fixture, because pytest sets stderr after those."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def sent(emulator: Emulator, number: int = -1) -> Any:
    return emulator.requests[number].json
