"""``zai.rerank``: documents, the best answer first."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import RerankParams, RerankResponse
from zai_async.resources.resource import Resource

__all__ = ["Rerank"]


class Rerank(Resource):
    """``zai.rerank``, documented for bigmodel.cn only."""

    async def create(self, **params: Unpack[RerankParams]) -> RerankResponse:
        """Rank documents by how well they answer a question.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.RERANK, params)
