"""File parsing and handwriting: files become text."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from zai_async.testing._cdn import paper_link
from zai_async.testing._files import uploaded
from zai_async.testing._form import Upload
from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._reading import require
from zai_async.testing._reply import Reply
from zai_async.testing._tasks import Tasks

_MISSING = "Required request parameter 'file_type' for method parameter type String is not present"


class _Create(Struct):
    tool_type: Literal["lite", "expert", "prime"]
    file_type: str


class _Sync(Struct):
    tool_type: Literal["prime-sync"]
    file_type: str | None = None


class _Handwriting(Struct):
    tool_type: Literal["hand_write"]
    language_type: str = "CHN_ENG"
    probability: bool = False


class _Parsing(Struct):
    content: str
    seen: int = 0


class Parser:
    """Parse a file into its own text, or into a sentence with its size when it is no text.

    ``emulator.tasks.polls`` says at which poll a parsing has succeeded.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self.reset()

    def reset(self) -> None:
        """Forget all parsings."""
        self._parsings: dict[str, _Parsing] = {}

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        path = "paas/v4/files"
        result = f"{path}/parser/result/{{id}}/{{format}}"
        return [
            Operation("file_parser.create", "POST", f"{path}/parser/create", self.create),
            Operation("file_parser.result", "GET", result, self.result),
            Operation("file_parser.sync", "POST", f"{path}/parser/sync", self.sync),
            Operation("handwriting", "POST", f"{path}/ocr", self.handwriting),
        ]

    def create(self, call: Call) -> Reply:
        """Start a parsing."""
        call.read_form(_Create)
        self._parsings[call.id] = _Parsing(_text(uploaded(call)))
        return call.reply({"success": True, "message": "task created", "task_id": call.id})

    def result(self, call: Call) -> Reply:
        """Answer a poll: the text, or the address of a file, as the path wants it."""
        task, kind = call.parameters["id"], call.parameters["format"]
        require(kind in {"text", "download_link"}, f"format_type: {kind} is not known")
        require(task in self._parsings, f"task {task} does not exist", "1233")
        parsing = self._parsings[task]
        parsing.seen += 1
        if parsing.seen < self._tasks.polls:
            return call.reply(_document(task, "processing"))
        link = paper_link(call, task) if kind == "download_link" else ""
        return call.reply(_document(task, "succeeded", "" if link else parsing.content, link))

    def sync(self, call: Call) -> Reply:
        """Parse at once; without ``file_type`` the answer is a failure with HTTP 200, as live."""
        request = call.read_form(_Sync)
        if request.file_type is None:
            return call.reply({"msg": _MISSING, "code": 500})
        content = _text(uploaded(call))
        return call.reply(_document(call.id, "succeeded", content, paper_link(call, call.id)))

    def handwriting(self, call: Call) -> Reply:
        """Read the lines of a file, each below the one before."""
        request = call.read_form(_Handwriting)
        lines = _text(uploaded(call)).splitlines()
        words = [_words(line, number, request) for number, line in enumerate(lines)]
        head = {"task_id": call.id, "message": "succeeded", "status": "succeeded"}
        return call.reply(head | {"words_result_num": len(words), "words_result": words})


def _text(upload: Upload) -> str:
    try:
        return upload.data.decode()
    except UnicodeDecodeError:
        return f"{upload.filename} has {len(upload.data)} bytes."


def _document(id: str, status: str, content: str = "", link: str = "") -> Json:
    document = {"status": status, "message": status, "task_id": id}
    return document | {"content": content, "parsing_result_url": link}


def _words(line: str, number: int, request: _Handwriting) -> Json:
    place = {"left": 10, "top": 10 + 30 * number, "width": 12 * len(line), "height": 24}
    result: Json = {"location": place, "words": line}
    if request.probability:
        result["probability"] = {"average": 0.98, "variance": 0.001, "min": 0.95}
    return result
