"""The published operations as tools for models: arguments, descriptions, and how each is called.

A tool is a struct of its arguments. It has fewer and simpler fields than the operation, as suits a
model that fills them in. Nothing here knows the protocol, which is in ``mcp_server``.
"""

import base64
import binascii
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from zai_async._threads import to_the_end
from zai_async.client import AsyncZai
from zai_async.errors import ConfigurationError
from zai_async.models import ChatCompletion
from zai_async.tasks import Task
from zai_async.uploads import Media

__all__ = ["TOOLS", "PlatformTool", "ToolAnswer", "ToolPlatform", "answer_of", "schema_of"]

Model = Annotated[str, Meta(description="Name of the model", min_length=1)]
Text = Annotated[str, Meta(min_length=1)]
TaskName = Annotated[str, Meta(description="Id of the task", pattern=r"^[\w.-]+$")]
Wait = Annotated[bool, Meta(description="False returns at once, with the id of the task")]
LocalFile = Annotated[str, Meta(description="Path below the folder that the server was given")]

_REMEMBERED: Final = 1000
"""Tasks that are listed as resources."""


class ToolAnswer(NamedTuple):
    """What a tool returns."""

    text: str
    """For the model."""
    value: object = None
    """All of it, as plain data or something that becomes that."""
    images: tuple[str, ...] = ()
    """Addresses of images."""
    videos: tuple[str, ...] = ()
    audio: str | None = None
    """Base64 of a sound."""
    task: Task[Any] | None = None
    """A task that goes on."""
    waits: bool = False
    """Whether the caller wants its end."""


class ToolPlatform:
    """What tools work with: a client, a folder of files, and the tasks that were begun.

    Args:
        zai: Makes the calls.
        root: The folder whose files may be sent; None allows none.
    """

    def __init__(self, zai: AsyncZai, root: Path | None = None) -> None:
        self.zai = zai
        self.tasks: dict[str, Task[Any]] = {}
        self._root = root

    async def file(self, name: str) -> Path:
        """Return a file that may be sent.

        Raises:
            ConfigurationError: It lies elsewhere, or there is none.
        """
        root = self._root
        if root is None:
            raise ConfigurationError("no file may be sent: the server was given no folder")

        def find() -> Path | None:
            # Links are followed first, so that none leads out.
            path = (root / name).resolve()
            return path if path.is_relative_to(root.resolve()) and path.is_file() else None

        path = await to_the_end(find)
        if path is None:
            raise ConfigurationError(f"there is no file {name!r} in the folder of the server")
        return path

    def begun(self, task: Task[Any], *, waits: bool = False) -> ToolAnswer:
        """Remember a task, and return what names it."""
        # The oldest first: a server may run for months, and tasks are found without it, too.
        while len(self.tasks) >= _REMEMBERED:
            del self.tasks[next(iter(self.tasks))]
        self.tasks[task.id] = task
        return ToolAnswer(f"task {task.id} has begun", {"id": task.id}, task=task, waits=waits)

    async def result(self, id: str) -> ToolAnswer:
        """Return what the platform says about a task."""
        # All tasks without an agent are asked about in the same way.
        return answer_of(await (self.tasks.get(id) or self.zai.videos.task(id)).fetch())


def answer_of(result: Any) -> ToolAnswer:
    """Return the result of a task, or its status while there is none."""
    urls: tuple[str, ...] = tuple(getattr(result, "urls", ()))
    is_video = bool(getattr(result, "video_result", ()))
    text = getattr(result, "text", "") or "\n".join(urls)
    status = getattr(result, "task_status", "") or getattr(result, "status", "")
    images, videos = ((), urls) if is_video else (urls, ())
    return ToolAnswer(text or str(status), result, images=images, videos=videos)


class PlatformTool(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The arguments of a tool; the docstrings of its kinds are what models are told of them."""

    reads_only: ClassVar[bool] = False
    """Whether a call changes nothing and makes nothing."""

    @property
    def given(self) -> dict[str, Any]:
        """The arguments that were given."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in fields.items() if value is not UNSET}

    @abstractmethod
    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        """Make the call."""
        ...


class ToolMessage(msgspec.Struct, kw_only=True):
    """A message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]]


class AskModel(PlatformTool):
    """Ask a GLM model: text, and pictures by their address for models that see."""

    model: Model
    messages: Annotated[list[ToolMessage], Meta(min_length=1)]
    temperature: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    max_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    thinking: Literal["enabled", "disabled"] | UnsetType = UNSET

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        params = self.given | {"messages": msgspec.to_builtins(self.messages)}
        if self.thinking is not UNSET:
            params["thinking"] = {"type": self.thinking}
        answer: ChatCompletion = await platform.zai.chat.completions.create(stream=False, **params)
        audio = answer.message.audio
        return ToolAnswer(answer.text, answer, audio=audio.data if audio else None)


class MakeImage(PlatformTool):
    """Make an image from a description, and return it."""

    model: Model
    prompt: Text
    size: Annotated[str, Meta(description="Such as 1024x1024")] | UnsetType = UNSET
    quality: Literal["hd", "standard"] | UnsetType = UNSET

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        return answer_of(await platform.zai.images.generate(**self.given))


class SubmitImage(PlatformTool):
    """Make an image from a description as a task: waits for it and reports progress."""

    model: Model
    prompt: Text
    size: Annotated[str, Meta(description="Such as 1024x1024")] | UnsetType = UNSET
    quality: Literal["hd", "standard"] | UnsetType = UNSET
    wait: Wait = True

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        params = self.given
        waits = params.pop("wait")
        return platform.begun(await platform.zai.images.submit(**params), waits=waits)


class MakeVideo(PlatformTool):
    """Make a video from a description or a picture: waits some minutes and reports progress."""

    model: Model
    prompt: Text | UnsetType = UNSET
    image_url: Annotated[str, Meta(description="Address of a first picture")] | UnsetType = UNSET
    size: Annotated[str, Meta(description="Such as 1920x1080")] | UnsetType = UNSET
    duration: Annotated[int, Meta(description="Seconds")] | UnsetType = UNSET
    with_audio: bool | UnsetType = UNSET
    wait: Wait = True

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        params = self.given
        waits = params.pop("wait")
        return platform.begun(await platform.zai.videos.submit(**params), waits=waits)


class FindTask(PlatformTool):
    """Ask about a task that makes an image, a video or an answer, and for its result."""

    reads_only: ClassVar[bool] = True

    id: TaskName

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        return await platform.result(self.id)


class WriteDown(PlatformTool):
    """Write down what is said in a recording of up to 30 seconds (wav or mp3)."""

    model: Model
    file: LocalFile | UnsetType = UNSET
    file_base64: Annotated[str, Meta(description="The recording itself")] | UnsetType = UNSET
    prompt: Annotated[str, Meta(description="What was said before")] | UnsetType = UNSET

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        params = self.given
        if "file" in params:
            params["file"] = await platform.file(params["file"])
        answer = await platform.zai.audio.transcriptions.create(**params)
        return ToolAnswer(answer.text, answer)


class CountTokens(PlatformTool):
    """Count the tokens of a conversation; free of charge."""

    reads_only: ClassVar[bool] = True

    model: Model
    messages: Annotated[list[ToolMessage], Meta(min_length=1)]

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        messages = msgspec.to_builtins(self.messages)
        answer = await platform.zai.tokenizer.count(model=self.model, messages=messages)
        return ToolAnswer(str(answer.total_tokens), answer)


class ReadDocument(PlatformTool):
    """Read a picture or a pdf with its layout, as Markdown."""

    reads_only: ClassVar[bool] = True

    model: Model
    file: Annotated[str, Meta(description="An http address, or a path below the server's folder")]
    start_page_id: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    end_page_id: Annotated[int, Meta(ge=1)] | UnsetType = UNSET

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        params = self.given
        # A path goes along as what it holds: the platform cannot read the files of this machine.
        if not self.file.startswith(("http://", "https://")):
            params["file"] = Media(await platform.file(self.file), encoding="auto")
        answer = await platform.zai.layout_parsing.parse(**params)
        return ToolAnswer(answer.text, answer)


class SearchWeb(PlatformTool):
    """Search the web; each result is a title, an address and a summary."""

    reads_only: ClassVar[bool] = True

    search_engine: Annotated[str, Meta(description="Such as search-prime")]
    search_query: Text
    count: Annotated[int, Meta(ge=1, le=50)] | UnsetType = UNSET
    search_domain_filter: str | UnsetType = UNSET
    search_recency_filter: (
        Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"] | UnsetType
    ) = UNSET

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        answer = await platform.zai.web_search.create(**self.given)
        found = (f"{each.title}\n{each.link}\n{each.content}" for each in answer.search_result)
        return ToolAnswer("\n\n".join(found) or "nothing was found", answer)


class ReadPage(PlatformTool):
    """Read a web page, as Markdown."""

    reads_only: ClassVar[bool] = True

    url: Annotated[str, Meta(pattern="^https?://")]
    return_format: Literal["markdown", "text"] | UnsetType = UNSET
    no_cache: bool | UnsetType = UNSET
    retain_images: bool | UnsetType = UNSET

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        answer = await platform.zai.reader.read(**self.given)
        return ToolAnswer(answer.text, answer)


class SendFile(PlatformTool):
    """Upload a file to the platform, and return its id."""

    purpose: Annotated[str, Meta(description="Such as agent")]
    file: LocalFile | UnsetType = UNSET
    file_base64: Annotated[str, Meta(description="The file itself")] | UnsetType = UNSET
    file_name: Annotated[str, Meta(description="Its name, with file_base64")] = "file"

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        if isinstance(self.file_base64, str):
            try:
                content = base64.b64decode(self.file_base64, validate=True)
            except binascii.Error:
                raise ConfigurationError("file_base64 is no base64") from None
            sent = await platform.zai.files.create(
                file=(self.file_name, content), purpose=self.purpose
            )
        elif isinstance(self.file, str):
            path = await platform.file(self.file)
            sent = await platform.zai.files.create(file=path, purpose=self.purpose)
        else:
            raise ConfigurationError("file or file_base64 must be given")
        return ToolAnswer(sent.id, sent)


class AskAgent(PlatformTool):
    """Let an agent of the platform work, such as general_translation."""

    agent_id: Text
    messages: Annotated[list[ToolMessage], Meta(min_length=1)]
    custom_variables: dict[str, Any] | UnsetType = UNSET

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        params = self.given | {"messages": msgspec.to_builtins(self.messages)}
        answer = await platform.zai.agents.invoke(**params)
        # Nothing but its documentation tells whether an agent answers or begins a task.
        if answer.async_id:
            task = platform.zai.agents.task(agent_id=self.agent_id, async_id=answer.async_id)
            return platform.begun(task)._replace(value=answer)
        return answer_of(answer)


class FindAgentTask(PlatformTool):
    """Ask about a task of an agent, and for its result."""

    reads_only: ClassVar[bool] = True

    agent_id: Text
    async_id: TaskName

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        return answer_of(await platform.zai.agents.task(**self.given).fetch())


class FindConversation(PlatformTool):
    """Read what an agent has answered in a conversation."""

    reads_only: ClassVar[bool] = True

    agent_id: Text
    conversation_id: Text
    custom_variables: dict[str, Any] | UnsetType = UNSET

    async def call(self, platform: ToolPlatform) -> ToolAnswer:
        return answer_of(await platform.zai.agents.conversation(**self.given))


# The names under which gateways publish these operations: who moves here changes nothing.
TOOLS: Final[Mapping[str, type[PlatformTool]]] = {
    "create_a_z_ai_chat_completion": AskModel,
    "create_a_z_ai_images_generation": MakeImage,
    "create_a_z_ai_async_images_generation": SubmitImage,
    "create_a_z_ai_videos_generation": MakeVideo,
    "get_single_z_ai_paas_async_result_by_id": FindTask,
    "create_a_z_ai_audio_transcription": WriteDown,
    "create_a_z_ai_paas_tokenizer": CountTokens,
    "create_a_z_ai_paas_layout_parsing": ReadDocument,
    "create_a_z_ai_paas_web_search": SearchWeb,
    "create_a_z_ai_paas_reader": ReadPage,
    "create_a_z_ai_paas_file": SendFile,
    "create_a_z_ai_agent": AskAgent,
    "create_a_z_ai_agents_async_result": FindAgentTask,
    "create_a_z_ai_agents_conversation": FindConversation,
}


def schema_of(tool: type[PlatformTool]) -> dict[str, Any]:
    """Return the JSON schema of the arguments of a tool: an object, as the protocol wants it."""
    _, found = msgspec.json.schema_components([tool], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = found.pop(tool.__name__)
    # It repeats what is the description of the tool.
    schema = {name: value for name, value in schema.items() if name not in {"title", "description"}}
    schema["additionalProperties"] = False
    return {**schema, "$defs": found} if found else schema
