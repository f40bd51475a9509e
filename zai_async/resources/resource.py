"""What groups of operations are made of: the engine that makes the calls, and lists in pages."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, Generic, NotRequired, Required, TypeVar, get_args, get_origin

from zai_async.models import CallParams, Page
from zai_async.session import SessionManager
from zai_async.streams.combinators import steady

__all__ = ["Listing", "Resource"]

T = TypeVar("T")

_QUALIFIERS: Final = (Required, NotRequired)
_OF_EVERY_CALL: Final = frozenset(CallParams.__annotations__)


class Resource:
    """A group of operations, over the engine that makes the calls."""

    def __init_subclass__(cls) -> None:
        show_keywords(cls)

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager


def show_keywords(group: type[Any]) -> None:
    """Let ``help()`` and ``inspect.signature()`` show the keywords behind each ``**params``.

    Type checkers look into the TypedDict themselves; Python's own tools do not.
    """
    for method in vars(group).values():
        annotations: dict[str, Any] = getattr(method, "__annotations__", {})
        keywords = get_args(annotations.get("params"))
        if not keywords:
            continue
        signature = inspect.signature(method)
        required: frozenset[str] = keywords[0].__required_keys__
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        given = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if name in required else _NOT_SENT,
                annotation=get_args(kind)[0] if get_origin(kind) in _QUALIFIERS else kind,
            )
            for name, kind in keywords[0].__annotations__.items()
        ]
        # The body of the request first, and of that what cannot be left out.
        given.sort(key=lambda each: (each.name in _OF_EVERY_CALL, each.default is _NOT_SENT))
        method.__signature__ = signature.replace(parameters=[*own, *given])


class _NotSent:
    def __repr__(self) -> str:
        return "..."


_NOT_SENT: Final = _NotSent()


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

    def __aiter__(self) -> AsyncIterator[T]:
        # A heartbeat gives up its wait, which must not end the list.
        return steady(self._items())

    async def _items(self) -> AsyncGenerator[T, None]:
        params = self._params
        while True:
            page = await self._fetch(params)
            for item in page.data:
                yield item
            # Pages are fetched one after the other: nobody knows the next one's name before.
            # A service that ignores "after" answers with the same page for ever.
            if page.next_after in {None, params.get("after")}:
                return
            params = {**params, "after": page.next_after}
