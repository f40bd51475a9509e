"""``zai.batches``: many requests in one file, at half the price (bigmodel.cn)."""

from functools import partial
from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import Batch, BatchListParams, BatchParams, CallParams
from zai_async.resources.listing import Listing
from zai_async.resources.resource import Resource

__all__ = ["Batches"]


class Batches(Resource):
    """``zai.batches``.

    Source: https://docs.bigmodel.cn/cn/guide/tools/batch
    """

    async def create(self, **params: Unpack[BatchParams]) -> Batch:
        """Begin a batch; a request that may have arrived is not sent again."""
        return await self._manager.call(ep.BATCH_CREATE, params)

    async def retrieve(self, batch_id: str, **params: Unpack[CallParams]) -> Batch:
        """Ask how far a batch is."""
        return await self._manager.call(ep.BATCH_RETRIEVE, {"batch_id": batch_id, **params})

    def list(self, **params: Unpack[BatchListParams]) -> Listing[Batch]:
        """List batches: ``await`` one page, or ``async for`` all of them."""
        return Listing(partial(self._manager.call, ep.BATCH_LIST), params)

    async def cancel(self, batch_id: str, **params: Unpack[CallParams]) -> Batch:
        """Cancel a batch; requests that are done stay done."""
        return await self._manager.call(ep.BATCH_CANCEL, {"batch_id": batch_id, **params})
