"""A file that appears under its name when it is whole, or not at all."""

import os
import secrets
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from zai_async._threads import to_the_end

__all__ = ["PartialFile"]


class PartialFile:
    """Write to a file beside the wanted one, which takes its name when the block ends well.

    What has that name already is replaced, or else the new file gets a number.
    """

    def __init__(self, target: Path, *, replaces: bool = True) -> None:
        self.path = target
        """Where the file lies, once the block has ended."""
        self._replaces = replaces
        self._part = target.with_name(f".{secrets.token_hex(8)}.part")
        self._files = ExitStack()
        self._file: BinaryIO

    async def __aenter__(self) -> Self:
        try:
            await to_the_end(self._open)
        except BaseException:
            await to_the_end(self._drop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await to_the_end(self._keep if kind is None else self._drop)

    async def write(self, piece: bytes) -> None:
        """Append a piece."""
        await to_the_end(partial(self._file.write, piece))

    def _open(self) -> None:
        self._file = self._files.enter_context(self._part.open("xb"))

    def _keep(self) -> None:
        try:
            self._files.close()
            self._name()
        except BaseException:
            self._drop()
            raise

    def _name(self) -> None:
        if self._replaces:
            self._part.replace(self.path)
        else:
            self.path = _renamed(self._part, self.path)

    def _drop(self) -> None:
        try:
            self._files.close()
        finally:
            self._part.unlink(missing_ok=True)


def _renamed(path: Path, wanted: Path) -> Path:
    """Rename a file to image.png or, as far as these are taken, image-2.png, image-3.png ..."""
    name, number = wanted, 1
    while not _rename_to_new(path, name):
        number += 1
        name = wanted.with_stem(f"{wanted.stem}-{number}")
    return name


def _rename_to_new(path: Path, name: Path) -> bool:
    """Rename a file unless the name is taken, whoever else wants it at the same moment."""
    try:
        os.link(path, name)
    except FileExistsError:
        return False
    except OSError:
        return _reserve_and_rename(path, name)
    path.unlink()
    return True


def _reserve_and_rename(path: Path, name: Path) -> bool:
    """Do the same in a file system that has no links."""
    try:
        name.open("xb").close()
    except FileExistsError:
        return False
    path.replace(name)
    return True
