"""Blocking work in a thread, which a cancelled task does not leave behind."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio

__all__ = ["to_the_end"]

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
