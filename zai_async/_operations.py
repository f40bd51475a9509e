"""Every operation of the platform: where it is, what it takes, and what makes an answer one."""

from typing import Final

from zai_async import _outcomes as outcomes
from zai_async._wire import Operation, requests
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

_MIB: Final = 2**20
_SOUND: Final = FileLimits(types=("audio/wav", "audio/mpeg"), max_bytes=25 * _MIB, max_seconds=30)

_CHAT = "chat.completions.create"
_CHAT_PATH = "paas/v4/chat/completions"

CHAT = Operation(
    _CHAT,
    _CHAT_PATH,
    ChatCompletion,
    ChatParams,
    prepare=requests.chat,
    judge=outcomes.ensure_proper_end,
)
CHAT_STREAM = Operation(
    _CHAT,
    _CHAT_PATH,
    ChatCompletionChunk,
    ChatParams,
    stream=True,
    prepare=requests.chat_stream,
    judge=outcomes.ensure_proper_end,
)
CHAT_SUBMIT = Operation(
    "chat.completions.submit",
    "paas/v4/async/chat/completions",
    TaskStatus,
    ChatParams,
    repeatable=False,
    prepare=requests.chat,
    essential="id",
)

VIDEO_SUBMIT = Operation(
    "videos.submit",
    "paas/v4/videos/generations",
    TaskStatus,
    VideoParams,
    repeatable=False,
    essential="id",
)
IMAGES = Operation(
    "images.generate",
    "paas/v4/images/generations",
    ImagesResponse,
    ImageParams,
    essential="data",
    judge=outcomes.judge_images,
)
IMAGE_SUBMIT = Operation(
    "images.submit",
    "paas/v4/async/images/generations",
    TaskStatus,
    ImageParams,
    repeatable=False,
    essential="id",
)

# One operation: only who submitted the task knows what its result is.
_TASK = "tasks.result"
_TASK_PATH = "paas/v4/async-result/{id}"

CHAT_RESULT = Operation(_TASK, _TASK_PATH, ChatResult, TaskIdParams, method="GET")
VIDEO_RESULT = Operation(_TASK, _TASK_PATH, Video, TaskIdParams, method="GET")
IMAGE_RESULT = Operation(_TASK, _TASK_PATH, ImageResult, TaskIdParams, method="GET")

_TRANSCRIBE = "audio.transcriptions.create"
_TRANSCRIBE_PATH = "paas/v4/audio/transcriptions"

TRANSCRIPTION = Operation(
    _TRANSCRIBE,
    _TRANSCRIBE_PATH,
    Transcription,
    TranscriptionParams,
    upload=_SOUND,
    prepare=requests.recording,
    essential="text",
    bare_text="text",
)
TRANSCRIPTION_STREAM = Operation(
    _TRANSCRIBE,
    _TRANSCRIBE_PATH,
    TranscriptionEvent,
    TranscriptionParams,
    stream=True,
    upload=_SOUND,
    prepare=requests.recording_stream,
)

_SPEAK = "audio.speech.create"
_SPEAK_PATH = "paas/v4/audio/speech"

# The answer is the sound itself; its type here stands for bytes that nobody decodes.
SPEECH = Operation(_SPEAK, _SPEAK_PATH, bytes, SpeechParams, judge=outcomes.judge_sound)
SPEECH_STREAM = Operation(
    _SPEAK, _SPEAK_PATH, SpeechChunk, SpeechParams, stream=True, prepare=requests.streamed
)

VOICE_CLONE = Operation(
    "voices.clone",
    "paas/v4/voice/clone",
    ClonedVoice,
    VoiceCloneParams,
    repeatable=False,
    essential="voice",
)
VOICE_LIST = Operation(
    "voices.list",
    "paas/v4/voice/list",
    VoiceList,
    VoiceListParams,
    method="GET",
    prepare=requests.camel_case,
    essential="voice_list",
)
VOICE_DELETE = Operation(
    "voices.delete",
    "paas/v4/voice/delete",
    VoiceDeletion,
    VoiceDeleteParams,
    essential="voice update_time",
)

TOKENIZER = Operation(
    "tokenizer.count",
    "paas/v4/tokenizer",
    TokenCount,
    TokenizerParams,
    free=True,
    prepare=requests.conversation,
    essential="usage.total_tokens usage.prompt_tokens token_count tokens",
)
LAYOUT = Operation(
    "layout_parsing.parse",
    "paas/v4/layout_parsing",
    Layout,
    LayoutParams,
    essential="md_results layout_details",
)
SEARCH = Operation(
    "web_search.create",
    "paas/v4/web_search",
    SearchResponse,
    SearchParams,
    essential="search_result search_intent",
)
READER = Operation(
    "reader.read", "paas/v4/reader", ReaderResponse, ReaderParams, essential="reader_result.content"
)
EMBEDDINGS = Operation(
    "embeddings.create",
    "paas/v4/embeddings",
    EmbeddingResponse,
    EmbeddingParams,
    essential="data",
    judge=outcomes.judge_embeddings,
)
RERANK = Operation(
    "rerank.create",
    "paas/v4/rerank",
    RerankResponse,
    RerankParams,
    essential="results",
)
MODERATIONS = Operation(
    "moderations.create",
    "paas/v4/moderations",
    ModerationResponse,
    ModerationParams,
    essential="result_list",
    judge=outcomes.judge_moderation,
)

FILE_UPLOAD = Operation(
    "files.create",
    "paas/v4/files",
    File,
    FileUploadParams,
    repeatable=False,
    upload=FileLimits(max_bytes=100 * _MIB),
    essential="id",
)
FILE_LIST = Operation(
    "files.list",
    "paas/v4/files",
    Page[File],
    FileListParams,
    method="GET",
    essential="data",
    judge=outcomes.judge_page,
)
FILE_DELETE = Operation(
    "files.delete",
    "paas/v4/files/{file_id}",
    FileDeletion,
    FileIdParams,
    method="DELETE",
    essential="id deleted",
)
# The answer is the file itself; its type here stands for bytes that nobody decodes.
FILE_CONTENT = Operation(
    "files.content", "paas/v4/files/{file_id}/content", bytes, FileIdParams, method="GET"
)

FILE_PARSER_SUBMIT = Operation(
    "file_parser.submit",
    "paas/v4/files/parser/create",
    FileParserTask,
    FileParserSubmitParams,
    repeatable=False,
    upload=FileLimits(),
    essential="task_id",
)
FILE_PARSER_RESULT = Operation(
    "file_parser.result",
    "paas/v4/files/parser/result/{task_id}/{format_type}",
    ParsedFile,
    FileParserResultParams,
    method="GET",
)

FILE_PARSER = Operation(
    "file_parser.parse",
    "paas/v4/files/parser/sync",
    ParsedFile,
    FileParserParams,
    upload=FileLimits(),
    prepare=requests.parsed_at_once,
    essential="content parsing_result_url",
    judge=outcomes.judge_document,
)

HANDWRITING = Operation(
    "ocr.handwriting",
    "paas/v4/files/ocr",
    Handwriting,
    HandwritingParams,
    upload=FileLimits(),
    prepare=requests.handwriting,
    essential="words_result",
    judge=outcomes.judge_document,
)

BATCH_CREATE = Operation(
    "batches.create",
    "paas/v4/batches",
    Batch,
    BatchParams,
    repeatable=False,
    essential="id output_file_id",
)
BATCH_LIST = Operation(
    "batches.list",
    "paas/v4/batches",
    Page[Batch],
    BatchListParams,
    method="GET",
    essential="data",
    judge=outcomes.judge_page,
)
BATCH_RETRIEVE = Operation(
    "batches.retrieve",
    "paas/v4/batches/{batch_id}",
    Batch,
    BatchIdParams,
    method="GET",
    essential="id output_file_id",
)
BATCH_CANCEL = Operation(
    "batches.cancel",
    "paas/v4/batches/{batch_id}/cancel",
    Batch,
    BatchIdParams,
    essential="id output_file_id",
)

# Some agents answer, others begin a task, and nothing but their documentation says which.
AGENT = Operation(
    "agents.invoke",
    "v1/agents",
    AgentReply,
    AgentParams,
    repeatable=False,
    essential="choices async_id status",
    judge=outcomes.judge_agent,
)
AGENT_STREAM = Operation(
    "agents.invoke",
    "v1/agents",
    AgentChunk,
    AgentParams,
    stream=True,
    repeatable=False,
    prepare=requests.streamed,
)
AGENT_RESULT = Operation(
    "agents.result", "v1/agents/async-result", AgentReply, AgentResultParams, free=True
)
AGENT_CONVERSATION = Operation(
    "agents.conversation",
    "v1/agents/conversation",
    AgentReply,
    AgentConversationParams,
    free=True,
    essential="choices status",
)

MODELS = Operation(
    "models.list",
    "paas/v4/models",
    Page[Model],
    CallParams,
    method="GET",
    essential="data",
    judge=outcomes.judge_page,
)
QUOTA = Operation(
    "quota",
    "monitor/usage/quota/limit",
    Quota,
    CallParams,
    method="GET",
    essential="data.limits data.level",
)
