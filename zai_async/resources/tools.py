"""The tools: services of a single operation, and the parser of files."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, Unpack, cast

from msgspec.structs import replace

from zai_async import _operations as ep
from zai_async.errors import ResponseError
from zai_async.models import (
    EmbeddingParams,
    EmbeddingResponse,
    FileParserParams,
    FileParserSubmitParams,
    Handwriting,
    HandwritingParams,
    Layout,
    LayoutParams,
    ModerationParams,
    ModerationResponse,
    ParsedFile,
    ReaderParams,
    ReaderResponse,
    RerankParams,
    RerankResponse,
    SearchParams,
    SearchResponse,
    TokenCount,
    TokenizerParams,
    Usage,
)
from zai_async.resources.parts import in_parts
from zai_async.resources.resource import Resource
from zai_async.tasks import PARSED_FILES, PARSED_LINKS, Task, submit_file

__all__ = [
    "OCR",
    "Embeddings",
    "FileParser",
    "LayoutParsing",
    "Moderations",
    "Reader",
    "Rerank",
    "Tokenizer",
    "WebSearchGroup",
]

_MOST_TEXTS: Final = 64


class Tokenizer(Resource):
    """``zai.tokenizer``: tokens, counted by the service."""

    async def count(self, **params: Unpack[TokenizerParams]) -> TokenCount:
        """Count the tokens of a conversation; a plain string is one user message.

        Source: https://docs.z.ai/api-reference/tools/tokenizer
        """
        return await self._manager.call(ep.TOKENIZER, params)


class LayoutParsing(Resource):
    """``zai.layout_parsing``: documents as Markdown."""

    async def parse(self, **params: Unpack[LayoutParams]) -> Layout:
        """Read a picture or a pdf: its text as Markdown, and where each element stands.

        Source: https://docs.z.ai/api-reference/tools/layout-parsing
        """
        return await self._manager.call(ep.LAYOUT, params)


class OCR(Resource):
    """``zai.ocr``: reading what is written by hand; documented for bigmodel.cn only."""

    async def handwriting(self, **params: Unpack[HandwritingParams]) -> Handwriting:
        """Read the handwriting in an image, word by word.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.HANDWRITING, params)


class FileParser(Resource):
    """``zai.file_parser``: documents as text; documented for bigmodel.cn only."""

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
            SubmitUnknownError: It is unknown whether it was accepted; it is not submitted again.

        Source: https://docs.bigmodel.cn/cn/guide/tools/file-parser
        """
        return await submit_file(self._manager, ep.FILE_PARSER_SUBMIT, params, format_type)

    def task(
        self, task_id: str, format_type: Literal["text", "download_link"] = "text"
    ) -> Task[ParsedFile]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet."""
        names = {"task_id": task_id, "format_type": format_type}
        kind = PARSED_LINKS if format_type == "download_link" else PARSED_FILES
        return Task(kind, names, engine=self._manager)


class WebSearchGroup(Resource):
    """``zai.web_search``: the web, searched for programs."""

    async def create(self, **params: Unpack[SearchParams]) -> SearchResponse:
        """Search the web.

        Source: https://docs.z.ai/api-reference/tools/web-search
        """
        return await self._manager.call(ep.SEARCH, params)


class Reader(Resource):
    """``zai.reader``: web pages as Markdown."""

    async def read(self, **params: Unpack[ReaderParams]) -> ReaderResponse:
        """Read a web page.

        ``timeout`` is how long the service waits for the page; the call's own limits are in
        ``options``.

        Source: https://docs.z.ai/api-reference/tools/web-reader
        """
        return await self._manager.call(ep.READER, params)


class Embeddings(Resource):
    """``zai.embeddings``: texts as vectors; documented for bigmodel.cn only."""

    async def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingResponse:
        """Turn any number of texts into vectors.

        The platform takes 64 at a time: more are sent in several requests at the same time. The
        vectors are in the order of the texts, ``usage`` and ``attempts`` are those of all
        requests, and a deadline holds for each. If one of them fails, so does the call.

        Raises:
            ResponseError: There are more or fewer vectors than texts; ``partial`` has them.

        Source: https://docs.bigmodel.cn/cn/guide/models/embedding/embedding-3
        """
        given: Any = params.get("input")
        texts: Sequence[str] = () if isinstance(given, str) else cast("Sequence[str]", given)

        async def embed(body: Mapping[str, Any]) -> EmbeddingResponse:
            answer = await self._manager.call(ep.EMBEDDINGS, body)
            wanted = 1 if isinstance(given, str) else len(body["input"])
            # One that is missing would shift all that follow, for whoever pairs them with texts.
            if len(answer.data) != wanted:
                text = f"{len(answer.data)} vectors came for {wanted} texts"
                raise ResponseError(text, partial=answer, request_id=answer.request_id)
            return answer

        if not isinstance(given, Sequence) or len(texts) <= _MOST_TEXTS:
            return await embed(params)
        starts = range(0, len(texts), _MOST_TEXTS)
        bodies: list[dict[str, object]] = [
            {**params, "input": texts[start : start + _MOST_TEXTS]} for start in starts
        ]
        if "request_id" in params:  # which is unique
            bodies = [
                {**body, "request_id": f"{params['request_id']}-{number}"}
                for number, body in enumerate(bodies)
            ]
        parts = await in_parts([partial(embed, body) for body in bodies])
        whole = parts[0]
        whole.data = [
            replace(each, index=each.index + start)
            for start, part in zip(starts, parts, strict=True)
            for each in part.data
        ]
        whole.usage = sum((part.usage for part in parts), Usage())
        vars(whole)["attempts"] = tuple(each for part in parts for each in part.attempts)
        return whole


class Rerank(Resource):
    """``zai.rerank``: documents, the best answer first; documented for bigmodel.cn only."""

    async def create(self, **params: Unpack[RerankParams]) -> RerankResponse:
        """Rank documents by how well they answer a question.

        Raises:
            ResponseError: A hit names no document of these, or none of its own, or has no score;
                ``partial`` has them.

        Source: https://docs.bigmodel.cn/api-reference
        """
        answer = await self._manager.call(ep.RERANK, params)
        asked = len(params["documents"])
        if any(hit.index >= asked for hit in answer.results):
            text = f"the ranking names a document beyond the {asked} that were given"
            raise ResponseError(text, partial=answer, request_id=answer.request_id)
        return answer


class Moderations(Resource):
    """``zai.moderations``: content, judged; documented for bigmodel.cn only."""

    async def create(self, **params: Unpack[ModerationParams]) -> ModerationResponse:
        """Judge text, images, videos or sounds.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.MODERATIONS, params)
