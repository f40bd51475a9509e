"""``zai.moderations``: content, judged."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import ModerationParams, ModerationResponse
from zai_async.resources.resource import Resource

__all__ = ["Moderations"]


class Moderations(Resource):
    """``zai.moderations``, documented for bigmodel.cn only."""

    async def create(self, **params: Unpack[ModerationParams]) -> ModerationResponse:
        """Judge text, images, videos or sounds.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.MODERATIONS, params)
