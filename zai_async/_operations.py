"""Every operation of the platform: where it is, what it takes, and what makes an answer one."""

from typing import Final

from zai_async import _outcomes as outcomes
from zai_async import models
from zai_async._wire import Operation, requests
from zai_async.uploads import FileLimits

_MIB: Final = 2**20
# Checked before anything is sent, not after all of it was.
_SOUND: Final = FileLimits(types=("audio/wav", "audio/mpeg"), max_bytes=25 * _MIB, max_seconds=30)

# Three rows of one operation: whole, streamed, and submitted. They share keywords and judge, so
# that an answer that is cut is a failure in whichever way it was asked for.
_CHAT = "chat.completions.create"
_CHAT_PATH = "paas/v4/chat/completions"

CHAT = Operation(
    _CHAT,
    _CHAT_PATH,
    models.ChatCompletion,
    models.ChatParams,
    prepare=requests.chat,
    judge=outcomes.ensure_proper_end,
)
CHAT_STREAM = Operation(
    _CHAT,
    _CHAT_PATH,
    models.ChatCompletionChunk,
    models.ChatParams,
    stream=True,
    prepare=requests.chat_stream,
    judge=outcomes.ensure_proper_end,
)
# A receipt without an id is worth nothing: the task could never be asked about.
CHAT_SUBMIT = Operation(
    "chat.completions.submit",
    "paas/v4/async/chat/completions",
    models.TaskStatus,
    models.ChatParams,
    repeatable=False,
    submits=True,
    prepare=requests.chat,
    essential="id",
)

# Submissions are billed when they are accepted, and there is no way to ask whether one was: a
# request that may have arrived is not repeated.
VIDEO_SUBMIT = Operation(
    "videos.submit",
    "paas/v4/videos/generations",
    models.TaskStatus,
    models.VideoParams,
    repeatable=False,
    submits=True,
    essential="id",
)
# HTTP 200 with an empty list is no image.
IMAGES = Operation(
    "images.generate",
    "paas/v4/images/generations",
    models.ImagesResponse,
    models.ImageParams,
    essential="data",
    judge=outcomes.judge_images,
)
IMAGE_SUBMIT = Operation(
    "images.submit",
    "paas/v4/async/images/generations",
    models.TaskStatus,
    models.ImageParams,
    repeatable=False,
    submits=True,
    essential="id",
)

# One operation: only who submitted the task knows what its result is.
_TASK = "tasks.result"
_TASK_PATH = "paas/v4/async-result/{id}"

# Nothing is essential in them: while a task runs, an answer has little more than its status.
CHAT_RESULT = Operation(_TASK, _TASK_PATH, models.ChatResult, models.TaskIdParams, method="GET")
VIDEO_RESULT = Operation(_TASK, _TASK_PATH, models.Video, models.TaskIdParams, method="GET")
IMAGE_RESULT = Operation(_TASK, _TASK_PATH, models.ImageResult, models.TaskIdParams, method="GET")

_TRANSCRIBE = "audio.transcriptions.create"
_TRANSCRIBE_PATH = "paas/v4/audio/transcriptions"

# A recording in which nobody speaks has an empty text, which is there: presence decides, not truth.
# Relays answer some formats with a bare text instead of an object.
TRANSCRIPTION = Operation(
    _TRANSCRIBE,
    _TRANSCRIBE_PATH,
    models.Transcription,
    models.TranscriptionParams,
    upload=_SOUND,
    prepare=requests.recording,
    essential="text",
    bare_text="text",
)
TRANSCRIPTION_STREAM = Operation(
    _TRANSCRIBE,
    _TRANSCRIBE_PATH,
    models.TranscriptionEvent,
    models.TranscriptionParams,
    stream=True,
    upload=_SOUND,
    prepare=requests.recording_stream,
)

_SPEAK = "audio.speech.create"
_SPEAK_PATH = "paas/v4/audio/speech"

# The answer is the sound itself; its type here stands for bytes that nobody decodes.
SPEECH = Operation(_SPEAK, _SPEAK_PATH, bytes, models.SpeechParams, judge=outcomes.judge_sound)
SPEECH_STREAM = Operation(
    _SPEAK,
    _SPEAK_PATH,
    models.SpeechChunk,
    models.SpeechParams,
    stream=True,
    prepare=requests.streamed,
)

# A second clone of one recording would be a second voice on the bill.
VOICE_CLONE = Operation(
    "voices.clone",
    "paas/v4/voice/clone",
    models.ClonedVoice,
    models.VoiceCloneParams,
    repeatable=False,
    essential="voice",
)
VOICE_LIST = Operation(
    "voices.list",
    "paas/v4/voice/list",
    models.VoiceList,
    models.VoiceListParams,
    method="GET",
    prepare=requests.camel_case,
    essential="voice_list",
)
VOICE_DELETE = Operation(
    "voices.delete",
    "paas/v4/voice/delete",
    models.VoiceDeletion,
    models.VoiceDeleteParams,
    essential="voice update_time",
)

# Counting is free, so that no budget refuses it. LowCodeAPI tells the number in words of its own.
TOKENIZER = Operation(
    "tokenizer.count",
    "paas/v4/tokenizer",
    models.TokenCount,
    models.TokenizerParams,
    free=True,
    prepare=requests.conversation,
    essential="usage.total_tokens usage.prompt_tokens token_count tokens",
)
LAYOUT = Operation(
    "layout_parsing.parse",
    "paas/v4/layout_parsing",
    models.Layout,
    models.LayoutParams,
    essential="md_results layout_details",
)
# A search may find nothing; the list is there all the same.
SEARCH = Operation(
    "web_search.create",
    "paas/v4/web_search",
    models.SearchResponse,
    models.SearchParams,
    essential="search_result search_intent",
)
READER = Operation(
    "reader.read",
    "paas/v4/reader",
    models.ReaderResponse,
    models.ReaderParams,
    essential="reader_result.content",
)
# A vector less than there are texts would shift all that follow: the judge counts them.
EMBEDDINGS = Operation(
    "embeddings.create",
    "paas/v4/embeddings",
    models.EmbeddingResponse,
    models.EmbeddingParams,
    essential="data",
    judge=outcomes.judge_embeddings,
)
RERANK = Operation(
    "rerank.create",
    "paas/v4/rerank",
    models.RerankResponse,
    models.RerankParams,
    essential="results",
    judge=outcomes.judge_ranking,
)
# Without a verdict nothing may pass for harmless.
MODERATIONS = Operation(
    "moderations.create",
    "paas/v4/moderations",
    models.ModerationResponse,
    models.ModerationParams,
    essential="result_list",
    judge=outcomes.judge_moderation,
)

# 100 MB is what the platform documents for files of any purpose.
FILE_UPLOAD = Operation(
    "files.create",
    "paas/v4/files",
    models.File,
    models.FileUploadParams,
    repeatable=False,
    upload=FileLimits(max_bytes=100 * _MIB),
    essential="id",
)
FILE_LIST = Operation(
    "files.list",
    "paas/v4/files",
    models.Page[models.File],
    models.FileListParams,
    method="GET",
    essential="data",
    judge=outcomes.judge_page,
)
# Deleting twice is as good as once, so it is repeated like what is only read.
FILE_DELETE = Operation(
    "files.delete",
    "paas/v4/files/{file_id}",
    models.FileDeletion,
    models.FileIdParams,
    method="DELETE",
    essential="id deleted",
)
# The answer is the file itself; its type here stands for bytes that nobody decodes.
FILE_CONTENT = Operation(
    "files.content", "paas/v4/files/{file_id}/content", bytes, models.FileIdParams, method="GET"
)

# Each parser has limits of its own, which the platform tells better than a table here would.
FILE_PARSER_SUBMIT = Operation(
    "file_parser.submit",
    "paas/v4/files/parser/create",
    models.FileParserTask,
    models.FileParserSubmitParams,
    repeatable=False,
    submits=True,
    upload=FileLimits(),
    essential="task_id",
)
# Two ids in the path: the form of the result is chosen when it is fetched, not when it is ordered.
FILE_PARSER_RESULT = Operation(
    "file_parser.result",
    "paas/v4/files/parser/result/{task_id}/{format_type}",
    models.ParsedFile,
    models.FileParserResultParams,
    method="GET",
)

FILE_PARSER = Operation(
    "file_parser.parse",
    "paas/v4/files/parser/sync",
    models.ParsedFile,
    models.FileParserParams,
    upload=FileLimits(),
    prepare=requests.parsed_at_once,
    essential="content parsing_result_url",
    judge=outcomes.judge_document,
)

# A blank page is a result without lines.
HANDWRITING = Operation(
    "ocr.handwriting",
    "paas/v4/files/ocr",
    models.Handwriting,
    models.HandwritingParams,
    upload=FileLimits(),
    prepare=requests.handwriting,
    essential="words_result",
    judge=outcomes.judge_document,
)

# A batch that was made twice would be paid for twice.
BATCH_CREATE = Operation(
    "batches.create",
    "paas/v4/batches",
    models.Batch,
    models.BatchParams,
    repeatable=False,
    essential="id output_file_id",
)
BATCH_LIST = Operation(
    "batches.list",
    "paas/v4/batches",
    models.Page[models.Batch],
    models.BatchListParams,
    method="GET",
    essential="data",
    judge=outcomes.judge_page,
)
BATCH_RETRIEVE = Operation(
    "batches.retrieve",
    "paas/v4/batches/{batch_id}",
    models.Batch,
    models.BatchIdParams,
    method="GET",
    essential="id output_file_id",
)
# Cancelling twice is as good as once.
BATCH_CANCEL = Operation(
    "batches.cancel",
    "paas/v4/batches/{batch_id}/cancel",
    models.Batch,
    models.BatchIdParams,
    essential="id output_file_id",
)

# Some agents answer, others begin a task, and nothing but their documentation says which.
AGENT = Operation(
    "agents.invoke",
    "v1/agents",
    models.AgentReply,
    models.AgentParams,
    repeatable=False,
    essential="choices async_id status",
    judge=outcomes.judge_agent,
)
# The same request, by somebody who will ask for the result later.
AGENT_SUBMIT = Operation(
    "agents.invoke",
    "v1/agents",
    models.AgentReply,
    models.AgentParams,
    repeatable=False,
    submits=True,
    essential="choices async_id status",
    judge=outcomes.judge_agent_task,
)
AGENT_STREAM = Operation(
    "agents.invoke",
    "v1/agents",
    models.AgentChunk,
    models.AgentParams,
    stream=True,
    repeatable=False,
    prepare=requests.streamed,
)
# What the task has used was charged to the call that began it.
AGENT_RESULT = Operation(
    "agents.result",
    "v1/agents/async-result",
    models.AgentReply,
    models.AgentResultParams,
    free=True,
)
AGENT_CONVERSATION = Operation(
    "agents.conversation",
    "v1/agents/conversation",
    models.AgentReply,
    models.AgentConversationParams,
    free=True,
    essential="choices status",
    judge=outcomes.judge_conversation,
)

# Not in the published description, but answered by every endpoint: the cheapest way to try a key.
MODELS = Operation(
    "models.list",
    "paas/v4/models",
    models.Page[models.Model],
    models.CallParams,
    method="GET",
    essential="data",
    judge=outcomes.judge_page,
)
# Belongs to the usage page of the plan, outside of the families of documented operations.
QUOTA = Operation(
    "quota",
    "monitor/usage/quota/limit",
    models.Quota,
    models.CallParams,
    method="GET",
    essential="data.limits data.level",
)
