"""What a batch hands out: a result for each row, how far it is, and what became of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, cast

import msgspec

from zai_async.errors import StructuredOutputError, ZaiError
from zai_async.models import ChatCompletion, Reply, Usage
from zai_async.models.encoding import encode
from zai_async.models.tolerant import decode

if TYPE_CHECKING:
    # Without a type of answers nobody has to write one down: typing has that from 3.13 on.
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = [
    "BatchProgress",
    "Failed",
    "Ok",
    "Report",
    "RowError",
    "RunState",
    "StopCause",
]

_completions: Final = msgspec.json.Decoder(ChatCompletion)

RunState: TypeAlias = Literal["running", "paused", "stopped", "finished"]
"""A run that was killed stays ``"running"`` until the same call goes on."""


class RowError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Say what went wrong with a row, as plain data that fits into a line of the output."""

    kind: str
    """As ``ZaiError.kind``; ``"input"`` for a row that cannot be read, and was not sent, and
    ``"schema"`` for an answer that does not fit."""
    message: str
    code: str | None = None
    """The business code of the platform, or the outcome of an answer that is not whole."""
    status_code: int | None = None
    request_id: str | None = None
    hint: str | None = None
    retry_at: datetime | None = None

    @classmethod
    def of(cls, error: ZaiError) -> "RowError":
        """Take from an error what is worth keeping."""
        partial = error.partial
        return cls(
            kind="schema" if isinstance(error, StructuredOutputError) else error.kind,
            message=error.message,
            code=error.code or (None if partial is None else partial.outcome),
            status_code=error.status_code,
            request_id=error.request_id,
            hint=error.hint,
            retry_at=error.retry_at,
        )


class StopCause(msgspec.Struct, frozen=True):
    """Why a run takes no more rows."""

    state: RunState
    reason: str | None
    message: str | None
    retry_at: datetime | None = None


class Ok(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A row that has its answer."""

    key: str
    """The ``custom_id`` of the row, or the hash of its request."""
    answer: Reply
    body: bytes
    """The answer as JSON, as the output has it."""
    attempts: int = 1
    """Requests that were sent for it; 0 if it came from elsewhere."""
    deduplicated_from: str | None = None
    """The key of an equal row, whose answer this is."""
    source: Literal["call", "cache", "duplicate", "output"] = "call"
    """Where the answer came from; ``"output"`` is an earlier run."""
    row: Mapping[str, Any] | None = None
    """The row itself, where it was given as a dictionary."""
    parsed: T = cast("Any", None)
    """The value of the answer, where the run has a ``schema``."""
    unfit: Usage | None = None
    """Tokens of an answer before this one, which did not fit the schema."""

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.answer.text

    @property
    def usage(self) -> Usage | None:
        """Tokens of all answers it took, where the service has told them."""
        usage: Usage | None = getattr(self.answer, "usage", None)
        return usage if usage is None or self.unfit is None else usage + self.unfit

    @property
    def completion(self) -> ChatCompletion | None:
        """The answer of a chat; None for that of another operation."""
        return self.answer if isinstance(self.answer, ChatCompletion) else None


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A row that has none; the next run tries it again."""

    key: str
    error: RowError
    partial: bytes | None = None
    """What there is of an answer that is cut, lost or empty, as JSON."""
    attempts: int = 0
    row: Mapping[str, Any] | None = None
    usage: Usage | None = None
    """Tokens of answers that are of no use, where the service has told them."""

    @classmethod
    def of(
        cls, error: ZaiError, key: str, row: Mapping[str, Any] | None, attempts: int
    ) -> "Failed":
        """Return the row that an error leaves, with what there is of an answer."""
        partial = error.partial
        return cls(
            key=key,
            error=RowError.of(error),
            partial=None if partial is None else encode(partial),
            attempts=attempts,
            row=row,
            usage=getattr(error, "usage", None) or getattr(partial, "usage", None),
        )

    @property
    def kind(self) -> str:
        """The kind of the error."""
        return self.error.kind

    @property
    def text(self) -> str:
        """The text of what there is of an answer; empty without any."""
        try:
            return decode(_completions, self.partial or b"{}").text
        except msgspec.DecodeError:  # somebody else's batch may have anything there
            return ""


class BatchProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is; rates are those of the last half minute."""

    total: int | None
    """Rows of the input; None where nobody knows."""
    done: int
    """Rows with an answer, those of earlier runs included."""
    failed: Mapping[str, int]
    """Rows that failed in this run, by kind."""
    skipped: int
    """Rows that had their answer before this run."""
    in_flight: int
    """Rows that wait for their answer."""
    limit: int | None
    """Requests that may be in flight, as far as it is known; None without a limit."""
    rows_per_second: float
    tokens_per_second: float
    tokens: int
    cost: float
    """In the currency of the client's prices; 0 without any."""
    elapsed: float
    """Seconds since the run began."""
    eta: float | None
    """Seconds that are left; None where nobody knows."""

    @property
    def failures(self) -> int:
        """Rows that failed in this run."""
        return sum(self.failed.values())


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of an output, over all runs."""

    out: str
    state: RunState
    """``"running"`` is also what a killed run leaves behind; an output without its manifest, such
    as one that was merged, is ``"finished"``."""
    active: bool = False
    """Whether a process writes to the output at this moment."""
    done: int = 0
    failed: Mapping[str, int] = {}
    """Rows whose last line is an error, by kind."""
    damaged: int = 0
    """Lines that cannot be read; their rows are not done."""
    reason: str | None = None
    """Why the run is paused or was stopped, as an error kind, ``"signal"`` or ``"caller"``."""
    message: str | None = None
    """The same for people."""
    retry_at: datetime | None = None
    """When a paused run may go on, if the platform has said so."""
    started: datetime | None = None
    ended: datetime | None = None
    tokens: int = 0
    cost: float = 0.0
    model: str | None = None

    @property
    def failures(self) -> int:
        """Rows whose last line is an error."""
        return sum(self.failed.values())

    @property
    def exit_code(self) -> int:
        """0 if all is done, 5 with failed rows, 3 or 4 if paused, 130 if stopped."""
        if self.state == "paused":
            return 4 if self.reason in {"quota", "throttle", "overload"} else 3
        if self.state == "finished":
            return 5 if self.failures else 0
        return 130
