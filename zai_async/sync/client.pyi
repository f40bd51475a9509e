# Made by `python -m tests.sync_stub`; every change here is lost.
# pyright: reportInvalidTypeVarUse=false

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, overload

from aiohttp import ClientSession

from zai_async._clock import Clock
from zai_async._protocol import SlidePage
from zai_async._protocol.events import ChatEvent
from zai_async._transport import Transport
from zai_async.batch.results import BatchProgress, Report
from zai_async.batch.settings import BatchOptions
from zai_async.batch.sources import Rows
from zai_async.client import Changes
from zai_async.errors import Attempt, Timing
from zai_async.ledger import Ledger
from zai_async.limiter import Limits
from zai_async.models import (
    AgentChunk,
    AgentConversationParams,
    AgentParams,
    AgentReply,
    AgentResultParams,
    Batch,
    BatchListParams,
    BatchParams,
    BatchResult,
    BinaryReply,
    Budget,
    CallOptions,
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
    FileListParams,
    FileParserParams,
    FileParserSubmitParams,
    FileUploadParams,
    Handwriting,
    HandwritingParams,
    ImageParams,
    ImageResult,
    ImagesResponse,
    Layout,
    LayoutParams,
    MessageParam,
    Model,
    ModerationParams,
    ModerationResponse,
    Outcome,
    Page,
    ParsedFile,
    Price,
    Quota,
    ReaderParams,
    ReaderResponse,
    Reply,
    RerankParams,
    RerankResponse,
    SearchParams,
    SearchResponse,
    SpeechParams,
    Timeout,
    TokenCount,
    TokenizerParams,
    TranscribedPart,
    Transcription,
    TranscriptionEvent,
    TranscriptionParams,
    Usage,
    Video,
    VideoParams,
    VoiceCloneParams,
    VoiceDeleteParams,
    VoiceDeletion,
    VoiceList,
    VoiceListParams,
)
from zai_async.models.files import DownloadOptions
from zai_async.models.tool_runs import ResumeParams, RunParams
from zai_async.providers import Provider, ProviderName
from zai_async.recordings import OnPart
from zai_async.resources.account import EndpointCheck
from zai_async.retry import RetryPolicy
from zai_async.session import Coordinator, Hooks, LimitsView
from zai_async.structured import ParsedCompletion
from zai_async.tasks import OnUpdate, ParsedResult
from zai_async.tasks.task import TaskEngine
from zai_async.tools import RunState
from zai_async.tools.events import RunEvent

E = TypeVar("E", bound=BaseException)
R = TypeVar("R", bound=Reply)
S = TypeVar("S")
T = TypeVar("T")

class EventStream(Generic[T]):
    @property
    def request_id(self) -> str | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def buffered(self) -> bool: ...
    @property
    def attempts(self) -> tuple[Attempt, ...]: ...
    @property
    def timing(self) -> Timing: ...
    @property
    def raw(self) -> Iterator[bytes]: ...
    def open(self) -> Self: ...
    def prime(self, timeout: float | None = None) -> Self: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __iter__(self) -> Iterator[T]: ...

class AgentStream(EventStream[AgentChunk]):
    @property
    def text(self) -> Iterator[str]: ...
    @property
    def thinking(self) -> Iterator[str]: ...
    @property
    def pages(self) -> list[SlidePage]: ...
    @property
    def conversation_id(self) -> str | None: ...
    @property
    def snapshot(self) -> AgentReply: ...
    def reply(self) -> AgentReply: ...

class SpeechStream(EventStream[bytes]):
    @property
    def sample_rate(self) -> int: ...
    def read(self) -> bytes: ...
    def save(self, path: str | os.PathLike[str]) -> int: ...

class TranscriptionStream(EventStream[TranscriptionEvent]):
    @property
    def text(self) -> Iterator[str]: ...
    @property
    def snapshot(self) -> Transcription: ...
    def transcription(self) -> Transcription: ...

class ChatStream(EventStream[ChatCompletionChunk]):
    @property
    def text(self) -> Iterator[str]: ...
    @property
    def thinking(self) -> Iterator[str]: ...
    @property
    def events(self) -> Iterator[ChatEvent]: ...
    @property
    def snapshot(self) -> ChatCompletion: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def skipped(self) -> int: ...
    @property
    def recovered(self) -> int: ...
    @property
    def id_changes(self) -> int: ...
    def completion(self) -> ChatCompletion: ...

class LongTranscriptionStream:
    @property
    def seconds(self) -> float | None: ...
    @property
    def text(self) -> Iterator[str]: ...
    def transcription(self) -> Transcription: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __iter__(self) -> Iterator[TranscriptionEvent]: ...

class ParsedStream(Generic[T]):
    @property
    def partial(self) -> Any: ...
    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def usage(self) -> Usage | None: ...
    def parsed(self) -> T: ...
    def completion(self) -> ParsedCompletion[T]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __iter__(self) -> Iterator[Any]: ...

class Task(Generic[R]):
    @property
    def id(self) -> str: ...
    @property
    def done(self) -> bool: ...
    def result(self) -> R: ...
    def fetch(self) -> R: ...
    def updates(
        self, *, interval: float | None = None, max_poll_failure: float = ...
    ) -> Iterator[R]: ...
    def wait(
        self,
        timeout: float | None = None,
        on_update: OnUpdate[R] | None = None,
        *,
        interval: float | None = None,
        max_poll_failure: float = ...,
    ) -> R: ...
    def attached_to(self, engine: TaskEngine) -> Self: ...

class Listing(Generic[T]):
    def __iter__(self) -> Iterator[T]: ...
    def page(self) -> Page[T]: ...

class ToolRun:
    @property
    def events(self) -> Iterator[RunEvent]: ...
    @property
    def text(self) -> Iterator[str]: ...
    @property
    def messages(self) -> list[MessageParam]: ...
    @property
    def pending(self) -> RunState | None: ...
    @property
    def usage(self) -> Usage: ...
    def completion(self) -> ChatCompletion: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

class Batching:
    @overload
    def run(
        self,
        rows: Rows,
        *,
        out: str | os.PathLike[str],
        schema: None = None,
        **given: Unpack[BatchOptions],
    ) -> BatchRun[None]: ...
    @overload
    def run(
        self,
        rows: Rows,
        *,
        out: str | os.PathLike[str],
        schema: type[S],
        **given: Unpack[BatchOptions],
    ) -> BatchRun[S]: ...
    @overload
    def run(
        self, rows: Rows, *, out: str | os.PathLike[str], schema: Any, **given: Unpack[BatchOptions]
    ) -> BatchRun[Any]: ...
    def status(self, out: str | os.PathLike[str]) -> Report: ...

class BatchRun(Generic[T]):
    @property
    def progress(self) -> BatchProgress | None: ...
    def stop(self) -> None: ...
    def __iter__(self) -> Self: ...
    def report(self) -> Report: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def wait(self) -> Report: ...

class Agents:
    def invoke(self, **params: Unpack[AgentParams]) -> AgentReply: ...
    def stream(self, **params: Unpack[AgentParams]) -> AgentStream: ...
    def submit(self, **params: Unpack[AgentParams]) -> Task[AgentReply]: ...
    def task(self, **params: Unpack[AgentResultParams]) -> Task[AgentReply]: ...
    def conversation(self, **params: Unpack[AgentConversationParams]) -> AgentReply: ...

class AudioGroup:
    transcriptions: Transcriptions
    speech: Speech

class Batches:
    def create(self, **params: Unpack[BatchParams]) -> Batch: ...
    def retrieve(self, batch_id: str, **params: Unpack[CallParams]) -> Batch: ...
    def list(self, **params: Unpack[BatchListParams]) -> Listing[Batch]: ...
    def cancel(self, batch_id: str, **params: Unpack[CallParams]) -> Batch: ...
    def results(self, batch: Batch | str) -> Sequence[BatchResult]: ...
    def task(self, batch_id: str) -> Task[Batch]: ...
    def wait(
        self,
        batch_id: str,
        timeout: float | None = None,
        on_update: OnUpdate[Batch] | None = None,
        *,
        interval: float | None = None,
    ) -> Batch: ...

class Chat:
    completions: Completions

class Embeddings:
    def create(self, **params: Unpack[EmbeddingParams]) -> EmbeddingResponse: ...

class FileParser:
    def parse(self, **params: Unpack[FileParserParams]) -> ParsedFile: ...
    def submit(
        self,
        *,
        format_type: Literal["text", "download_link"] = "text",
        **params: Unpack[FileParserSubmitParams],
    ) -> Task[ParsedFile]: ...
    def task(
        self, task_id: str, format_type: Literal["text", "download_link"] = "text"
    ) -> Task[ParsedFile]: ...

class Files:
    def create(self, **params: Unpack[FileUploadParams]) -> File: ...
    def content(self, file_id: str, **params: Unpack[CallParams]) -> BinaryReply: ...
    def list(self, **params: Unpack[FileListParams]) -> Listing[File]: ...
    def delete(self, file_id: str, **params: Unpack[CallParams]) -> FileDeletion: ...

class Images:
    def generate(self, **params: Unpack[ImageParams]) -> ImagesResponse: ...
    def submit(self, **params: Unpack[ImageParams]) -> Task[ImageResult]: ...
    def task(self, id: str) -> Task[ImageResult]: ...

class LayoutParsing:
    def parse(self, **params: Unpack[LayoutParams]) -> Layout: ...

class Models:
    def list(self, **params: Unpack[CallParams]) -> Listing[Model]: ...

class Moderations:
    def create(self, **params: Unpack[ModerationParams]) -> ModerationResponse: ...

class OCR:
    def handwriting(self, **params: Unpack[HandwritingParams]) -> Handwriting: ...

class Reader:
    def read(self, **params: Unpack[ReaderParams]) -> ReaderResponse: ...

class Rerank:
    def create(self, **params: Unpack[RerankParams]) -> RerankResponse: ...

class Tokenizer:
    def count(self, **params: Unpack[TokenizerParams]) -> TokenCount: ...

class Videos:
    def submit(self, **params: Unpack[VideoParams]) -> Task[Video]: ...
    def generate(
        self,
        *,
        timeout: float | None = None,
        on_update: OnUpdate[Video] | None = None,
        interval: float | None = None,
        **params: Unpack[VideoParams],
    ) -> Video: ...
    def task(self, id: str) -> Task[Video]: ...

class Voices:
    def clone(self, **params: Unpack[VoiceCloneParams]) -> ClonedVoice: ...
    def list(self, **params: Unpack[VoiceListParams]) -> VoiceList: ...
    def delete(self, **params: Unpack[VoiceDeleteParams]) -> VoiceDeletion: ...

class WebSearchGroup:
    def create(self, **params: Unpack[SearchParams]) -> SearchResponse: ...

class Completions:
    @overload
    def create(
        self, *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> ChatCompletion: ...
    @overload
    def create(self, *, stream: Literal[True], **params: Unpack[ChatParams]) -> ChatStream: ...
    @overload
    def create(
        self, *, stream: bool, **params: Unpack[ChatParams]
    ) -> ChatCompletion | ChatStream: ...
    def stream(self, **params: Unpack[ChatParams]) -> ChatStream: ...
    @overload
    def parse(
        self, kind: type[T], /, *, repairs: int = 1, **params: Unpack[ChatParams]
    ) -> ParsedCompletion[T]: ...
    @overload
    def parse(
        self, kind: Any, /, *, repairs: int = 1, **params: Unpack[ChatParams]
    ) -> ParsedCompletion[Any]: ...
    @overload
    def parse_stream(self, kind: type[T], /, **params: Unpack[ChatParams]) -> ParsedStream[T]: ...
    @overload
    def parse_stream(self, kind: Any, /, **params: Unpack[ChatParams]) -> ParsedStream[Any]: ...
    def run_tools(self, **params: Unpack[RunParams]) -> ToolRun: ...
    def resume_tools(self, state: RunState, **params: Unpack[ResumeParams]) -> ToolRun: ...
    @overload
    def submit(self, *, schema: None = None, **params: Unpack[ChatParams]) -> Task[ChatResult]: ...
    @overload
    def submit(self, *, schema: type[T], **params: Unpack[ChatParams]) -> Task[ParsedResult[T]]: ...
    @overload
    def submit(self, *, schema: Any, **params: Unpack[ChatParams]) -> Task[ParsedResult[Any]]: ...
    @overload
    def task(self, id: str, *, schema: None = None) -> Task[ChatResult]: ...
    @overload
    def task(self, id: str, *, schema: type[T]) -> Task[ParsedResult[T]]: ...
    @overload
    def task(self, id: str, *, schema: Any) -> Task[ParsedResult[Any]]: ...

class Transcriptions:
    def create(
        self,
        *,
        split: Literal["silence"] | None = None,
        finished: Sequence[TranscribedPart] = ...,
        on_part: OnPart | None = None,
        **params: Unpack[TranscriptionParams],
    ) -> Transcription: ...
    @overload
    def stream(
        self, *, split: None = None, **params: Unpack[TranscriptionParams]
    ) -> TranscriptionStream: ...
    @overload
    def stream(
        self,
        *,
        split: Literal["silence"],
        finished: Sequence[TranscribedPart] = ...,
        **params: Unpack[TranscriptionParams],
    ) -> LongTranscriptionStream: ...

class Speech:
    def create(self, **params: Unpack[SpeechParams]) -> BinaryReply: ...
    def stream(self, **params: Unpack[SpeechParams]) -> SpeechStream: ...

class Resources:
    agents: Agents
    audio: AudioGroup
    batches: Batches
    chat: Chat
    embeddings: Embeddings
    file_parser: FileParser
    files: Files
    images: Images
    layout_parsing: LayoutParsing
    models: Models
    moderations: Moderations
    ocr: OCR
    reader: Reader
    rerank: Rerank
    tokenizer: Tokenizer
    videos: Videos
    voices: Voices
    web_search: WebSearchGroup

    def quota(self, **params: Unpack[CallParams]) -> Quota: ...

class Zai(Resources):
    def __init__(
        self,
        *,
        api_key: str | Sequence[str] | None = None,
        base_url: str | None = None,
        provider: ProviderName | str | Provider = "zai",
        auth: Literal["key", "jwt"] = "key",
        timeout: Timeout | float | None = None,
        retry: RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
        hooks: Hooks | None = None,
        limits: Limits | int | Literal["adaptive", "off"] | None = None,
        coordinator: Coordinator | None = None,
        budget: Budget | None = None,
        prices: Mapping[str, Price] | None = None,
        wait_for_quota: bool = False,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl: SSLContext | bool | None = None,
        ca_file: str | None = None,
        session: ClientSession | None = None,
        transport: Transport | None = None,
        max_response_bytes: int = ...,
        max_response_values: int = ...,
        max_event_bytes: int = ...,
        max_event_values: int = ...,
        clock: Clock | None = None,
    ) -> None: ...
    def with_options(self, **changes: Unpack[Changes]) -> Self: ...
    @property
    def provider(self) -> Provider: ...
    @property
    def hooks(self) -> Hooks: ...
    @property
    def batch(self) -> Batching: ...
    @property
    def limits(self) -> LimitsView: ...
    @property
    def usage(self) -> Ledger: ...
    def attach(self, task: Task[R]) -> Task[R]: ...
    def download(
        self, url: str, to: str | os.PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Path: ...
    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        into: type[T] = ...,
        options: CallOptions | None = None,
    ) -> T: ...
    def check(self) -> tuple[EndpointCheck, ...]: ...
    def drain(self, grace: float = 30.0) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
