"""``zai.batches``: many requests in one file (bigmodel.cn)."""

from functools import partial
from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import Batch, BatchListParams, BatchParams, CallParams
from zai_async.resources.listing import Listing
from zai_async.resources.resource import Resource
from zai_async.tasks import BATCHES, OnUpdate, Task

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

    def task(self, batch_id: str) -> Task[Batch]:
        """Return a handle to wait for a batch with; nothing is asked yet."""
        return Task(BATCHES, {"batch_id": batch_id}, engine=self._manager)

    async def wait(
        self,
        batch_id: str,
        timeout: float | None = None,  # noqa: ASYNC109 - as task.wait()
        on_update: OnUpdate[Batch] | None = None,
    ) -> Batch:
        """Wait for a batch, which takes up to a day, ``timeout`` seconds at most.

        Raises:
            TaskTimeoutError: The time is over; the batch goes on.
            TaskFailedError: It failed, expired or was cancelled; ``error.partial`` is the batch.
        """
        return await self.task(batch_id).wait(timeout, on_update)
