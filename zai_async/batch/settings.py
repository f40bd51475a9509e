"""What the caller of a batch has said."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec
from msgspec.structs import force_setattr

from zai_async._kinds import is_a, is_whole
from zai_async.batch.intake import Resume
from zai_async.batch.results import BatchProgress
from zai_async.errors import ConfigurationError
from zai_async.models import Budget, CallOptions
from zai_async.retry import RetryPolicy

__all__ = ["BatchOptions", "OnProgress", "RunSettings"]

OnProgress: TypeAlias = Callable[[BatchProgress], Any]
"""Called with how far a run is, at most twice a second; a function or a coroutine function."""


class BatchOptions(TypedDict, total=False):
    """What may be said about a run beside its rows and its output."""

    model: str | None
    """For rows that name none."""
    system: str | None
    """A system message for rows of ``prompt`` or ``messages`` without one."""
    template: str | None
    """The prompt, with columns of the rows in braces: ``"Translate: {text}"``."""
    url: str
    """The operation of rows that name none; ``"/v4/chat/completions"`` if left out."""
    params: Mapping[str, Any] | None
    """Body fields for rows that lack them, such as ``{"temperature": 0}``."""
    ordered: bool
    """Whether results are handed out in the order of rows; the output is in order of completion
    in any case."""
    concurrency: int | None
    """Rows at once, from being sent until they are on the disk; by default as many as the limiter
    finds out to be possible."""
    options: CallOptions | None
    """Of each call."""
    budget: Budget | None
    """What the run is charged to; it pauses when that is spent."""
    retry: RetryPolicy | None
    """When refused requests are sent again; by default the client's policy, with an hour in place
    of its time budget."""
    priority: Literal["normal", "background"]
    """``"background"``, the default, lets other calls of the client go first, though not for
    ever."""
    fallbacks: Sequence[str]
    """Models to ask when that of a row is overloaded or used up."""
    dedupe: bool
    """Whether equal requests share an answer."""
    cache: str | os.PathLike[str] | None
    """A directory of answers that several runs share."""
    resume: Resume
    """Which rows are worked on: ``"unfinished"``, those without an answer; ``"missing"``, those
    that were never tried; ``"failed"``, those that failed."""
    replay: bool
    """Whether answers of earlier runs are handed out as well."""
    force_resume: bool
    """Whether to go on although model, system message or the like have changed."""
    handle_signals: bool
    """Whether Ctrl-C and SIGTERM let the run come to its end, and a second one stops it at
    once."""
    on_progress: OnProgress | None
    """Called with how far the run is, at most twice a second."""
    backend: Literal["calls", "server"]
    """``"server"`` has the platform work through files of requests, within a day and at half the
    price; documented for bigmodel.cn only. It knows no ``ordered``, ``dedupe``, ``cache`` or
    ``fallbacks``."""


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What changes how a run goes, and not what its answers are.

    Raises ConfigurationError for a value that is invalid.
    """

    out: str
    ordered: bool = False
    concurrency: int | None = None
    options: CallOptions = CallOptions()
    fallbacks: Sequence[str] = ()
    dedupe: bool = False
    cache: str | os.PathLike[str] | None = None
    resume: Resume = "unfinished"
    replay: bool = False
    force_resume: bool = False
    handle_signals: bool = False
    on_progress: OnProgress | None = None
    backend: Literal["calls", "server"] = "calls"

    def __post_init__(self) -> None:
        number = self.concurrency
        if number is not None and not (is_whole(number) and number >= 1):
            raise ConfigurationError(f"concurrency must be 1 or more, not {number!r}")
        for name in ("ordered", "dedupe", "replay", "force_resume", "handle_signals"):
            switch: object = getattr(self, name)
            if not isinstance(switch, bool):
                raise ConfigurationError(f"{name} must be True or False, not {switch!r}")
        # A lone text would be a model for each of its letters.
        several = is_a(self.fallbacks, Iterable) and not isinstance(self.fallbacks, str)
        models = tuple(self.fallbacks) if several else ("",)
        if not all(is_a(model, str) and model for model in models):
            raise ConfigurationError(f"fallbacks must be a list of models, not {self.fallbacks!r}")
        force_setattr(self, "fallbacks", models)  # which the caller may go on changing
        if self.on_progress is not None and not callable(self.on_progress):
            kind = type(self.on_progress).__name__
            raise ConfigurationError(f"on_progress must be a function, not {kind}")
        if self.resume not in ("unfinished", "missing", "failed"):
            text = f"resume must be 'unfinished', 'missing' or 'failed', not {self.resume!r}"
            raise ConfigurationError(text)
        if self.backend not in ("calls", "server"):
            raise ConfigurationError(f"backend must be 'calls' or 'server', not {self.backend!r}")
