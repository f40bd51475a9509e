"""What commands keep on this machine: where it lies, and that nobody else can read it."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["config_directory", "keeps_history", "state_directory", "write_private"]

_NAME: Final = "zai"


def config_directory() -> Path:
    """Return the directory of what a person has set, such as keys."""
    # https://specifications.freedesktop.org/basedir-spec: an empty variable counts as unset.
    # Windows sets the second variable; nothing else does.
    base = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA")
    return Path(base or Path.home() / ".config") / _NAME


def state_directory() -> Path:
    """Return the directory of what commands remember, such as the last conversation."""
    base = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(base or Path.home() / ".local/state") / _NAME


def keeps_history() -> bool:
    """Say whether conversations are kept: not where ZAI_HISTORY is off."""
    return os.environ.get("ZAI_HISTORY", "").strip().lower() not in {"off", "0", "no", "false"}


def write_private(path: Path, data: str) -> None:
    """Write a file that only its owner can read; it is whole or not there.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp() creates with mode 600, so there is no moment at which others could open it, and
    # the rename replaces a symbolic link instead of following it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
