"""Every operation of the platform, a line each."""

from collections.abc import Callable, Iterable, Sized
from typing import Any, Final, TypeVar

from zai_async._wire import Operation
from zai_async.errors import ConfigurationError
from zai_async.models import (
    AgentChunk,
    AgentConversationParams,
    AgentParams,
    AgentReply,
    AgentResultParams,
    Batch,
    BatchIdParams,
    BatchListParams,
    BatchParams,
    CallParams,
    ChatCompletion,
    ChatCompletionChunk,
    ChatParams,
    ChatResult,
    ClonedVoice,
    EmbeddingParams,
    EmbeddingResponse,
    File,
    FileDeletion,
    FileIdParams,
    FileListParams,
    FileParserParams,
    FileParserResultParams,
    FileParserSubmitParams,
    FileParserTask,
    FileUploadParams,
    Handwriting,
    HandwritingParams,
    ImageParams,
    ImageResult,
    ImagesResponse,
    Layout,
    LayoutParams,
    Model,
    ModerationParams,
    ModerationResponse,
    Page,
    ParsedFile,
    Quota,
    ReaderParams,
    ReaderResponse,
    RerankParams,
    RerankResponse,
    SearchParams,
    SearchResponse,
    SpeechChunk,
    SpeechParams,
    TaskIdParams,
    TaskStatus,
    TokenCount,
    TokenizerParams,
    Transcription,
    TranscriptionEvent,
    TranscriptionParams,
    Video,
    VideoParams,
    VoiceCloneParams,
    VoiceDeleteParams,
    VoiceDeletion,
    VoiceList,
    VoiceListParams,
)
from zai_async.uploads import FileLimits

T = TypeVar("T")
Body = dict[str, Any]
Prepare = Callable[[Body], Body]

_MIB: Final = 2**20
_SOUND: Final = FileLimits(types=("audio/wav", "audio/mpeg"), max_bytes=25 * _MIB, max_seconds=30)


def _unchanged(body: Body) -> Body:
    return body


def _streamed(body: Body) -> Body:
    return {**body, "stream": True}


def _filled(name: str, required: Iterable[str], body: Body) -> Body:
    """Return the body, or say which of the fields that it must have is empty."""
    for field in required:
        if _is_empty(body.get(field, field)):  # the path may have taken it
            raise ConfigurationError(f"{name}(): {field} must not be empty")
    return body


def _is_empty(value: object) -> bool:
    if isinstance(value, str | list):  # asking for Sized is slow
        return not value
    return value is None or (isinstance(value, Sized) and not len(value))


def _operation(
    name: str,
    path: str,
    result: type[T],
    params: type[Any],
    *,
    method: str = "POST",
    stream: bool = False,
    repeatable: bool = True,
    free: bool = False,
    upload: FileLimits | None = None,
    prepare: Prepare = _unchanged,
) -> Operation[T]:
    required = sorted(params.__required_keys__)
    return Operation(
        name,
        path,
        result,
        params,
        method=method,
        stream=stream,
        repeatable=repeatable,
        free=free,
        upload=None if upload is None else ("file", upload),
        prepare=lambda body: _filled(name, required, prepare(body)),
    )


def _conversation(body: Body) -> Body:
    """Turn a plain prompt into a conversation."""
    prompt = body["messages"]
    if not isinstance(prompt, str) or not prompt:
        return body
    return {**body, "messages": [{"role": "user", "content": prompt}]}


def _chat(body: Body) -> Body:
    """Turn a plain prompt into a conversation, and a lone stop word into a list."""
    if not isinstance(body["model"], str) or not body["model"]:
        raise ConfigurationError(f"{_CHAT}(): model must be a non-empty string")
    body = _conversation(body)
    return {**body, "stop": [body["stop"]]} if isinstance(body.get("stop"), str) else body


def _chat_stream(body: Body) -> Body:
    return _streamed(_chat(body))


_CHAT = "chat.completions.create"
_CHAT_PATH = "paas/v4/chat/completions"

CHAT = _operation(_CHAT, _CHAT_PATH, ChatCompletion, ChatParams, prepare=_chat)
CHAT_STREAM = _operation(
    _CHAT, _CHAT_PATH, ChatCompletionChunk, ChatParams, stream=True, prepare=_chat_stream
)
CHAT_SUBMIT = _operation(
    "chat.completions.submit",
    "paas/v4/async/chat/completions",
    TaskStatus,
    ChatParams,
    repeatable=False,
    prepare=_chat,
)

VIDEO_SUBMIT = _operation(
    "videos.submit", "paas/v4/videos/generations", TaskStatus, VideoParams, repeatable=False
)
IMAGES = _operation("images.generate", "paas/v4/images/generations", ImagesResponse, ImageParams)
IMAGE_SUBMIT = _operation(
    "images.submit", "paas/v4/async/images/generations", TaskStatus, ImageParams, repeatable=False
)

# One operation: only who submitted the task knows what its result is.
_TASK = "tasks.result"
_TASK_PATH = "paas/v4/async-result/{id}"

CHAT_RESULT = _operation(_TASK, _TASK_PATH, ChatResult, TaskIdParams, method="GET")
VIDEO_RESULT = _operation(_TASK, _TASK_PATH, Video, TaskIdParams, method="GET")
IMAGE_RESULT = _operation(_TASK, _TASK_PATH, ImageResult, TaskIdParams, method="GET")


def _recording(body: Body) -> Body:
    if body.get("file") is None and not body.get("file_base64"):
        raise ConfigurationError(f"{_TRANSCRIBE}(): one of file and file_base64 is needed")
    return body


def _recording_streamed(body: Body) -> Body:
    return _streamed(_recording(body))


_TRANSCRIBE = "audio.transcriptions.create"
_TRANSCRIBE_PATH = "paas/v4/audio/transcriptions"

TRANSCRIPTION = _operation(
    _TRANSCRIBE,
    _TRANSCRIBE_PATH,
    Transcription,
    TranscriptionParams,
    upload=_SOUND,
    prepare=_recording,
)
TRANSCRIPTION_STREAM = _operation(
    _TRANSCRIBE,
    _TRANSCRIBE_PATH,
    TranscriptionEvent,
    TranscriptionParams,
    stream=True,
    upload=_SOUND,
    prepare=_recording_streamed,
)

_SPEAK = "audio.speech.create"
_SPEAK_PATH = "paas/v4/audio/speech"

# The answer is the sound itself; its type here stands for bytes that nobody decodes.
SPEECH = _operation(_SPEAK, _SPEAK_PATH, bytes, SpeechParams)
SPEECH_STREAM = _operation(
    _SPEAK, _SPEAK_PATH, SpeechChunk, SpeechParams, stream=True, prepare=_streamed
)


def _camel_case(body: Body) -> Body:
    names = {"voice_name": "voiceName", "voice_type": "voiceType"}
    return {names.get(name, name): value for name, value in body.items()}


VOICE_CLONE = _operation(
    "voices.clone", "paas/v4/voice/clone", ClonedVoice, VoiceCloneParams, repeatable=False
)
VOICE_LIST = _operation(
    "voices.list",
    "paas/v4/voice/list",
    VoiceList,
    VoiceListParams,
    method="GET",
    prepare=_camel_case,
)
VOICE_DELETE = _operation("voices.delete", "paas/v4/voice/delete", VoiceDeletion, VoiceDeleteParams)

TOKENIZER = _operation(
    "tokenizer.count",
    "paas/v4/tokenizer",
    TokenCount,
    TokenizerParams,
    free=True,
    prepare=_conversation,
)
LAYOUT = _operation("layout_parsing.parse", "paas/v4/layout_parsing", Layout, LayoutParams)
SEARCH = _operation("web_search.create", "paas/v4/web_search", SearchResponse, SearchParams)
READER = _operation("reader.read", "paas/v4/reader", ReaderResponse, ReaderParams)
EMBEDDINGS = _operation(
    "embeddings.create", "paas/v4/embeddings", EmbeddingResponse, EmbeddingParams
)
RERANK = _operation("rerank.create", "paas/v4/rerank", RerankResponse, RerankParams)
MODERATIONS = _operation(
    "moderations.create", "paas/v4/moderations", ModerationResponse, ModerationParams
)

FILE_UPLOAD = _operation(
    "files.create",
    "paas/v4/files",
    File,
    FileUploadParams,
    repeatable=False,
    upload=FileLimits(max_bytes=100 * _MIB),
)
FILE_LIST = _operation("files.list", "paas/v4/files", Page[File], FileListParams, method="GET")
FILE_DELETE = _operation(
    "files.delete", "paas/v4/files/{file_id}", FileDeletion, FileIdParams, method="DELETE"
)
# The answer is the file itself; its type here stands for bytes that nobody decodes.
FILE_CONTENT = _operation(
    "files.content", "paas/v4/files/{file_id}/content", bytes, FileIdParams, method="GET"
)

FILE_PARSER_SUBMIT = _operation(
    "file_parser.submit",
    "paas/v4/files/parser/create",
    FileParserTask,
    FileParserSubmitParams,
    repeatable=False,
    upload=FileLimits(),
)
FILE_PARSER_RESULT = _operation(
    "file_parser.result",
    "paas/v4/files/parser/result/{task_id}/{format_type}",
    ParsedFile,
    FileParserResultParams,
    method="GET",
)


def _parsed_at_once(body: Body) -> Body:
    return {"tool_type": "prime-sync", **body}


FILE_PARSER = _operation(
    "file_parser.parse",
    "paas/v4/files/parser/sync",
    ParsedFile,
    FileParserParams,
    upload=FileLimits(),
    prepare=_parsed_at_once,
)


def _handwriting(body: Body) -> Body:
    return {"tool_type": "hand_write", **body}


HANDWRITING = _operation(
    "ocr.handwriting",
    "paas/v4/files/ocr",
    Handwriting,
    HandwritingParams,
    upload=FileLimits(),
    prepare=_handwriting,
)

BATCH_CREATE = _operation("batches.create", "paas/v4/batches", Batch, BatchParams, repeatable=False)
BATCH_LIST = _operation(
    "batches.list", "paas/v4/batches", Page[Batch], BatchListParams, method="GET"
)
BATCH_RETRIEVE = _operation(
    "batches.retrieve", "paas/v4/batches/{batch_id}", Batch, BatchIdParams, method="GET"
)
BATCH_CANCEL = _operation(
    "batches.cancel", "paas/v4/batches/{batch_id}/cancel", Batch, BatchIdParams
)

# Some agents answer, others begin a task, and nothing but their documentation says which.
AGENT = _operation("agents.invoke", "v1/agents", AgentReply, AgentParams, repeatable=False)
AGENT_STREAM = _operation(
    "agents.invoke",
    "v1/agents",
    AgentChunk,
    AgentParams,
    stream=True,
    repeatable=False,
    prepare=_streamed,
)
AGENT_RESULT = _operation(
    "agents.result", "v1/agents/async-result", AgentReply, AgentResultParams, free=True
)
AGENT_CONVERSATION = _operation(
    "agents.conversation",
    "v1/agents/conversation",
    AgentReply,
    AgentConversationParams,
    free=True,
)

MODELS = _operation("models.list", "paas/v4/models", Page[Model], CallParams, method="GET")
QUOTA = _operation("quota", "monitor/usage/quota/limit", Quota, CallParams, method="GET")
