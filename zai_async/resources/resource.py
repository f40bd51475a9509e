"""What groups of operations are made of: the engine that makes the calls, and lists in pages."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, Generic, TypeVar

from zai_async.models import Page
from zai_async.session import SessionManager

__all__ = ["Listing", "Resource"]

T = TypeVar("T")


class Resource:
    """Hold the engine that makes the calls."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager


class Listing(Generic[T]):
    """Read a list: ``await`` it for one page, or ``async for`` over the items of all pages.

    Nothing is sent before; each further page is fetched when the items before it are used up.
    """

    def __init__(
        self, fetch: Callable[[Mapping[str, Any]], Awaitable[Page[T]]], params: Mapping[str, Any]
    ) -> None:
        self._fetch = fetch
        self._params = params

    def __await__(self) -> Generator[Any, Any, Page[T]]:
        return self._fetch(self._params).__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        params = self._params
        while True:
            page = await self._fetch(params)
            for item in page.data:
                yield item
            # A service that ignores "after" answers with the same page for ever.
            if page.next_after in {None, params.get("after")}:
                return
            params = {**params, "after": page.next_after}
