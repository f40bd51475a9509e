"""The base of every answer: its request id, and how the call that fetched it went."""

from typing import Any, Self

from msgspec import Struct

from zai_async._codes import Outcome
from zai_async.errors import Attempt, Timing


class Reply(Struct, kw_only=True, dict=True):
    """Carry what all answers share.

    What the SDK adds lives in the instance's ``__dict__``, outside the fields: no key of the wire
    can collide with it and encoding leaves it out, while copies and pickles take it along, except
    for the way to the network.
    """

    request_id: str | None = None
    """The id to quote to the support of the platform; the caller's own when one was sent."""

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The requests it took to get this answer, the last one being the successful one."""
        attempts: tuple[Attempt, ...] = vars(self).get("attempts", ())
        return attempts

    @property
    def timing(self) -> Timing:
        """How long the call took."""
        timing: Timing = vars(self).get("timing") or Timing()
        return timing

    @property
    def outcome(self) -> Outcome:
        """How the call ended, in the SDK's words."""
        outcome: Outcome = vars(self).get("outcome", "completed")
        return outcome

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {name: value for name, value in vars(self).items() if name != "downloader"}
        return (*super().__reduce__(), kept)

    def __copy__(self) -> Self:
        rebuild, arguments, state = self.__reduce__()
        copied: Self = rebuild(*arguments)
        vars(copied).update(state)
        return copied


def attach_call(
    reply: Reply,
    *,
    attempts: tuple[Attempt, ...],
    timing: Timing | None = None,
    outcome: Outcome | None = None,
) -> None:
    """Record on a reply how it was fetched; without ``outcome`` the reply judges for itself."""
    vars(reply).update(attempts=attempts, timing=timing)
    if outcome is not None:
        vars(reply)["outcome"] = outcome
