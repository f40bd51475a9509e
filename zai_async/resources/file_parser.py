"""``zai.file_parser``: documents as text."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import FileParserParams, ParsedFile
from zai_async.resources.resource import Resource

__all__ = ["FileParser"]


class FileParser(Resource):
    """``zai.file_parser``."""

    async def parse(self, **params: Unpack[FileParserParams]) -> ParsedFile:
        """Turn a document into text and wait for it (bigmodel.cn).

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.FILE_PARSER, params)
