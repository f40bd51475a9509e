"""Gateways of other companies, in front of the same platform: LowCodeAPI and Truto."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from zai_async.testing.emulator.prose import tokens
from zai_async.testing.emulator.reply import JSON_TYPE, PlannedReply
from zai_async.testing.emulator.requests import Json, RecordedRequest, is_object
from zai_async.testing.emulator.transcripts import TEXT_TYPE


class GatewayRefusal(Exception):  # noqa: N818 - not an error of this program but an answer to a client
    """Leave a gateway with its own answer; the platform never hears of the request."""

    def __init__(self, status: int, document: Json) -> None:
        super().__init__(status)
        self.status = status
        self.document = document

    def reply(self, log_id: str) -> PlannedReply:
        """Build the answer."""
        body = msgspec.json.encode(self.document)
        return PlannedReply(pieces=(body,), log_id=log_id, status=self.status)


class NoGateway:
    """No gateway: requests and replies stay as they are."""

    def forward(self, request: RecordedRequest) -> RecordedRequest:
        """Return the request that the platform sees, ``GatewayRefusal`` when there is none."""
        return request

    def wrap(self, request: RecordedRequest, reply: PlannedReply) -> PlannedReply:  # noqa: ARG002
        """Return the reply that the client sees."""
        return reply


@dataclass(frozen=True, slots=True)
class _Alias:
    path: str
    renames: Mapping[str, str] | None = None


# Their words for the platform's fields: the left side is what clients send.
_SEARCH = {"query": "search_query", "max_results": "count"}
_ALIASES: Mapping[str, _Alias] = {
    "POST /api/paas/v4/chat/completions": _Alias("paas/v4/chat/completions"),
    "POST /api/coding/paas/v4/chat/completions": _Alias("coding/paas/v4/chat/completions"),
    "POST /api/paas/v4/videos/generations": _Alias("paas/v4/videos/generations"),
    # The word `id` stands in the path as it is; the id itself travels in the query.
    "GET /api/paas/v4/async-result/id": _Alias("paas/v4/async-result/{id}"),
    "POST /api/paas/v4/generate/image": _Alias("paas/v4/images/generations"),
    "POST /api/paas/v4/audio/transcriptions": _Alias("paas/v4/audio/transcriptions"),
    "POST /paas/v4/tokenizer": _Alias("paas/v4/tokenizer", {"input": "messages"}),
    "POST /paas/v4/web_search": _Alias("paas/v4/web_search", _SEARCH),
    "POST /paas/v4/reader": _Alias("paas/v4/reader"),
    "POST /api/paas/v4/files": _Alias("paas/v4/files"),
    "POST /v1/agents": _Alias("v1/agents"),
    "POST /api/v1/agents/async-result": _Alias("v1/agents/async-result", {"task_id": "async_id"}),
    "POST /api/v1/agents/conversation": _Alias("v1/agents/conversation"),
}


class LowCodeApiGateway(NoGateway):
    """Speak LowCodeAPI's dialect below ``emulator.lowcodeapi_url``.

    The token travels as ``api_token`` in the query and begins with ``at_``. Operations have
    aliases, some fields other names (``query``, ``max_results``, ``input``, ``task_id``); the
    platform's own names for those do not reach it. Streams come in one piece. JSON is wrapped:
    ``envelope`` is ``"result"``, which its server sends, or ``"data"``, which its documentation
    shows; errors are nested in ``error``. ``tokenizer`` is the form of that answer: ``"usage"``, as
    the platform has it, or ``"tokens"`` as documented (``tokens`` and ``token_count``). Transcripts
    that are text come as ``text`` says: ``"plain"``, or in the ``"envelope"``.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self.reset()

    def reset(self) -> None:
        """Forget which forms were chosen."""
        self.envelope: Literal["result", "data"] = "result"
        self.tokenizer: Literal["usage", "tokens"] = "usage"
        self.text: Literal["plain", "envelope"] = "plain"

    def forward(self, request: RecordedRequest) -> RecordedRequest:
        """Check the token, find the alias, give the fields their own names."""
        if not request.query.get("api_token", "").startswith("at_"):
            message = "A valid API token is required to access this API."
            raise GatewayRefusal(401, {"message": message})
        alias = _ALIASES.get(f"{request.method} {request.path.removeprefix('/lowcodeapi')}")
        if alias is None:
            raise GatewayRefusal(404, {"message": "The requested API does not exist."})
        path = alias.path.replace("{id}", quote(request.query.get("id", "-"), safe=""))
        # The token must not reach the platform, and everything else does.
        query = {name: value for name, value in request.query.items() if name != "api_token"}
        native = _rerouted(request, path, query=query, key=self._key)
        if alias.renames is not None and is_object(request.json):
            # What already has one of the platform's names is dropped, as the gateway does.
            names = alias.renames
            kept = {n: value for n, value in request.json.items() if n not in names.values()}
            body = {names.get(n, n): value for n, value in kept.items()}
            if isinstance(body.get("messages"), str):
                body["messages"] = [{"role": "user", "content": body["messages"]}]
            native.body = msgspec.json.encode(body)
        return native

    def wrap(self, request: RecordedRequest, reply: PlannedReply) -> PlannedReply:
        """Wrap JSON, hold streams back until they are complete."""
        data = b"".join(reply.pieces)
        # Its server reads the whole answer before it sends the first byte.
        if reply.streams:
            wait = reply.latency + reply.pause * len(reply.pieces)
            return replace(reply, pieces=(data,), latency=wait, pause=0.0)
        if reply.content_type == TEXT_TYPE and self.text == "envelope":
            document: Json = {self.envelope: data.decode()}
            return replace(_with_body(reply, document), content_type=JSON_TYPE)
        if reply.content_type != JSON_TYPE:
            return reply
        body = msgspec.Raw(data)
        counts = reply.status == 200 and request.path == "/lowcodeapi/paas/v4/tokenizer"
        if counts and self.tokenizer == "tokens" and is_object(request.json):
            # Its own documentation shows the pieces of the text that it takes as `input`.
            pieces = tokens(str(request.json.get("input", "")))
            body = msgspec.Raw(msgspec.json.encode({"tokens": pieces, "token_count": len(pieces)}))
        headers = {"x-log-id": reply.log_id}
        own: Json
        if reply.status >= 400:
            message = "Error received from the zai API"
            own = {"message": message, "provider": "zai", "error": body, "headers": headers}
        elif self.envelope == "data":
            own = {"data": body}
        else:
            own = {"message": "Request completed", "provider": "zai", "result": body}
            own |= {"response_headers": headers}
        return _with_body(reply, own)


# Guesses: the plural of what its tools are called. Its page names no resource.
_RESOURCES = {
    "chat_completions": "paas/v4/chat/completions",
    "videos_generations": "paas/v4/videos/generations",
    "async_results/{id}": "paas/v4/async-result/{id}",
    "images_generations": "paas/v4/images/generations",
    "async_images_generations": "paas/v4/async/images/generations",
    "audio_transcriptions": "paas/v4/audio/transcriptions",
    "tokenizers": "paas/v4/tokenizer",
    "layout_parsings": "paas/v4/layout_parsing",
    "web_searches": "paas/v4/web_search",
    "readers": "paas/v4/reader",
    "files": "paas/v4/files",
    "agents": "v1/agents",
    "agents_async_results": "v1/agents/async-result",
    "agents_conversations": "v1/agents/conversation",
}


class TrutoGateway(NoGateway):
    """Speak Truto's dialect below ``emulator.truto_url``.

    ``integrated_account_id`` is required in the query. ``custom/{path}`` takes the platform's
    paths, ``proxy/{resource}`` those of ``resources``, a table of your own if need be, for Truto
    does not publish its names. JSON is wrapped in ``result``, but a single ``GET`` through
    ``proxy`` is not. ``errors`` is ``"platform"`` for errors that pass unchanged, or ``"truto"``
    for its own: ``statusCode``, ``message``, and the platform's in ``details``.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self.reset()

    def reset(self) -> None:
        """Forget which errors and resources were chosen."""
        self.errors: Literal["platform", "truto"] = "platform"
        self.resources = dict(_RESOURCES)

    def forward(self, request: RecordedRequest) -> RecordedRequest:
        """Check the account, find the path."""
        # A token of its own; the platform's key is stored at the account.
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token or token.startswith("bad"):
            raise _refused(401, "The token is not valid")
        query = dict(request.query)
        if not query.pop("integrated_account_id", ""):
            raise _refused(400, "integrated_account_id is required")
        kind, _, rest = request.path.removeprefix("/truto/").partition("/")
        if kind == "custom":
            return _rerouted(request, rest, query=query, key=self._key)
        for resource, path in self.resources.items():
            pattern = re.escape(resource).replace(r"\{id\}", "(?P<id>[^/]+)")
            if match := re.fullmatch(pattern, rest):
                names = {name: quote(text) for name, text in match.groupdict().items()}
                return _rerouted(request, path.format_map(names), query=query, key=self._key)
        raise _refused(404, f"The resource {rest} does not exist")

    def wrap(self, request: RecordedRequest, reply: PlannedReply) -> PlannedReply:
        """Wrap JSON; streams and files pass unchanged."""
        if reply.content_type != JSON_TYPE:
            return reply
        body = msgspec.Raw(b"".join(reply.pieces))
        if reply.status >= 400:
            message = "The integrated account answered with an error"
            own = {"statusCode": reply.status, "message": message, "details": body}
            return _with_body(reply, own) if self.errors == "truto" else reply
        # Its page says so: one resource comes as it is, whatever else in `result`.
        single = request.method == "GET" and request.path.startswith("/truto/proxy/")
        return reply if single else _with_body(reply, {"result": body})


def _refused(status: int, message: str) -> GatewayRefusal:
    return GatewayRefusal(status, {"statusCode": status, "message": message})


def _rerouted(
    request: RecordedRequest, path: str, *, query: Mapping[str, str], key: str
) -> RecordedRequest:
    # The key that the platform sees is the gateway's.
    headers = {name.title(): value for name, value in request.headers.items()}
    headers["Authorization"] = f"Bearer {key}"
    return replace(request, path=f"/api/{path}", query=query, headers=headers)


def _with_body(reply: PlannedReply, document: Mapping[str, Any]) -> PlannedReply:
    return replace(reply, pieces=(msgspec.json.encode(document),))
