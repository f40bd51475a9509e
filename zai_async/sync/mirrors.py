"""Classes without ``await``, made of those with it: their methods run in the loop of a portal."""

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial, wraps
from typing import Any, ClassVar, Final, Self

from zai_async.sync.portal import LoopThread, Worker

__all__ = ["RENAMED", "Mirror", "mirror_of"]

RENAMED: Final = {"aclose": "close"}
"""Methods whose names say that they are awaited."""
_END: Final = object()


class Mirror:
    """Something asynchronous, and the portal through which it is used."""

    kinds: ClassVar[dict[type[Any], type["Mirror"]]] = {}
    """What stands for which asynchronous class."""
    _is_stream = False
    """Whether who leaves a loop over it is done with it."""
    _has_worker = False
    """Whether one task has to do everything with it."""

    _portal: LoopThread
    _target: Any
    _worker: Worker | None = None

    @classmethod
    def of(cls, portal: LoopThread, target: Any) -> Self:
        """Return the mirror of an object."""
        made = object.__new__(cls)
        made._portal, made._target = portal, target
        made._worker = Worker() if cls._has_worker else None
        return made

    def _do(self, work: Callable[[], Any]) -> Any:
        """Do something in the loop, and return what it gives as a caller without one needs it."""

        async def perform() -> Any:
            result = work()
            # What is awaited on demand, such as a list of pages, is a thing of its own.
            if _kind_of(result) is None and inspect.isawaitable(result):
                result = await result
            return result

        return self._shown(self._portal.run(perform, self._worker))

    def _shown(self, value: Any) -> Any:
        if value is self._target:
            return self
        kind = _kind_of(value)
        if kind is not None:
            return kind.of(self._portal, value)
        if isinstance(value, AsyncIterator):
            return self._iterate(value)
        return value

    def _iterate(self, iterator: Any) -> Generator[Any]:
        portal, worker, loop = self._portal, self._worker, None
        try:
            while (item := portal.run(partial(anext, iterator, _END), worker)) is not _END:
                loop = portal.loop
                yield self._shown(item)
        finally:
            if self._is_stream:
                portal.finish(self._target.aclose, loop)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target!r}>"


class IteratedMirror(Mirror):
    """Of what ``async for`` goes over."""

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(aiter(self._target))


class OpenedMirror(Mirror):
    """Of what ``async with`` opens; it is closed when the block is left."""

    def __enter__(self) -> Self:
        self._portal.run(self._target.__aenter__, self._worker)
        return self

    def __exit__(self, *facts: object) -> None:
        self._portal.run(partial(self._target.__aexit__, *facts), self._worker)
        if self._worker is not None:
            # What is left to ask, such as what has come of it, any task may do.
            worker, self._worker = self._worker, None
            self._portal.run(worker.end)


def _kind_of(value: object) -> type[Mirror] | None:
    return next(filter(None, map(Mirror.kinds.get, type(value).__mro__)), None)


def mirror_of(
    original: type[Any],
    *,
    is_stream: bool = False,
    has_worker: bool = False,
    awaited_as: str = "",
) -> type[Mirror]:
    """Return a class with the public names of an asynchronous one.

    Args:
        original: The asynchronous class; whatever is one of it is shown as one of the result.
        is_stream: Whether leaving a loop over it closes it.
        has_worker: Whether one task has to do everything with one of it.
        awaited_as: The method that stands for ``await`` on one of it.
    """
    members: dict[str, Any] = {
        "__doc__": original.__doc__,
        "__module__": "zai_async.sync",
        "_is_stream": is_stream,
        "_has_worker": has_worker,
    }
    for name in dir(original):
        found = inspect.getattr_static(original, name)
        if not name.startswith("_"):
            members[RENAMED.get(name, name)] = (
                property(_getter(name), doc=found.__doc__)
                if isinstance(found, property)
                else _method(name, found)
            )
    # Groups hold groups, in attributes that are made with them.
    parts = {name for each in original.__mro__ for name in inspect.get_annotations(each)}
    members |= {name: property(_part(name)) for name in parts if not name.startswith("_")}
    if awaited_as:

        def wait(self: Any) -> Any:
            """Do what ``await`` does on the asynchronous one."""
            return self._shown(self._portal.run(lambda: self._target))

        members[awaited_as] = wait
    kinds = {"__aiter__": IteratedMirror, "__aenter__": OpenedMirror}
    bases = tuple(kind for name, kind in kinds.items() if hasattr(original, name))
    made: type[Mirror] = type(original.__name__, bases or (Mirror,), members)
    Mirror.kinds[original] = made
    return made


def _getter(name: str) -> Callable[[Any], Any]:
    return lambda self: self._do(lambda: getattr(self._target, name))


def _part(name: str) -> Callable[[Any], Any]:
    return lambda self: self._shown(getattr(self._target, name))


def _method(name: str, found: Any) -> Callable[..., Any]:
    @wraps(found)
    def call(self: Any, *args: Any, **params: Any) -> Any:
        given = [getattr(each, "_target", each) for each in args]
        return self._do(lambda: getattr(self._target, name)(*given, **params))

    return call
