"""``zai.videos``: films from words and pictures."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import Video, VideoParams
from zai_async.resources.resource import Resource
from zai_async.tasks import VIDEOS, OnUpdate, Task, submit

__all__ = ["Videos"]


class Videos(Resource):
    """``zai.videos``."""

    async def submit(self, **params: Unpack[VideoParams]) -> Task[Video]:
        """Submit a video, which takes minutes.

        Raises:
            SubmitUnknownError: Nobody knows whether it was accepted; it is not submitted again.

        Source: https://docs.z.ai/api-reference/video/generate-video
        """
        return await submit(self._manager, ep.VIDEO_SUBMIT, params, VIDEOS)

    async def generate(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as task.wait()
        on_update: OnUpdate[Video] | None = None,
        **params: Unpack[VideoParams],
    ) -> Video:
        """Submit a video and wait for it, ``timeout`` seconds at most; see ``Task.wait``.

        Raises:
            TaskTimeoutError: The time is over; ``error.task`` can be waited for again.
            TaskFailedError: It ended without a video.
            SubmitUnknownError: Nobody knows whether it was accepted; it is not submitted again.

        Source: https://docs.z.ai/api-reference/video/generate-video
        """
        task = await self.submit(**params)
        return await task.wait(timeout, on_update)

    def task(self, id: str) -> Task[Video]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet."""
        return Task(VIDEOS, {"id": id}, engine=self._manager)
