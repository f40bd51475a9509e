"""``zai.images``: pictures from words."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import ImageParams, ImageResult, ImagesResponse
from zai_async.resources.resource import Resource
from zai_async.tasks import IMAGES, Task, submit

__all__ = ["Images"]


class Images(Resource):
    """``zai.images``."""

    async def generate(self, **params: Unpack[ImageParams]) -> ImagesResponse:
        """Make an image and wait for it, up to 20 seconds; its address lives for 30 days.

        Source: https://docs.z.ai/api-reference/image/generate-image
        """
        return await self._manager.call(ep.IMAGES, params)

    async def submit(self, **params: Unpack[ImageParams]) -> Task[ImageResult]:
        """Submit an image that is made while nobody waits (``glm-image``).

        Raises:
            SubmitUnknownError: Nobody knows whether it was accepted; it is not submitted again.

        Source: https://docs.z.ai/api-reference/image/generate-image-async
        """
        return await submit(self._manager, ep.IMAGE_SUBMIT, params, IMAGES)

    def task(self, id: str) -> Task[ImageResult]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet."""
        return Task(IMAGES, {"id": id}, engine=self._manager)
