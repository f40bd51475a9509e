"""``zai.rerank``: documents, the best answer first (bigmodel.cn)."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import RerankParams, RerankResponse
from zai_async.resources.resource import Resource

__all__ = ["Rerank"]


class Rerank(Resource):
    """``zai.rerank``."""

    async def create(self, **params: Unpack[RerankParams]) -> RerankResponse:
        """Rank documents by how well they answer a question.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.RERANK, params)
