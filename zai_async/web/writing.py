"""Writing one answer into a replay, whoever reads it."""

import asyncio
from contextlib import aclosing
from typing import Final

from zai_async.errors import ZaiError
from zai_async.web.encoders import AnswerEncoder
from zai_async.web.pump import frames_of
from zai_async.web.replay import KeptAnswer
from zai_async.web.source import AnswerSource

__all__ = ["AnswerWriter", "split_events"]

_AGAIN: Final = 0.1  # seconds


def split_events(frames: bytes) -> list[bytes]:
    """Return the events of frames, each by itself, as each has a number."""
    return [event + b"\n\n" for event in frames.split(b"\n\n") if event]


class AnswerWriter:
    """Reads an answer to its end, in a task of its own that no reader ends."""

    def __init__(
        self, source: AnswerSource, encoder: AnswerEncoder, kept: KeptAnswer, max_delay: float
    ) -> None:
        self.kept = kept
        self.has_begun = asyncio.Event()
        """Whether there is something to read: content, or why there is none."""
        self.error: Exception | None = None
        """Why there is none."""
        self.is_awaited = True
        """Whether somebody can still be answered with a status."""
        self._source = source
        self._encoder = encoder
        self._max_delay = max_delay
        self._reason: str | None = None

        async def obey() -> None:
            await kept.stop_wanted()
            self.stop("stopped")

        self._watcher = asyncio.create_task(obey())
        self.task = asyncio.create_task(self._run())

    def stop(self, reason: str) -> None:
        """End the answer where it is; its readers see that it was stopped."""
        if self._reason is None and not self.task.done():
            self._reason = reason
            # Behind its first step: a task that is cancelled before it ran cleans nothing up.
            self.task.get_loop().call_soon(self.task.cancel)

    async def _run(self) -> None:
        keep = True
        try:
            keep = await self._write()
        except asyncio.CancelledError:
            if self._reason is None:
                raise  # the event loop ends
            await self._append(self._encoder.abort(self._reason))
        finally:
            self.has_begun.set()
            # A stop that comes now has nothing left to stop. It may be asking just now, by a
            # connection that would be left open; and a client of Redis may lose a cancellation, as
            # asyncio.wait_for does before Python 3.12.
            while not self._watcher.done():
                self._watcher.cancel()
                await asyncio.wait({self._watcher}, timeout=_AGAIN)
            # The source before the end is told: who asks again upon it finds the permit free.
            await self._source.aclose()
            await self.kept.finish(keep=keep)

    async def _write(self) -> bool:
        """Write down whatever comes; tell whether it is worth to be kept."""
        try:
            await self._source.prime(None)
            frames = frames_of(
                self._source, self._encoder, heartbeat=None, max_delay=self._max_delay
            )
            async with aclosing(frames):
                async for frame in frames:
                    await self._append(frame)
                    self.has_begun.set()
        except Exception as error:  # noqa: BLE001 - told to whoever waits, or to the log
            if not self.has_begun.is_set():
                known = error if isinstance(error, ZaiError) else ZaiError("", kind="server")
                await self._append(self._encoder.fail(known))
            if self.is_awaited and not self.has_begun.is_set():
                # A page that gets a status has no message that could be resumed.
                self.error = error
                return False
            if not isinstance(error, ZaiError):
                message = {"message": "an answer could not be relayed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(message)
        return True

    async def _append(self, frames: bytes) -> None:
        await self.kept.append(split_events(frames))
