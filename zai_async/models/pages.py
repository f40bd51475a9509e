"""Lists that come in pages."""

from typing import Any, Generic, TypeVar

from msgspec import field

from zai_async.models.reply import Reply

T = TypeVar("T")


class Page(Reply, Generic[T], kw_only=True):
    """Hold one page of a list."""

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
        last: Any = self.data[-1]
        return self.last_id or last.id or None
