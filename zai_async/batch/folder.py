"""A folder of outputs, one for each process that answers rows of the same run."""

import os
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final

from zai_async.batch.journal import read_manifest
from zai_async.batch.keys import KeyIndex, canonical_digest, digest_of
from zai_async.batch.recovery import JournalError, Recovery, result_of
from zai_async.batch.results import Failed, Ok

__all__ = ["RunFolder"]

_PLACE: Final = 2**40
"""More bytes than an output has."""


class RunFolder:
    """Knows the answers that are in the outputs of a folder, and where; blocking.

    Args:
        folder: Where they are; it is made if need be.
        settings: What changes answers, as ``RowParser.settings``.

    Raises:
        JournalError: An output belongs to a run with other settings, or cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self._index = KeyIndex()
        self._outs: list[Path] = []
        self._config = canonical_digest("run", settings).hex()
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for number, out in zip(count(), sorted(Path(folder).glob("*.jsonl")), strict=False):
                self._outs.append(out)
                # File and position share one number: the index keeps eight bytes for each key.
                self._learn(out, number * _PLACE)
        except OSError as error:
            text = f"{os.fspath(folder)!r} cannot be used: {error.strerror}"
            raise JournalError(text) from None

    def _learn(self, out: Path, place: int) -> None:
        before = read_manifest(out)
        if before is not None and before.config not in {"", self._config}:
            raise JournalError(
                f"{str(out)!r} belongs to a run with other settings: choose another folder",
                reason="changed",
            )
        with out.open("rb") as file:
            for head, position, _ in Recovery(known=before is not None).read(iter(file)):
                # An answer of one process counts more than the failure of another.
                if not head.failed:
                    self._index.record(digest_of(head.key), place + position, failed=False)

    def find(self, key: str) -> Callable[[], Ok | Failed] | None:
        """Return what reads the answer to a row; None if there was none when the folder was read.

        Only the reading blocks: for nearly all rows there is nothing to read.
        """
        known = self._index.get(digest_of(key))
        if known is None:
            return None
        number, position = divmod(known.position, _PLACE)

        def read() -> Ok | Failed:
            with self._outs[number].open("rb") as file:
                file.seek(position)
                return result_of(file.readline())

        return read
