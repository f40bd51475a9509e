"""What the lines of an output say when a run goes on, and where their torn end begins; pure."""

import re
from collections.abc import Iterator
from typing import Any, Final, Literal

from zai_async.batch.keys import KeyIndex, digest_of
from zai_async.batch.lines import LineHead, head_of, parse_line
from zai_async.batch.results import Failed, Ok
from zai_async.batch.rows import RowFaultError
from zai_async.errors import ConfigurationError

__all__ = ["JournalError", "Recovery", "result_of"]

_START: Final = b'{"custom_id":'
_OURS: Final = re.compile(rb'\{"custom_id":"(?:[^"\\]|\\.)*","error":')


class JournalError(ConfigurationError):
    """The output cannot be used; not a byte of it was changed, and nothing was sent."""

    def __init__(
        self,
        message: str,
        *,
        reason: Literal["foreign", "locked", "changed", "unusable"] = "unusable",
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.reason = reason
        """``"changed"``: it belongs to a run with other settings."""


class Recovery:
    """What the lines of an output say.

    Args:
        known: Whether a manifest says that the output is one of ours.
        positions: Whether the index is to know where lines are.
    """

    def __init__(self, *, known: bool = False, positions: bool = False) -> None:
        self.index = KeyIndex(positions=positions)
        self.end = 0
        """Where the next line begins."""
        self.damaged = 0
        """Lines that cannot be read."""
        self.lacks_line_end = False
        """Whether the last line is whole, but for its end."""
        self._known = known
        self._results = 0

    def read(self, lines: Iterator[bytes]) -> Iterator[tuple[LineHead, int, bytes]]:
        """Take in the lines from the first on; yield each result, where it is, and its line.

        Raises:
            JournalError: This is no output of a batch.
        """
        for line in lines:
            whole = line.endswith(b"\n")
            head = head_of(line)
            if head is not None:
                self._results += 1
                self.index.record(digest_of(head.key), self.end, failed=head.failed)
                yield head, self.end, line
                self.end += len(line)
                self.lacks_line_end = not whole
            elif whole:
                # One line that a disk has spoilt is no reason to buy the others again; a file of
                # which nothing is a result belongs to somebody else.
                somebody_elses = line.startswith(b"{") and not line.startswith(_START)
                if somebody_elses or not (self._results or _OURS.match(line)):
                    raise foreign(
                        f"line {self.damaged + self._results + 1} is no result of a batch"
                    )
                self.damaged += 1
                self.end += len(line)
            else:
                # A tail that was torn off is written again, if it was ours.
                ours = _START.startswith(line[: len(_START)]) or not line.strip(b"\0")
                if not (self._results or (self._known and ours)):
                    raise foreign("it holds no result of a batch")


def result_of(line: bytes) -> Ok | Failed:
    """Return the result that a line of an output holds.

    Raises:
        JournalError: It holds none, as when somebody else has changed the output meanwhile.
    """
    try:
        return parse_line(line)
    except (ValueError, RecursionError, RowFaultError) as error:
        raise JournalError(f"{line[:60]!r} holds no result of a batch: {error}") from None


def foreign(why: str) -> JournalError:
    """Return the refusal of a file that is not ours."""
    return JournalError(f"the output is not written to: {why}", reason="foreign")
