"""A file that appears under its name when it is whole, or not at all."""

import secrets
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from zai_async._threads import to_the_end

__all__ = ["PartialFile"]


class PartialFile:
    """Write to a file beside the wanted one, which takes its name when the block ends well."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
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
        self._file = self._files.enter_context(self._path.open("xb"))

    def _keep(self) -> None:
        try:
            self._files.close()
            self._path.replace(self._target)
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        try:
            self._files.close()
        finally:
            self._path.unlink(missing_ok=True)
