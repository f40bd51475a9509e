"""``zai.embeddings``: texts as vectors."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import EmbeddingParams, EmbeddingResponse
from zai_async.resources.resource import Resource

__all__ = ["Embeddings"]


class Embeddings(Resource):
    """``zai.embeddings``, documented for bigmodel.cn only."""

    async def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingResponse:
        """Turn texts into vectors.

        Source: https://docs.bigmodel.cn/cn/guide/models/embedding/embedding-3
        """
        return await self._manager.call(ep.EMBEDDINGS, params)
