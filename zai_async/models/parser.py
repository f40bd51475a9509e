"""Turning files into text (bigmodel.cn): https://docs.bigmodel.cn/cn/guide/tools/file-parser."""

from typing import Literal, Required

from zai_async.models.options import CallParams
from zai_async.models.reply import Reply
from zai_async.models.tasks import TaskState, state_of
from zai_async.models.uploads import FileInput, UploadParams


class FileParserParams(UploadParams, total=False):
    """Hold the file that shall be read at once."""

    file: Required[FileInput]
    file_type: str
    """The suffix in capitals, such as ``PDF``, ``DOCX``, ``PPTX``, ``PNG`` or ``MD``; documented
    as optional, yet an answer at once is refused without it."""
    tool_type: Literal["prime-sync"]
    """The only one that answers at once, sent when it is left out."""


class FileParserSubmitParams(UploadParams, total=False):
    """Hold the file and the parser that shall read it."""

    file: Required[FileInput]
    tool_type: Required[Literal["lite", "expert", "prime"]]
    """How thoroughly it is read."""
    file_type: str
    """The suffix in capitals, such as ``PDF``, ``DOCX``, ``PPTX``, ``PNG`` or ``MD``."""


class FileParserResultParams(CallParams):
    """Name the task and what of its result is wanted."""

    task_id: str
    format_type: Literal["text", "download_link"]


class FileParserTask(Reply, kw_only=True):
    """Hold the receipt for a file that is being parsed."""

    success: bool = False
    message: str = ""
    task_id: str = ""


class ParsedFile(Reply, kw_only=True):
    """Hold the text of a file, empty until the task is done."""

    task_id: str = ""
    status: str = ""
    """``processing``, ``succeeded`` or ``failed``; other values may be added."""
    message: str = ""
    content: str = ""
    """The text, when it was asked for."""
    parsing_result_url: str = ""
    """Where text and pictures lie, when a link was asked for."""

    @property
    def state(self) -> TaskState:
        """How far the task is."""
        return state_of(self.status)

    @property
    def text(self) -> str:
        """The text of the file."""
        return self.content
