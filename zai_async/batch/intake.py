"""Which rows of an input are to be worked on; pure, but for what it remembers."""

from typing import Literal, TypeAlias

import msgspec

from zai_async.batch.keys import KeyIndex, digest_of
from zai_async.batch.results import Failed, RowError
from zai_async.batch.rows import RowFaultError, RowParser, RowRequest

__all__ = ["Intake", "KnownRow", "Resume"]

Resume: TypeAlias = Literal["unfinished", "missing", "failed"]
"""Which rows a run works on: all without an answer, those never tried, or those that failed."""


class KnownRow(msgspec.Struct, frozen=True):
    """A row that is not worked on: an earlier run has done so."""

    key: str
    request: RowRequest | None
    position: int | None
    """Where its answer is in the output; None if it has none."""


class Intake:
    """Tells rows apart by their keys, and those to be worked on from those that are done.

    Args:
        index: The keys of the output.
    """

    def __init__(self, parser: RowParser, index: KeyIndex, resume: Resume) -> None:
        self._parser = parser
        self._index = index
        self._resume = resume
        self._repeated: dict[str, int] = {}

    def take(self, row: object) -> RowRequest | Failed | KnownRow:
        """Return the request of a row, or why there is none."""
        request, fault = None, ""
        try:
            # Who has to know the key of a row beforehand has parsed it already.
            given = row if isinstance(row, RowRequest) else self._parser.parse(row)
            named, key = bool(given.key), given.key or given.hash_key
            request = given
        except RowFaultError as error:
            fault, named = error.message, bool(error.key)
            try:
                key = error.key or f"sha256-{digest_of(repr(row)).hex()}"
            except (ValueError, RecursionError):  # not even Python can write it down
                key = f"sha256-{digest_of(type(row).__qualname__).hex()}"
        before = self._index.see(digest_of(key))
        if before is not None and before.seen:
            # Rows without id may well be equal; an id that is used twice is a mistake of the input,
            # and what came first must not be overwritten. Nor is the answer of a row that is really
            # called like that for one of these.
            first = key
            while before is not None and (before.seen or (named and before.done)):
                count = self._repeated[first] = self._repeated.get(first, 1) + 1
                key = f"{first}#{count}"
                before = self._index.get(digest_of(key))
            self._index.see(digest_of(key))
            if named:
                request = None
                fault = f"custom_id {first!r} is used more than once; this row is {key!r}"
        if before is not None and before.done:
            return KnownRow(key, request, before.position)
        failed = before is not None and before.failed
        if failed if self._resume == "missing" else not failed and self._resume == "failed":
            return KnownRow(key, request, None)
        if request is None:
            return Failed(key=key, error=RowError(kind="input", message=fault))
        request.key = key
        return request
