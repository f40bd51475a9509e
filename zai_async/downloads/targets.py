"""Where a download goes: a file that is there when it is whole, or a device that takes pieces.

On Linux an unfinished file has no name, so that nothing of it is left behind however the process
ends. Elsewhere it has a hidden one, which only a killed process leaves.
"""

import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from zai_async._files import OutputFile, file_path, naming
from zai_async._threads import to_the_end

__all__ = ["PartialFile", "require_place", "target_of"]

_NAMELESS: Final[int] = getattr(os, "O_TMPFILE", 0)


class PartialFile:
    """Write to a file beside the wanted one, which takes its name when the block ends well.

    What has that name already is replaced, or else the new file gets a number.
    """

    def __init__(self, target: Path, *, replaces: bool = True) -> None:
        self.path = target
        """Where the file lies, once the block has ended."""
        self._replaces = replaces
        self._part = target.with_name(f".{secrets.token_hex(8)}.part")
        self._named = False
        self._file: Any = None

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
        with naming(self.path):
            await to_the_end(self._keep if kind is None else self._drop)

    async def write(self, piece: bytes) -> None:
        """Append a piece."""
        with naming(self.path):
            await to_the_end(partial(self._file.write, piece))

    async def restart(self) -> None:
        """Forget what was written."""

        def empty() -> None:
            self._file.seek(0)
            self._file.truncate()

        await to_the_end(empty)

    def _open(self) -> None:
        if _NAMELESS:
            # Not every file system knows files without a name.
            with suppress(OSError):
                flags = _NAMELESS | os.O_RDWR
                self._file = os.fdopen(os.open(self.path.parent, flags, 0o666), "w+b")
                return
        self._named = True
        self._file = self._part.open("xb")

    def _keep(self) -> None:
        try:
            self._file.flush()
            if self._replaces:
                self._materialize()
                # The caller's permissions stay, as if the old file had been written to.
                if self.path.exists():
                    shutil.copymode(self.path, self._part)
                # In one step: whoever opens the name gets the old file or the new one.
                self._part.replace(self.path)
            else:
                wanted, number = self.path, 1
                # image.png or, as far as these are taken, image-2.png, image-3.png ...
                while not self._take(self.path):
                    number += 1
                    self.path = wanted.with_stem(f"{wanted.stem}-{number}")
            self._file.close()
        except BaseException:
            self._drop()
            raise

    def _name(self, path: Path) -> None:
        """Give the file a name that is free.

        Raises:
            FileExistsError: It is taken.
        """
        if self._named:
            os.link(self._part, path)
            self._part.unlink()
            return
        number = self._file.fileno()
        # Python follows the link of /proc only where it is given a directory, which is ignored.
        os.link(f"/proc/self/fd/{number}", path, src_dir_fd=number, follow_symlinks=True)
        self._named = True

    def _take(self, name: Path) -> bool:
        """Give the file a name unless that is taken, whoever else wants it at the same moment."""
        try:
            self._name(name)
        except FileExistsError:
            return False
        except OSError:
            # A file system without links, or a system without /proc: reserve the name, then move
            # what is whole by then, or the name would stay behind if there is no room for a copy.
            self._materialize()
            try:
                with name.open("xb"):
                    pass
            except FileExistsError:
                return False
            self._part.replace(name)
        return True

    def _materialize(self) -> None:
        """Give the file its hidden name, where no link can be made by copying it."""
        if self._named:
            return
        try:
            self._name(self._part)
        except OSError:
            self._named = True
            self._file.seek(0)
            with self._part.open("xb") as copy:
                shutil.copyfileobj(self._file, copy)

    def _drop(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
        finally:
            if self._named:
                self._part.unlink(missing_ok=True)


def require_place(to: str | os.PathLike[str]) -> None:
    """Look whether a file can be written there, before anybody sends it.

    Raises:
        InvalidFileError: It is the path of no file.
        OSError: There is no such directory, or none that can be written to.
    """
    path = file_path(to)
    made = os.fsdecode(to).endswith(("/", os.sep))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if made:
            return
        directory = path.resolve().parent
        directory.stat()
    else:
        if made and not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        # Devices and pipes are written to; what is replaced is an entry of its directory.
        directory = path.resolve().parent if stat.S_ISREG(mode) else path
    if not os.access(directory, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))


def target_of(to: str | os.PathLike[str], name: str) -> PartialFile | OutputFile:
    """Return the file to be: in a directory under a name of its own, or as the caller names it.

    What the caller names may be a link, whose file is meant, or a device or pipe, which is
    written to and not replaced. Blocking.
    """
    path = Path(os.fsdecode(to))
    if os.fsdecode(to).endswith(("/", os.sep)):
        path.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        # The name is the server's choice, which may be that of something dear.
        return PartialFile(path / name, replaces=False)
    # Renaming over a link would replace the link and leave its file alone.
    real = path.resolve() if path.is_symlink() else path
    try:
        mode = real.stat().st_mode
    except OSError:
        return PartialFile(real)
    return PartialFile(real) if stat.S_ISREG(mode) else OutputFile(real)
