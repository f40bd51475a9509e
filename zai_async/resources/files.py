"""``zai.files``: files on the service."""

from functools import partial
from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import CallParams, File, FileDeletion, FileListParams
from zai_async.resources.listing import Listing
from zai_async.resources.resource import Resource

__all__ = ["Files"]


class Files(Resource):
    """``zai.files``."""

    def list(self, **params: Unpack[FileListParams]) -> Listing[File]:
        """List the files of a purpose (bigmodel.cn): ``await`` one page, or ``async for`` all.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return Listing(partial(self._manager.call, ep.FILE_LIST), params)

    async def delete(self, file_id: str, **params: Unpack[CallParams]) -> FileDeletion:
        """Delete a file (bigmodel.cn).

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.FILE_DELETE, {"file_id": file_id, **params})
