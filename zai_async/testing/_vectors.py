"""Embeddings and reranking."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._prose import random_for, tokens
from zai_async.testing._reading import UserId, find_model, require
from zai_async.testing._reply import Reply

_WORD = re.compile(r"\w+")


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


class Vectors:
    """Embed texts as vectors of length 1 that depend on nothing else; rank by common words."""

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        return [
            Operation("embeddings", "POST", "paas/v4/embeddings", self.embed),
            Operation("rerank", "POST", "paas/v4/rerank", self.rerank),
        ]

    def embed(self, call: Call) -> Reply:
        """Embed at most 64 texts of at most 3072 tokens (``embedding-2``: 512)."""
        request = call.read(_Embedding)
        model = find_model(request.model, "embedding").id
        texts = [request.input] if isinstance(request.input, str) else request.input
        size = _dimensions(model, request.dimensions)
        counts = [len(tokens(text)) for text in texts]
        most = 512 if model == "embedding-2" else 3072
        require(all(count <= most for count in counts), f"input: more than {most} tokens")
        data = [
            {"index": index, "object": "embedding", "embedding": _vector(text, size)}
            for index, text in enumerate(texts)
        ]
        total = sum(counts)
        usage = {"prompt_tokens": total, "completion_tokens": 0, "total_tokens": total}
        return call.reply({"object": "list", "model": request.model, "data": data, "usage": usage})

    def rerank(self, call: Call) -> Reply:
        """Score each document by the part of the query's words that it holds."""
        request = call.read(_Rerank)
        find_model(request.model, "rerank")
        results = [_scored(request, index) for index in range(len(request.documents))]
        results.sort(key=lambda result: -result["relevance_score"])
        used = sum(len(tokens(text)) for text in (request.query, *request.documents))
        usage = {"prompt_tokens": used, "total_tokens": used}
        best = results[: request.top_n or None]
        return call.reply(call.stamp(request.request_id) | {"results": best, "usage": usage})


def _dimensions(model: str, wanted: int | None) -> int:
    if model == "embedding-2":
        require(wanted in {None, 1024}, "dimensions: embedding-2 has 1024")
        return 1024
    return wanted or 2048


def _vector(text: str, size: int) -> list[float]:
    random = random_for(size, text)
    values = [random.random() - 0.5 for _ in range(size)]
    length = math.hypot(*values)
    return [round(value / length, 8) for value in values]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _scored(request: _Rerank, index: int) -> Json:
    document, query = request.documents[index], _words(request.query)
    share = len(query & _words(document)) / max(1, len(query))
    score = 20 * share - 10 if request.return_raw_scores else share
    result: Json = {"index": index, "relevance_score": score}
    return result | ({"document": document} if request.return_documents else {})
