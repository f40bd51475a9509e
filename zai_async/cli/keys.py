"""``zai keys``: API keys that are kept on this machine, in its keyring or in a private file."""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from zai_async._secrets import Secret
from zai_async.cli.arguments import Actions
from zai_async.cli.storage import config_directory, write_private
from zai_async.cli.terminal import USAGE, Terminal
from zai_async.errors import ConfigurationError
from zai_async.providers import PROVIDERS, require_usable_key

__all__ = ["keys_parser", "run_keys", "stored_key"]

_SERVICE: Final = "zai-async"
_DESCRIPTION: Final = """\
Keep API keys on this machine. An environment variable comes before them.
"""


def keys_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai keys``."""
    parser = argparse.ArgumentParser(prog="zai keys", description=_DESCRIPTION)
    actions = Actions(parser)
    saving = actions.add("set", save_key, "save a key, typed unseen or piped in")
    deletion = actions.add("delete", delete_key, "delete a key")
    for each in (saving, deletion):
        each.add_argument("--provider", choices=PROVIDERS, default="zai", help="default: zai")
    actions.add("path", print_path, "print the path of the file that holds keys")
    return parser


def run_keys(argv: Sequence[str], terminal: Terminal) -> int:
    """Do one thing with keys."""
    arguments = keys_parser().parse_args(argv)
    status: int = arguments.action(arguments, terminal)
    return status


def save_key(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Save a key under the first variable that the gateway reads.

    Raises:
        ConfigurationError: It is no key, as far as its form shows it.
    """
    provider = PROVIDERS[arguments.provider]
    name = provider.key_variables[0]
    # Never an argument: those can be seen by every user of the machine, and stay in a history.
    typed = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.read()
    key = typed.strip()
    if not key:
        terminal.note("zai: the key is empty")
        return USAGE
    # What was copied along with it, such as Bearer or quotes, would be refused at every call.
    require_usable_key(provider, Secret(key))

    if (keyring := open_keyring()) is not None:
        try:
            keyring.set_password(_SERVICE, name, key)
        # A keyring without a desktop session fails with errors of its back end's own.
        except Exception as error:  # noqa: BLE001
            terminal.note(f"zai: the keyring does not work here ({type(error).__name__})")
        else:
            # Else an older key in the file would come back when the keyring is gone.
            write_keys({other: value for other, value in read_keys().items() if other != name})
            terminal.note(f"zai: {name} is in the keyring")
            return 0
    write_keys({**read_keys(), name: key})
    terminal.note(f"zai: {name} is in {keys_path()}")
    return 0


def delete_key(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Delete a key wherever it lies."""
    name = PROVIDERS[arguments.provider].key_variables[0]
    found = False
    if (keyring := open_keyring()) is not None:
        try:
            keyring.delete_password(_SERVICE, name)
            found = True
        except Exception:  # noqa: BLE001 - also how a key is reported that is not there
            found = False
    keys = read_keys()
    if keys.pop(name, None) is not None:
        write_keys(keys)
        found = True
    terminal.note(f"zai: {name} {'is deleted' if found else 'was not saved'}")
    return 0


def print_path(_arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print where the file of keys is, or would be."""
    terminal.data(f"{keys_path()}\n")
    return 0


def keys_path() -> Path:
    """Return the path of the file that holds keys."""
    return config_directory() / "keys.json"


def read_keys() -> dict[str, str]:
    """Return the keys in the file by the names of their variables.

    Raises:
        ConfigurationError: Others may read the file, or it cannot be read.
    """
    path = keys_path()
    try:
        # As ssh does with its keys: a file that others can read is not a secret any more.
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ConfigurationError(f"other users may read {path}", hint=f"chmod 600 {path}")
        keys = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    return keys


def write_keys(keys: dict[str, str]) -> None:
    """Write the file of keys, unless there is nothing to keep.

    Raises:
        OSError: It cannot be written.
    """
    if keys or keys_path().exists():
        write_private(keys_path(), f"{json.dumps(keys, indent=2)}\n")


def open_keyring() -> Any | None:
    """Return the module ``keyring``, which is not needed, or None."""
    try:
        return import_module("keyring")
    except ImportError:
        return None


def stored_key(provider: str) -> tuple[str, str] | None:
    """Return the key that is kept for a gateway, and where it lies.

    Raises:
        ConfigurationError: The file of keys cannot be used.
    """
    names = PROVIDERS[provider].key_variables
    keys = read_keys()
    for name in names:
        if name in keys:
            return keys[name], str(keys_path())
    # Asked last, because a keyring may open a window that wants a password.
    if (keyring := open_keyring()) is None:
        return None
    for name in names:
        try:
            key: str | None = keyring.get_password(_SERVICE, name)
        except Exception:  # noqa: BLE001 - a keyring that does not work here holds nothing
            return None
        if key:
            return key, "the keyring"
    return None
