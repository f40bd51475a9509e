"""What the caller of a batch has said."""

from collections.abc import Callable
from typing import Any

import msgspec

from zai_async.models import Budget, CallOptions

__all__ = ["RunSettings"]


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What changes how a run goes, and not what its answers are."""

    out: str
    ordered: bool = False
    concurrency: int | None = None
    budget: Budget | None = None
    options: CallOptions = CallOptions()
    force_resume: bool = False
    on_progress: Callable[[Any], Any] | None = None

    @property
    def call_options(self) -> CallOptions:
        """The options of each call."""
        return msgspec.structs.replace(
            self.options, keep_raw=True, budget=self.budget or self.options.budget
        )
