"""``Zai``: the client without ``await``.

Type checkers read ``client.pyi``, which is made of the signatures of the asynchronous classes.
"""

from typing import Any, Final, Self, get_type_hints

from zai_async.batch.runs import Batching, BatchRun
from zai_async.client import AsyncZai
from zai_async.recordings import LongTranscriptionStream
from zai_async.resources import AudioGroup, Chat, Listing, Resources
from zai_async.streams import ParsedStream
from zai_async.streams.event_stream import EventStream
from zai_async.sync.mirrors import Mirror, mirror_of
from zai_async.sync.portal import LoopThread
from zai_async.tasks import Task
from zai_async.tools import ToolRun

__all__ = ["GROUPS", "HANDLES", "STREAMS", "Zai"]

GROUPS: Final = tuple(
    group for owner in (Resources, Chat, AudioGroup) for group in get_type_hints(owner).values()
)
STREAMS: Final = tuple[type[Any], ...](
    # It matters to nobody here what they are streams of.
    [*EventStream.__subclasses__(), LongTranscriptionStream, ParsedStream]  # pyright: ignore[reportUnknownArgumentType]
)
HANDLES: Final = {Task: "", Listing: "page", ToolRun: "", Batching: "", BatchRun: "wait"}
"""What calls return that is used further, and the method that stands for ``await`` on it."""

for _group in GROUPS:
    mirror_of(_group)
for _stream in STREAMS:
    mirror_of(_stream, is_stream=True)
for _handle, _awaited_as in HANDLES.items():
    # The tools of a run are tasks of a group, which the task has to leave that has entered it.
    mirror_of(_handle, awaited_as=_awaited_as, has_worker=_handle is ToolRun)


class Zai(mirror_of(AsyncZai)):  # type: ignore[misc] # mypy wants to know the base
    """Talk to the Z.AI platform without ``await``, from any number of threads.

    Everything runs in an event loop in a thread of this client, which begins with the first call,
    and in a process that was forked once more. Close it with ``with`` or ``close()``. Arguments are
    those of ``AsyncZai``.
    """

    def __init__(self, **settings: Any) -> None:
        self._portal = LoopThread()
        self._target = AsyncZai(**settings)

    def close(self) -> None:
        """Close all connections, those of derived clients included, and end the thread."""
        self._portal.finish(self._target.aclose, self._portal.loop)
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Derived clients are of the same kind.
Mirror.kinds[AsyncZai] = Zai
