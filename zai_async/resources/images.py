"""``zai.images``: pictures from words."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import ImageParams, ImagesResponse
from zai_async.resources.resource import Resource

__all__ = ["Images"]


class Images(Resource):
    """``zai.images``."""

    async def generate(self, **params: Unpack[ImageParams]) -> ImagesResponse:
        """Make an image and wait for it, up to 20 seconds; its address lives for 30 days.

        Source: https://docs.z.ai/api-reference/image/generate-image
        """
        return await self._manager.call(ep.IMAGES, params)
