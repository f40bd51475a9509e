"""What a child of a fork must leave to its parent: open connections, and what watches them.

The child has the descriptors of its parent, which mean the same sockets and, on Linux, the very
list of what the parent's event loop waits for. Whatever the child then does with its copy of the
loop, if only closing it, would read the parent's bytes, end its TLS connections, or take its
sockets off that list. So at each fork the child puts something else under these descriptors.
"""

import asyncio
import os
import select
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

__all__ = ["Inherited", "isolate", "note_for_forks"]


class Inherited(Protocol):
    """What a child inherits and must not use."""

    def leave_to_parent(self) -> None:
        """Let go of it, in the child, without touching what the parent goes on using."""
        ...


_INHERITED: WeakSet[Inherited] = WeakSet()


def note_for_forks(inherited: Inherited) -> None:
    """Have something told, as long as it lives, that it is a child's copy of its parent's."""
    _INHERITED.add(inherited)


def isolate(loop: asyncio.AbstractEventLoop, transports: Iterable[Any]) -> None:
    """Cut the child's copy of an event loop off from that of its parent, and its connections."""
    if loop.is_closed():
        return
    own: Any = loop
    selector: Any = getattr(own, "_selector", None)
    if hasattr(own, "_get_backend_id"):  # uvloop
        replace_poll(own._get_backend_id())
    elif type(selector).__name__ == "EpollSelector":
        replace_poll(selector.fileno())
        for key in tuple(selector.get_map().values()):
            selector.unregister(key.fileobj)
            selector.register(key.fileobj, key.events, key.data)
    # One end of a pair without the other: reading finds the end, and writing fails.
    dead, other = socket.socketpair()
    with dead, other:
        dead.setblocking(False)
        for transport in transports:
            wire = None if transport is None else transport.get_extra_info("socket")
            if wire is not None and wire.fileno() >= 0:
                os.dup2(dead.fileno(), wire.fileno(), inheritable=False)


def replace_poll(number: int) -> None:
    """Put an empty list under the descriptor of one that is shared with the parent."""
    # Only Linux has such lists, and only they are inherited.
    with suppress(AttributeError), select.epoll() as fresh:
        os.dup2(fresh.fileno(), number, inheritable=False)


def leave_to_parent() -> None:
    """Let go of all that is the parent's, in the child of a fork."""
    for inherited in tuple(_INHERITED):
        inherited.leave_to_parent()


with suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=leave_to_parent)
