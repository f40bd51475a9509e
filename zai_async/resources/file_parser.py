"""``zai.file_parser``: documents as text."""

from typing import Literal, Unpack

from zai_async import _endpoints as ep
from zai_async.models import FileParserParams, FileParserSubmitParams, ParsedFile
from zai_async.resources.resource import Resource
from zai_async.tasks import PARSED_FILES, Task, submit_file

__all__ = ["FileParser"]


class FileParser(Resource):
    """``zai.file_parser``, documented for bigmodel.cn only."""

    async def parse(self, **params: Unpack[FileParserParams]) -> ParsedFile:
        """Turn a document into text and wait for it.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.FILE_PARSER, params)

    async def submit(
        self,
        *,
        format_type: Literal["text", "download_link"] = "text",
        **params: Unpack[FileParserSubmitParams],
    ) -> Task[ParsedFile]:
        """Submit a document; its result is text, or the address of text and pictures.

        Raises:
            SubmitUnknownError: Nobody knows whether it was accepted; it is not submitted again.

        Source: https://docs.bigmodel.cn/cn/guide/tools/file-parser
        """
        return await submit_file(self._manager, ep.FILE_PARSER_SUBMIT, params, format_type)

    def task(
        self, task_id: str, format_type: Literal["text", "download_link"] = "text"
    ) -> Task[ParsedFile]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet."""
        names = {"task_id": task_id, "format_type": format_type}
        return Task(PARSED_FILES, names, engine=self._manager)
