"""What the caller of a batch has said."""

import os
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from zai_async.batch.intake import Resume
from zai_async.batch.results import BatchProgress
from zai_async.errors import ConfigurationError
from zai_async.models import CallOptions

__all__ = ["OnProgress", "RunSettings"]

OnProgress: TypeAlias = Callable[[BatchProgress], Any]
"""Called with how far a run is, at most twice a second; a function or a coroutine function."""


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What changes how a run goes, and not what its answers are.

    Raises ConfigurationError for a value that is invalid.
    """

    out: str
    ordered: bool = False
    concurrency: int | None = None
    options: CallOptions = CallOptions()
    fallbacks: tuple[str, ...] = ()
    dedupe: bool = False
    cache: str | os.PathLike[str] | None = None
    resume: Resume = "unfinished"
    replay: bool = False
    force_resume: bool = False
    handle_signals: bool = False
    on_progress: OnProgress | None = None
    backend: Literal["calls", "server"] = "calls"

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise ConfigurationError(f"concurrency must be 1 or more, not {self.concurrency!r}")
        if self.resume not in {"unfinished", "missing", "failed"}:
            text = f"resume must be 'unfinished', 'missing' or 'failed', not {self.resume!r}"
            raise ConfigurationError(text)
        if self.backend not in {"calls", "server"}:
            raise ConfigurationError(f"backend must be 'calls' or 'server', not {self.backend!r}")
