"""``zai.files``: files on the service."""

from functools import partial
from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import (
    BinaryReply,
    CallParams,
    File,
    FileDeletion,
    FileListParams,
    FileUploadParams,
)
from zai_async.resources.listing import Listing
from zai_async.resources.resource import Resource

__all__ = ["Files"]


class Files(Resource):
    """``zai.files``."""

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
