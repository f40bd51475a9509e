"""``zai.files`` on the service, and ``zai.batches``: many requests in one of them."""

from collections.abc import Sequence
from functools import partial
from typing import Unpack

from zai_async import _operations as ep
from zai_async._threads import ANSWER_THREADS, abandonable
from zai_async._wire import judged_results
from zai_async.models import (
    Batch,
    BatchListParams,
    BatchParams,
    BatchResult,
    BinaryReply,
    CallParams,
    File,
    FileDeletion,
    FileListParams,
    FileUploadParams,
)
from zai_async.resources.resource import Listing, Resource
from zai_async.tasks import BATCHES, OnUpdate, Task

__all__ = ["Batches", "Files"]


class Files(Resource):
    """``zai.files``: files on the service."""

    async def create(self, **params: Unpack[FileUploadParams]) -> File:
        """Upload a file; it is read and sent in pieces, never held whole.

        Raises:
            InvalidFileError: The file is empty or has more than 100 MB; nothing was sent.

        Source: https://docs.z.ai/api-reference/agents/file-upload
        """
        return await self._manager.call(ep.FILE_UPLOAD, params)

    async def content(self, file_id: str, **params: Unpack[CallParams]) -> BinaryReply:
        """Fetch what a file of a batch holds; documented for bigmodel.cn only.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.fetch(ep.FILE_CONTENT, {"file_id": file_id, **params})

    def list(self, **params: Unpack[FileListParams]) -> Listing[File]:
        """List the files of a purpose: ``await`` one page, or ``async for`` all.

        Documented for bigmodel.cn only.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return Listing(partial(self._manager.call, ep.FILE_LIST), params)

    async def delete(self, file_id: str, **params: Unpack[CallParams]) -> FileDeletion:
        """Delete a file; documented for bigmodel.cn only.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.FILE_DELETE, {"file_id": file_id, **params})


class Batches(Resource):
    """``zai.batches``: many requests in one file; documented for bigmodel.cn only.

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

    async def results(self, batch: Batch | str) -> Sequence[BatchResult]:
        """Fetch what became of each request of a batch, those that failed at the end.

        The order of the input is lost: go by ``custom_id``. A line that cannot be read is a result
        with an ``error`` of code ``unreadable``, and without a ``custom_id``; an answer that is
        cut, lost or empty has an ``error`` with its outcome as code. A batch that is not done yet
        has no results. ``AsyncZai(max_response_bytes=)`` limits the size of each of
        the two files.
        """
        # The ids of its files are part of the batch, and are set when it is done.
        known = await self.retrieve(batch) if isinstance(batch, str) else batch
        results: Sequence[BatchResult] = []
        for file_id in filter(None, (known.output_file_id, known.error_file_id)):
            file = await self._manager.fetch(ep.FILE_CONTENT, {"file_id": file_id})
            # Judged like answers of their own: files of batches hold cut and empty ones, too.
            judge = partial(judged_results, file.content)
            results = [*results, *await abandonable(judge, ANSWER_THREADS)]
        return results

    def task(self, batch_id: str) -> Task[Batch]:
        """Return a handle to wait for a batch with; nothing is asked yet."""
        return Task(BATCHES, {"batch_id": batch_id}, engine=self._manager)

    async def wait(
        self,
        batch_id: str,
        timeout: float | None = None,  # noqa: ASYNC109 - as task.wait()
        on_update: OnUpdate[Batch] | None = None,
        *,
        interval: float | None = None,
    ) -> Batch:
        """Wait for a batch, which takes up to a day, ``timeout`` seconds at most.

        Raises:
            TaskTimeoutError: The time is over; the batch goes on.
            TaskFailedError: It failed, expired or was cancelled; ``error.partial`` is the batch.
        """
        return await self.task(batch_id).wait(timeout, on_update, interval=interval)
