"""``zai.reader``: web pages as Markdown."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import ReaderParams, ReaderResponse
from zai_async.resources.resource import Resource

__all__ = ["Reader"]


class Reader(Resource):
    """``zai.reader``."""

    async def read(self, **params: Unpack[ReaderParams]) -> ReaderResponse:
        """Read a web page.

        ``timeout`` is how long the service waits for the page; the call's own limits are in
        ``options``.

        Source: https://docs.z.ai/api-reference/tools/web-reader
        """
        return await self._manager.call(ep.READER, params)
