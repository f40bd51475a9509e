"""What answers are made of: how the call went, bytes, pages of lists, and moments."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Self, TypeVar

from msgspec import field

from zai_async._codes import Outcome
from zai_async._files import OutputFile, file_path
from zai_async.errors import Attempt, Timing
from zai_async.models.extra import NO_EXTRA
from zai_async.models.json_object import JSONObject

__all__ = [
    "BinaryReply",
    "Page",
    "Reply",
]

T = TypeVar("T")

# In seconds the year 5138, in milliseconds 1973: no moment of the platform lies between.
_MILLISECONDS_FROM = 100_000_000_000


class HeaderFields(dict[str, str]):
    """Header fields of a response apart from the library that has read them."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in fields.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a field, or the default."""
        return super().get(name.lower(), default)


class Reply(JSONObject, kw_only=True, dict=True):
    """Carry what all answers share.

    What the SDK adds lives in the instance's ``__dict__``, outside the fields: no key of the wire
    can collide with it and encoding leaves it out, while copies and pickles take it along, except
    for the way to the network.
    """

    # Some answers hold it, others only have it in a header, and support asks for it either way.
    request_id: str | None = None
    """The id to quote to the support of the platform; the caller's own when one was sent."""

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The requests it took to get this answer, the last one being the successful one."""
        attempts: tuple[Attempt, ...] = vars(self).get("attempts", ())
        return attempts

    @property
    def text(self) -> str:
        """The text of the answer; empty for one that holds something else."""
        return ""

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields of the response, looked up without regard to case."""
        headers: Mapping[str, str] | None = vars(self).get("headers")
        return NO_EXTRA if headers is None else headers

    @property
    def raw(self) -> bytes | None:
        """The body as it came; None unless ``CallOptions(keep_raw=True)`` asked for it."""
        raw: bytes | None = vars(self).get("raw")
        return raw

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
        if kept.get("headers") is not None:
            kept["headers"] = HeaderFields(kept["headers"])
        return (*super().__reduce__(), kept)

    # copy.copy() would ask __reduce_ex__, which leaves out what stands beside the fields.
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
    headers: Mapping[str, str] | None = None,
    raw: bytes | None = None,
) -> None:
    """Record on a reply how it was fetched; without ``outcome`` the reply judges for itself."""
    vars(reply).update(attempts=attempts, timing=timing, headers=headers, raw=raw)
    if outcome is not None:
        vars(reply)["outcome"] = outcome


class BinaryReply(Reply, kw_only=True):
    """An answer that is no JSON: the sound of a speech, or the content of a file."""

    _as_base64: ClassVar = ("content",)

    content: bytes = b""
    content_type: str = "application/octet-stream"
    """The media type as the service names it."""

    def __repr__(self) -> str:
        # Megabytes of sound would fill a terminal, and what came in place of it repeat a key.
        shown = [f"content=<{len(self.content)} bytes>"]
        names = (name for name in self.__struct_fields__ if name != "content")
        shown += [f"{name}={getattr(self, name)!r}" for name in names]
        return f"{type(self).__name__}({', '.join(shown)})"

    async def save(self, path: str | os.PathLike[str]) -> int:
        """Write the content to a file and return its length in bytes.

        What was in the file is still there where the disk has no room for the content.
        """
        async with OutputFile(file_path(path), len(self.content)) as file:
            await file.write(self.content)
        return len(self.content)


class Page(Reply, Generic[T], kw_only=True):
    """One page of a list."""

    object: str = ""
    data: list[T] = field(default_factory=list[T])
    has_more: bool = False
    """Whether there is another page, which begins ``after`` the last id of this one."""
    first_id: str | None = None
    last_id: str | None = None

    @property
    def next_after(self) -> str | None:
        """What ``after`` has to be for the next page; None when this is the last one."""
        if not (self.has_more and self.data):
            return None
        # Where last_id is left out, the items have it all the same.
        last: Any = self.data[-1]
        return self.last_id or last.id or None


def moment(stamp: int | None) -> datetime | None:
    """Return a time stamp as an aware datetime; None for a stamp that is unset or absurd."""
    if not stamp:
        return None
    try:
        return datetime.fromtimestamp(stamp / 1000 if stamp >= _MILLISECONDS_FROM else stamp, UTC)
    except (OverflowError, OSError, ValueError):
        return None
