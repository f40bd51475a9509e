"""Web search and reader, embeddings and reranking, tokenizer and moderation."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from zai_async.testing.emulator.catalogue import find_model
from zai_async.testing.emulator.chat_request import OfferedTool, SentMessage
from zai_async.testing.emulator.operation import OperationCall, Route, UserId, require
from zai_async.testing.emulator.prose import random_for, tokens, topic_of
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json

# search-prime is Z.AI's, with a hyphen; bigmodel's engines have underscores.
_Engine = Literal[
    "search-prime", "search_std", "search_pro", "search_pro_sogou", "search_pro_quark"
]
_Recency = Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"]


class _Search(Struct):
    search_engine: _Engine
    search_query: Annotated[str, Meta(min_length=1)]
    search_intent: bool = False
    count: Annotated[int, Meta(ge=1, le=50)] = 10
    search_domain_filter: str | None = None
    search_recency_filter: _Recency | None = None
    content_size: Literal["medium", "high"] | None = None
    request_id: str | None = None
    user_id: UserId | None = None


# https://docs.z.ai/api-reference/tools/web-reader; the official client sends the timeout as text.
class _Read(Struct):
    url: str
    timeout: int | str = 20
    no_cache: bool = False
    return_format: Literal["markdown", "text"] = "markdown"
    retain_images: bool = True
    no_gfm: bool = False
    keep_img_data_url: bool = False
    with_images_summary: bool = False
    with_links_summary: bool = False
    request_id: str | None = None


class WebHandlers:
    """Find pages that do not exist, and read them."""

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        return [
            Route("web_search", "POST", "paas/v4/web_search", self.search),
            Route("reader", "POST", "paas/v4/reader", self.read),
        ]

    def search(self, call: OperationCall) -> PlannedReply:
        """Find ``count`` pages, all on ``search_domain_filter`` when there is one."""
        request = call.read(_Search)
        # Z.AI documents no `search_intent` in requests, and answers with one all the same.
        intent = {
            "query": request.search_query,
            "intent": "SEARCH_ALL" if request.search_intent else "SEARCH_ALWAYS",
            "keywords": topic_of(request.search_query),
        }
        root = f"https://{request.search_domain_filter or 'example.com'}"
        found = [
            {
                "title": f"{topic_of(request.search_query)} ({number})",
                "content": f"Page {number} about {topic_of(request.search_query)}.",
                "link": f"{root}/{number}",
                "media": "Example",
                "icon": f"{root}/icon.png",
                "refer": f"ref_{number}",
                "publish_date": "2026-10-09",
            }
            for number in range(1, request.count + 1)
        ]
        # Recorded live: now and then a page comes without an address.
        for page in found[1:2]:
            page |= {"link": "", "media": "", "icon": ""}
        document = call.stamp(request.request_id)
        return call.reply(document | {"search_intent": [intent], "search_result": found})

    def read(self, call: OperationCall) -> PlannedReply:
        """Read a page."""
        request = call.read(_Read)
        try:
            address = urlsplit(request.url)
        except ValueError as error:
            raise Refusal("1210", f"url: {error}") from error
        require(address.scheme in {"http", "https"} and bool(address.netloc), "url: not a page")
        title, text = f"The page {request.url}", "It was read by the emulator."
        heading = f"# {title}" if request.return_format == "markdown" else title
        result: Json = {
            "content": f"{heading}\n\n{text}",
            "description": text,
            "title": title,
            "url": request.url,
            "metadata": {"keywords": "emulator", "viewport": "width=device-width"},
            "external": {"stylesheet": {f"{request.url}/style.css": {"type": "text/css"}}},
        }
        if request.with_images_summary:
            result["images"] = {"Image 1": f"{request.url}/image.png"}
        if request.with_links_summary:
            result["links"] = {"Next": f"{request.url}/next"}
        document = {"model": "web-reader", "reader_result": result}
        return call.reply(call.stamp(request.request_id) | document)


# Embeddings and reranking

_WORD = re.compile(r"\w+")


# https://docs.bigmodel.cn/api-reference: embeddings, reranking and moderation are sold there only.
class _Embedding(Struct):
    model: str
    input: Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(max_length=64)]
    dimensions: Literal[256, 512, 1024, 2048] | None = None


class _Rerank(Struct):
    model: str
    query: Annotated[str, Meta(max_length=4096)]
    documents: Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=128)]
    top_n: Annotated[int, Meta(ge=0)] = 0
    return_documents: bool = False
    return_raw_scores: bool = False
    request_id: str | None = None
    user_id: UserId | None = None


class VectorHandlers:
    """Embed texts as vectors of length 1 that depend on nothing else; rank by common words."""

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        return [
            Route("embeddings", "POST", "paas/v4/embeddings", self.embed),
            Route("rerank", "POST", "paas/v4/rerank", self.rerank),
        ]

    def embed(self, call: OperationCall) -> PlannedReply:
        """Embed at most 64 texts of at most 3072 tokens (``embedding-2``: 512)."""
        request = call.read(_Embedding)
        model = find_model(request.model, "embedding").id
        texts = [request.input] if isinstance(request.input, str) else request.input
        # embedding-3 has as many dimensions as one asks for, embedding-2 always the same.
        fixed = 1024 if model == "embedding-2" else None
        require(request.dimensions in {None, fixed} or not fixed, "dimensions: not with this model")
        size = fixed or request.dimensions or 2048
        counts = [len(tokens(text)) for text in texts]
        most = 512 if model == "embedding-2" else 3072
        require(all(count <= most for count in counts), f"input: more than {most} tokens")
        data: list[Json] = []
        for index, text in enumerate(texts):
            random = random_for(size, text)
            values = [random.random() - 0.5 for _ in range(size)]
            length = math.hypot(*values)
            vector = [round(value / length, 8) for value in values]
            data.append({"index": index, "object": "embedding", "embedding": vector})
        total = sum(counts)
        usage = {"prompt_tokens": total, "completion_tokens": 0, "total_tokens": total}
        return call.reply({"object": "list", "model": request.model, "data": data, "usage": usage})

    def rerank(self, call: OperationCall) -> PlannedReply:
        """Score each document by the part of the query's words that it holds."""
        request = call.read(_Rerank)
        find_model(request.model, "rerank")
        query = _words(request.query)
        results: list[Json] = []
        for index, text in enumerate(request.documents):
            share = len(query & _words(text)) / max(1, len(query))
            score = 20 * share - 10 if request.return_raw_scores else share
            result: Json = {"index": index, "relevance_score": score}
            results.append(result | ({"document": text} if request.return_documents else {}))
        # By score; `index` leads back to the documents.
        results.sort(key=lambda result: -result["relevance_score"])
        used = sum(len(tokens(text)) for text in (request.query, *request.documents))
        usage = {"prompt_tokens": used, "total_tokens": used}
        best = results[: request.top_n or None]
        return call.reply(call.stamp(request.request_id) | {"results": best, "usage": usage})


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


# Counting tokens and judging content

_IMAGE_TOKENS, _VIDEO_TOKENS = 1_000, 10_000


class _Tokenizer(Struct):
    model: str
    messages: Annotated[list[SentMessage], Meta(min_length=1)]
    tools: Annotated[list[OfferedTool], Meta(max_length=128)] | None = None
    request_id: str | None = None
    user_id: UserId | None = None


class _Moderation(Struct):
    model: str
    input: str | dict[str, Any] | list[dict[str, Any]]
    request_id: str | None = None
    user_id: UserId | None = None


class CheckHandlers:
    """Count about a token per word; find harm only where a text names it."""

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        return [
            Route("tokenizer", "POST", "paas/v4/tokenizer", self.count),
            Route("moderations", "POST", "paas/v4/moderations", self.judge),
        ]

    def count(self, call: OperationCall) -> PlannedReply:
        """Count the tokens of a conversation; an image has 1000, a video 10 000."""
        request = call.read(_Tokenizer)
        find_model(request.model, "text", "vision")
        text = sum(len(tokens(message.text)) for message in request.messages)
        image = _count_parts(request.messages, "image_url") * _IMAGE_TOKENS
        video = _count_parts(request.messages, "video_url") * _VIDEO_TOKENS
        # It counts and returns no tokens, whatever gateways show in their examples.
        usage = {
            "prompt_tokens": text,
            "image_tokens": image,
            "video_tokens": video,
            "total_tokens": text + image + video,
        }
        return call.reply(call.stamp(request.request_id) | {"usage": usage})

    def judge(self, call: OperationCall) -> PlannedReply:
        """Reject what holds the word "unsafe", doubt what holds "doubtful", pass the rest."""
        request = call.read(_Moderation)
        find_model(request.model, "moderation")
        if isinstance(request.input, str):
            require(len(request.input) <= 2000, "input: more than 2000 characters")
            parts: list[Json] = [{"type": "text", "text": request.input}]
        else:
            parts = [request.input] if isinstance(request.input, dict) else request.input
        results: list[Json] = []
        for part in parts:
            said = str(part).lower()
            level, kinds = "PASS", list[str]()
            for word, verdict in (("doubtful", "REVIEW"), ("unsafe", "REJECT")):
                if word in said:
                    level, kinds = verdict, [word]
            # Answers say `image` where requests say `image_url`.
            kind = str(part.get("type", "text")).removesuffix("_url")
            results.append({"content_type": kind, "risk_level": level, "risk_type": kinds})
        usage = {"moderation_text": {"call_count": len(results)}}
        document = call.stamp(request.request_id)
        return call.reply(document | {"result_list": results, "usage": usage})


def _count_parts(messages: list[SentMessage], kind: str) -> int:
    contents = [message.content for message in messages if isinstance(message.content, list)]
    return sum(part.get("type") == kind for content in contents for part in content)
