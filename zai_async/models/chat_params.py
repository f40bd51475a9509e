"""Chat requests: https://docs.z.ai/api-reference/llm/chat-completion."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, Required, TypedDict

from zai_async.models.chat import Message
from zai_async.models.options import CallParams

__all__ = [
    "AnswerParams",
    "AssistantMessageParam",
    "AudioParam",
    "AudioPartParam",
    "ChatModel",
    "ChatParams",
    "ContentPartParam",
    "FileParam",
    "FilePartParam",
    "FileURLPartParam",
    "FunctionCallParam",
    "FunctionParam",
    "FunctionToolParam",
    "GenerationParams",
    "ImagePartParam",
    "InputAudioParam",
    "MCPParam",
    "MCPToolParam",
    "MessageParam",
    "ResponseFormatParam",
    "RetrievalParam",
    "RetrievalToolParam",
    "SensitiveWordCheckParam",
    "SystemMessageParam",
    "TextPartParam",
    "ThinkingParam",
    "ToolCallParam",
    "ToolMessageParam",
    "ToolParam",
    "URLParam",
    "UserMessageParam",
    "VideoPartParam",
    "WebSearchParam",
    "WebSearchToolParam",
]

ChatModel = Literal[
    "glm-5.3",
    "glm-5.2",
    "glm-5.1",
    "glm-5",
    "glm-5-turbo",
    "glm-4.7",
    "glm-4.7-flash",
    "glm-4.7-flashx",
    "glm-4.6",
    "glm-4.5",
    "glm-4.5-x",
    "glm-4.5-air",
    "glm-4.5-airx",
    "glm-4.5-flash",
    "glm-4-32b-0414-128k",
    "glm-5.3-flash",
    "glm-5.3-flashx",
    "glm-5v-turbo",
    "glm-4.6v",
    "glm-4.6v-flash",
    "glm-4.6v-flashx",
    "glm-4.5v",
    "autoglm-phone-multilingual",
]
"""Models of Z.AI for conversations; any other name may be given as well."""


class TextPartParam(TypedDict):
    """Put text into a user message."""

    type: Literal["text"]
    text: str


class URLParam(TypedDict):
    """Name a file that the service shall read."""

    url: str
    """An http(s) address; for images also base64, bare or as a data URL. Sent as it is."""


class ImagePartParam(TypedDict):
    """Show an image to a vision model."""

    type: Literal["image_url"]
    image_url: URLParam
    """A jpg or png of at most 5 MB and 6000 x 6000 pixels."""


class VideoPartParam(TypedDict):
    """Show a video to a vision model."""

    type: Literal["video_url"]
    video_url: URLParam
    """An mp4, mkv or mov of at most 200 MB."""


class FileURLPartParam(TypedDict):
    """Show a document by its address; not together with images or videos."""

    type: Literal["file_url"]
    file_url: URLParam
    """A pdf, txt, docx, jsonl, xlsx or pptx; up to 50 of them, never base64."""


class FileParam(TypedDict, total=False):
    """Name a document in one of three ways; at most 50 MB each."""

    file_id: str
    """The id of an uploaded file (GLM-5.3-Flash series)."""
    file_url: str
    """An http(s) address."""
    file_data: str
    """A data URL, ``data:<media type>;base64,...``."""
    filename: str


class FilePartParam(TypedDict):
    """Show a document; up to 50 of them, not together with images or videos."""

    type: Literal["file"]
    file: FileParam


class InputAudioParam(TypedDict):
    """Recorded speech."""

    data: str
    """Base64 of at most 10 minutes."""
    format: Literal["wav", "mp3"]


class AudioPartParam(TypedDict):
    """Speak to an audio model (bigmodel.cn)."""

    type: Literal["input_audio"]
    input_audio: InputAudioParam


ContentPartParam = (
    TextPartParam
    | ImagePartParam
    | VideoPartParam
    | FileURLPartParam
    | FilePartParam
    | AudioPartParam
)


class SystemMessageParam(TypedDict):
    """Instruct the model."""

    role: Literal["system"]
    content: str


class UserMessageParam(TypedDict):
    """Say something to the model."""

    role: Literal["user"]
    content: str | Sequence[ContentPartParam]


class FunctionCallParam(TypedDict):
    """Repeat what the model called."""

    name: str
    arguments: str
    """JSON text, as the model wrote it."""


class ToolCallParam(TypedDict):
    """Repeat a tool call of the model."""

    id: str
    type: Literal["function", "web_search", "retrieval"]
    function: NotRequired[FunctionCallParam]


class AudioParam(TypedDict):
    """Refer to an earlier spoken answer (bigmodel.cn)."""

    id: str


class AssistantMessageParam(TypedDict):
    """Repeat what the model said; the message of an answer can be given instead, unchanged."""

    role: Literal["assistant"]
    content: NotRequired[str | Sequence[ContentPartParam] | None]
    reasoning_content: NotRequired[str | None]
    """The thinking before this message, complete and unedited; see ``clear_thinking``."""
    tool_calls: NotRequired[Sequence[ToolCallParam]]
    audio: NotRequired[AudioParam]


class ToolMessageParam(TypedDict):
    """Give the result of a tool call."""

    role: Literal["tool"]
    content: str
    tool_call_id: str
    """The ``id`` of the call."""


MessageParam = (
    SystemMessageParam
    | UserMessageParam
    | AssistantMessageParam
    | ToolMessageParam
    | Message
    | Mapping[str, Any]
)
"""One message of a conversation; the message of an answer and a plain dict will do, too."""


class FunctionParam(TypedDict):
    """Describe a function that the model may call."""

    name: str
    """1 to 64 of the characters ``a-z A-Z 0-9 _ -``."""
    description: NotRequired[str]
    """What it does, which is how the model decides when to call it."""
    parameters: NotRequired[Mapping[str, Any]]
    """JSON Schema of the arguments; leave it out for a function without any."""


class FunctionToolParam(TypedDict):
    """Offer a function to the model."""

    type: Literal["function"]
    function: FunctionParam


class WebSearchParam(TypedDict, total=False):
    """Set how the service searches the web."""

    enable: bool
    """Default false."""
    search_engine: str
    """``search_pro_jina``; on bigmodel.cn ``search_std``, ``search_pro``, ``search_pro_sogou`` or
    ``search_pro_quark``."""
    search_query: str
    """Search for this, whatever the conversation is about."""
    search_intent: bool | str
    """Whether to first find out if a search is needed (bigmodel.cn)."""
    count: int
    """Results, 1 to 50; default 10."""
    search_domain_filter: str
    """Search this domain only."""
    search_recency_filter: Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"]
    content_size: Literal["medium", "high"]
    """How much of each page the model reads."""
    result_sequence: Literal["before", "after"]
    """Whether the sources come before or after the answer; default after."""
    search_result: bool
    """Whether the sources are returned at all."""
    require_search: bool
    """Whether to answer only from what was found."""
    search_prompt: str
    """How the results are put to the model."""


class WebSearchToolParam(TypedDict):
    """Let the model search the web."""

    type: Literal["web_search"]
    web_search: WebSearchParam


class RetrievalParam(TypedDict):
    """Name a knowledge base."""

    knowledge_id: str
    prompt_template: NotRequired[str]
    """A prompt with the marks ``{{knowledge}}`` and ``{{question}}``."""


class RetrievalToolParam(TypedDict):
    """Let the model look things up in a knowledge base."""

    type: Literal["retrieval"]
    retrieval: RetrievalParam


class MCPParam(TypedDict):
    """Name a Model Context Protocol server."""

    server_label: str
    server_url: NotRequired[str]
    transport_type: NotRequired[Literal["sse", "streamable-http"]]
    allowed_tools: NotRequired[Sequence[str]]
    headers: NotRequired[Mapping[str, str]]
    """Sent to the server, for its authentication."""


class MCPToolParam(TypedDict):
    """Let the model use a Model Context Protocol server (bigmodel.cn)."""

    type: Literal["mcp"]
    mcp: MCPParam


ToolParam = FunctionToolParam | WebSearchToolParam | RetrievalToolParam | MCPToolParam


class ThinkingParam(TypedDict):
    """Switch the thinking of the model."""

    type: Literal["enabled", "disabled"]
    """Default enabled; GLM-5.3 refuses ``disabled``: lower ``reasoning_effort`` there."""
    clear_thinking: NotRequired[bool]
    """Whether earlier ``reasoning_content`` is ignored; default true, on the Coding Plan false."""


class ResponseFormatParam(TypedDict):
    """Choose between text and JSON."""

    type: Literal["text", "json_object"]
    """With ``json_object`` the messages must ask for JSON as well."""


class SensitiveWordCheckParam(TypedDict):
    """Switch the word filter (bigmodel.cn, by agreement)."""

    type: Literal["ALL"]
    status: Literal["ENABLE", "DISABLE"]


class GenerationParams(CallParams, total=False):
    """How an answer is written, whatever it answers."""

    thinking: ThinkingParam | Mapping[str, Any]
    """Whether the model thinks first (GLM-4.5 and later)."""
    reasoning_effort: Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"]
    """How long it thinks (GLM-5.2 and later; GLM-5.3 knows low, high and max only); default max."""
    do_sample: bool
    """False always takes the likeliest token and disables temperature and top_p; default true."""
    temperature: float
    """0.0 to 1.0."""
    top_p: float
    """0.01 to 1.0."""
    max_tokens: int
    """Limit of the answer in tokens, thinking included; 1 to 131072, less on most models."""
    tool_choice: Literal["auto", "none", "required"] | str | Mapping[str, Any]
    """``"auto"`` is the only documented value; some models take an object naming a function."""
    tool_stream: bool
    """Stream the arguments of tool calls while they are written (GLM-4.6 and later)."""
    stop: Sequence[str]
    """Texts at which the answer ends; up to 4, of which one is sure to work."""
    response_format: ResponseFormatParam | Mapping[str, Any]
    """Default text."""
    seed: int
    """Repeatable sampling where the model supports it (undocumented)."""
    request_id: str
    """Your id for the request, 6 to 64 characters, unique; generated by the service if absent."""
    user_id: str
    """Your id for the end user, 6 to 128 characters."""
    meta: Mapping[str, Any]
    """Names and descriptions of the two roles, for the role-play models (bigmodel.cn)."""
    sensitive_word_check: SensitiveWordCheckParam
    watermark_enabled: bool
    """Whether generated media are marked; false needs a signed statement (bigmodel.cn)."""


class AnswerParams(GenerationParams, total=False):
    """Parameters of a chat request, without the tools."""

    model: Required[ChatModel | str]
    """The model, such as ``"glm-5.3"``; any name is sent as it is."""
    messages: Required[str | Sequence[MessageParam]]
    """The conversation, or the one question as plain text. Answers may be given as received."""


class ChatParams(AnswerParams, total=False):
    """Parameters of a chat request; what is absent is not sent, and None is sent as null."""

    tools: Sequence[ToolParam | Mapping[str, Any]]
    """What the model may call; up to 128 functions."""
