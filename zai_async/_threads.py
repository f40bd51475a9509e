"""Threads: blocking work in one of its own, and what concerns the event loop of another."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio

__all__ = ["call_in", "outside_asyncio", "running_loop", "to_the_end"]

T = TypeVar("T")


async def to_the_end(work: Callable[[], T]) -> T:
    """Run blocking work in a thread, to its end also when this task is cancelled meanwhile.

    Left behind, the thread would open a file that nobody knows of, or write to one that is gone.
    """
    doing = asyncio.get_running_loop().run_in_executor(None, work)
    with anyio.CancelScope(shield=True):
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError:
            # A cancel() of asyncio's own, which no shield keeps out.
            await asyncio.wait([doing])
            raise
    return doing.result()


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function in its event loop: now if that is this one, soon if it is another."""
    if running_loop() is loop:
        function()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(function)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of this thread, None if none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def outside_asyncio() -> RuntimeError:
    """Return what to raise where a loop of asyncio is needed and none runs."""
    text = "zai_async runs on asyncio, and no event loop of asyncio is running here"
    return RuntimeError(text)
