"""Requests as clients of OpenAI send them, as keywords of ours.

https://platform.openai.com/docs/api-reference

What has a counterpart is translated. What would change the answer is refused by its name: it is
better to know than to wonder. The rest, such as ``user`` or ``store``, means nothing here.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar, cast

import msgspec
from msgspec import Struct, convert, to_builtins

from zai_async.errors.http import HTTPAnswer
from zai_async.models.chat import text_of
from zai_async.structured import with_schema

__all__ = [
    "ChatRequest",
    "RefusedRequestError",
    "chat_request",
    "embedding_request",
    "fields_of",
    "image_request",
]

T = TypeVar("T")

# What changes an answer and has no counterpart, with the values that change nothing.
_OF_CHATS: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "parallel_tool_calls": (True,),
    "tool_choice": ("auto", "none"),
    "functions": ([],),
    "function_call": ("auto", "none"),
    "modalities": (["text"],),
    "web_search_options": (),
}
_OF_EMBEDDINGS: Final[Mapping[str, tuple[Any, ...]]] = {"encoding_format": ("float", "base64")}
_OF_IMAGES: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "stream": (False,),
    "background": ("auto", "opaque"),
    "response_format": ("url", "b64_json"),
}
_QUALITIES: Final = {"auto": None, "high": "hd", "medium": "standard", "low": "standard"}
# The words of OpenAI for models that know three of them: low, high and max.
_EFFORTS: Final = {"none": "low", "minimal": "low", "medium": "high", "xhigh": "max"}
_MISSING: Final = re.compile(r"missing required field `(\w+)`")


class RefusedRequestError(Exception):
    """A request that cannot be answered as it is meant; ``param`` names the field."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = headers or {}

    def to_http(self) -> HTTPAnswer:
        """Return the answer, in the words of OpenAI."""
        headers = {"Content-Type": "application/json", **self.headers}
        body = {
            "message": str(self),
            "type": "invalid_request_error",
            "param": self.param,
            "code": self.code,
        }
        return HTTPAnswer(self.status, headers, {"error": body})


class _Function(Struct, omit_defaults=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(Struct, omit_defaults=True):
    # Others reach what belongs to the account, such as its knowledge bases.
    type: Literal["function", "web_search"]
    function: _Function | None = None
    web_search: dict[str, Any] | None = None


class _SentMessage(Struct, omit_defaults=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    def __post_init__(self) -> None:
        if self.role == "developer":
            self.role = "system"
        # Only what a user says may be more than text. What assistants have thought may go; a tool
        # whose picture were left out would have said nothing.
        if self.role != "user" and self.content is not None:
            if self.role == "tool" and not isinstance(self.content, str):
                kinds = {part.get("type") for part in self.content}
                if kinds - {"text"}:
                    raise ValueError("a tool can answer with text only")
            self.content = text_of(self.content)
        self.tool_calls = self.tool_calls or None


class _Schema(Struct):
    schema: dict[str, Any]


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _SentOn(Struct, omit_defaults=True):
    """What goes to the platform as it is."""

    model: str
    messages: list[_SentMessage]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    thinking: dict[str, Any] | None = None
    do_sample: bool | None = None
    tool_stream: bool | None = None
    tools: list[_Tool] | None = None


class _Chat(Struct):
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_completion_tokens: int | None = None
    response_format: _Format | None = None


class _SentTexts(Struct, omit_defaults=True):
    model: str
    input: str | list[str]
    dimensions: int | None = None


class _SentPrompt(Struct, omit_defaults=True):
    model: str
    prompt: str
    size: str | None = None
    quality: str | None = None


class ChatRequest(Struct):
    """What a client wants of a chat."""

    params: dict[str, Any]
    """The keywords of ``zai.chat.completions``."""
    stream: bool
    include_usage: bool
    """Whether the last chunk tells the token counts."""


def fields_of(body: bytes) -> dict[str, Any]:
    """Return the fields of a body; those that are null are as good as left out.

    Raises:
        RefusedRequestError: The body is no JSON, or no object.
    """
    try:
        fields: object = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise RefusedRequestError(f"The body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise RefusedRequestError("The body must be a JSON object.")
    known = cast("dict[str, Any]", fields)
    return {name: value for name, value in known.items() if value is not None}


def chat_request(fields: dict[str, Any]) -> ChatRequest:
    """Translate a body of ``POST /chat/completions``.

    Raises:
        RefusedRequestError: A field is wrong, or cannot be obeyed.
    """
    if not fields.get("tools"):
        fields.pop("parallel_tool_calls", None)  # which says nothing without them
    _refuse(fields, _OF_CHATS)
    wish = _read(fields, _Chat)
    sent = _read(fields, _SentOn)
    _require(sent.messages, "messages")
    sent.max_tokens = wish.max_completion_tokens or sent.max_tokens
    # Empty fields of a form.
    stops = [sent.stop] if isinstance(sent.stop, str) else sent.stop or []
    sent.stop = [each for each in stops if each] or None
    sent.reasoning_effort = sent.reasoning_effort or None
    if "glm-5.3" in sent.model and sent.reasoning_effort is not None:
        sent.reasoning_effort = _EFFORTS.get(sent.reasoning_effort, sent.reasoning_effort)
    if not sent.tools or fields.get("tool_choice") == "none":
        sent.tools = None
    params: dict[str, Any] = to_builtins(sent)
    format_ = wish.response_format
    if format_ is not None and format_.type == "json_object":
        params["response_format"] = {"type": "json_object"}
    elif format_ is not None and format_.type == "json_schema":
        if format_.json_schema is None:
            text = "A schema is missing."
            raise RefusedRequestError(text, param="response_format.json_schema")
        params = with_schema(params, format_.json_schema.schema)
    usage = wish.stream_options is not None and bool(wish.stream_options.include_usage)
    return ChatRequest(params, wish.stream, usage)


def embedding_request(fields: dict[str, Any]) -> dict[str, Any]:
    """Translate a body of ``POST /embeddings``.

    Raises:
        RefusedRequestError: A field is wrong, or cannot be obeyed.
    """
    _refuse(fields, _OF_EMBEDDINGS)
    sent = _read(fields, _SentTexts)
    _require(sent.input, "input")
    params: dict[str, Any] = to_builtins(sent)
    return params


def image_request(fields: dict[str, Any]) -> dict[str, Any]:
    """Translate a body of ``POST /images/generations``.

    Raises:
        RefusedRequestError: A field is wrong, or cannot be obeyed.
    """
    _refuse(fields, _OF_IMAGES)
    sent = _read(fields, _SentPrompt)
    _require(sent.prompt, "prompt")
    # "auto" is the wish to have none.
    sent.size = None if sent.size == "auto" else sent.size
    sent.quality = _QUALITIES.get(sent.quality or "auto", sent.quality)
    params: dict[str, Any] = to_builtins(sent)
    return params


def _refuse(fields: dict[str, Any], harmless: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse what would change the answer."""
    for name, values in harmless.items():
        if name in fields and fields[name] not in values:
            text = f"This service cannot do what {name} asks for."
            raise RefusedRequestError(text, param=name, code="unsupported_value")


def _require(value: object, name: str) -> None:
    if not value:
        raise RefusedRequestError(f"{name} must not be empty.", param=name)


def _read(fields: dict[str, Any], kind: type[T]) -> T:
    """Read the fields that a kind of request knows."""
    try:
        return convert(fields, kind)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        missing = _MISSING.search(text)
        path = f"{place.rstrip('`')}.{missing[1]}" if missing else place.rstrip("`")
        raise RefusedRequestError(str(error), param=path.removeprefix(".") or None) from None
