"""The file store, and files that become text: parsing, handwriting, layouts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.catalogue import find_model
from zai_async.testing.emulator.media import paper_link, picture_link
from zai_async.testing.emulator.operation import OperationCall, Route, UserId, require
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import FormFile, Json
from zai_async.testing.emulator.tasks import TaskHandlers

_UPLOAD_LIMIT = 100 * 2**20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """Hold one file with its bytes; ``created_at`` in seconds."""

    id: str
    filename: str
    purpose: str
    data: bytes
    created_at: int

    @property
    def sha256(self) -> str:
        """Give the digest of the bytes in hexadecimal."""
        return sha256(self.data).hexdigest()

    @property
    def document(self) -> Json:
        """Describe the file as the platform does."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "filename": self.filename,
            "purpose": self.purpose,
            "created_at": self.created_at,
        }


class _UploadRequest(Struct):
    purpose: Literal["agent", "batch", "code-interpreter", "voice-clone-input"]


class _ListRequest(Struct):
    purpose: str
    after: str | None = None
    order: Literal["created_at"] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class FileStore:
    """Keep files; ``emulator.files[id]`` is one of them, with its bytes and their ``sha256``.

    ``limit`` is the largest upload in bytes (100 MB); a larger one is answered with 435.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all files."""
        self.limit = _UPLOAD_LIMIT
        self._kept = 0
        self._files: dict[str, StoredFile] = {}

    def __getitem__(self, id: str) -> StoredFile:
        return self._files[id]

    def __len__(self) -> int:
        return len(self._files)

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
        path = "paas/v4/files"
        return [
            Route("files.upload", "POST", path, self.upload),
            Route("files.list", "GET", path, self.list),
            Route("files.delete", "DELETE", f"{path}/{{id}}", self.delete),
            Route("files.content", "GET", f"{path}/{{id}}/content", self.content),
        ]

    def keep(self, call: OperationCall, filename: str, purpose: str, data: bytes) -> StoredFile:
        """Store a file."""
        now = int(time.time())
        self._kept += 1
        file = StoredFile(
            id=f"{now}_{call.id[14:]}{self._kept:04x}",
            filename=filename,
            purpose=purpose,
            data=data,
            created_at=now,
        )
        self._files[file.id] = file
        return file

    def find(self, id: str) -> StoredFile:
        """Return a file, ``Refusal`` when there is none of this id."""
        require(id in self._files, f"file: {id} does not exist")
        return self._files[id]

    def discard(self, id: str) -> None:
        """Forget a file, if it is still there."""
        self._files.pop(id, None)

    def upload(self, call: OperationCall) -> PlannedReply:
        """Store what was sent."""
        request = call.read_form(_UploadRequest)
        upload = uploaded(call)
        if len(upload.data) > self.limit:
            raise Refusal("1210", f"The file is larger than {self.limit} bytes", 435)
        lines = upload.filename.endswith(".jsonl")
        require(lines or request.purpose != "batch", "file: a batch needs a .jsonl file")
        file = self.keep(call, upload.filename, request.purpose, upload.data)
        return call.reply(file.document)

    def list(self, call: OperationCall) -> PlannedReply:
        """List the files of one purpose, oldest first, a page at a time."""
        request = call.read_query(_ListRequest)
        files = [file for file in self._files.values() if file.purpose == request.purpose]
        if request.after is not None:
            files = files[files.index(self.find(request.after)) + 1 :]
        page = [file.document for file in files[: request.limit]]
        more = len(files) > len(page)
        return call.reply({"object": "list", "data": page, "has_more": more})

    def delete(self, call: OperationCall) -> PlannedReply:
        """Forget a file."""
        file = self.find(call.parameters["id"])
        self.discard(file.id)
        return call.reply({"id": file.id, "object": "file", "deleted": True})

    def content(self, call: OperationCall) -> PlannedReply:
        """Answer with the bytes of a file."""
        return call.data(self.find(call.parameters["id"]).data, "application/octet-stream")


def uploaded(call: OperationCall, name: str = "file") -> FormFile:
    """Return the file part of a form, ``Refusal`` when there is none."""
    files = call.request.form.files
    require(name in files, f"A parameter was not received: {name}", "1213")
    return files[name]


# Parsing and handwriting: files become text

_NO_TYPE = "Required request parameter 'file_type' for method parameter type String is not present"


class _ParsingRequest(Struct):
    tool_type: Literal["lite", "expert", "prime"]
    file_type: str


class _SyncRequest(Struct):
    tool_type: Literal["prime-sync"]
    file_type: str | None = None


class _HandwritingRequest(Struct):
    tool_type: Literal["hand_write"]
    language_type: str = "CHN_ENG"
    probability: bool = False


class _Parsing(Struct):
    content: str
    seen: int = 0


class ParserHandlers:
    """Parse a file into its own text, or into a sentence with its size when it is no text.

    ``emulator.tasks.polls`` says at which poll a parsing has succeeded.
    """

    def __init__(self, tasks: TaskHandlers) -> None:
        self._tasks = tasks
        self.reset()

    def reset(self) -> None:
        """Forget all parsings."""
        self._parsings: dict[str, _Parsing] = {}

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
        path = "paas/v4/files"
        result = f"{path}/parser/result/{{id}}/{{format}}"
        return [
            Route("file_parser.create", "POST", f"{path}/parser/create", self.create),
            Route("file_parser.result", "GET", result, self.result),
            Route("file_parser.sync", "POST", f"{path}/parser/sync", self.sync),
            Route("handwriting", "POST", f"{path}/ocr", self.handwriting),
        ]

    def create(self, call: OperationCall) -> PlannedReply:
        """Start a parsing."""
        call.read_form(_ParsingRequest)
        self._parsings[call.id] = _Parsing(_text(uploaded(call)))
        return call.reply({"success": True, "message": "task created", "task_id": call.id})

    def result(self, call: OperationCall) -> PlannedReply:
        """Answer a poll: the text, or the address of a file, as the path wants it."""
        task, kind = call.parameters["id"], call.parameters["format"]
        require(kind in {"text", "download_link"}, f"format_type: {kind} is not known")
        require(task in self._parsings, f"task {task} does not exist", "1233")
        parsing = self._parsings[task]
        parsing.seen += 1
        if parsing.seen < self._tasks.polls:
            return call.reply(_parsed(task, "processing"))
        link = paper_link(call, task) if kind == "download_link" else ""
        return call.reply(_parsed(task, "succeeded", "" if link else parsing.content, link))

    def sync(self, call: OperationCall) -> PlannedReply:
        """Parse at once; without ``file_type`` the answer is a failure with HTTP 200, as live."""
        request = call.read_form(_SyncRequest)
        if request.file_type is None:
            return call.reply({"msg": _NO_TYPE, "code": 500})
        content = _text(uploaded(call))
        return call.reply(_parsed(call.id, "succeeded", content, paper_link(call, call.id)))

    def handwriting(self, call: OperationCall) -> PlannedReply:
        """Read the lines of a file, each below the one before."""
        request = call.read_form(_HandwritingRequest)
        lines = _text(uploaded(call)).splitlines()
        words = [_words(line, number, request) for number, line in enumerate(lines)]
        head = {"task_id": call.id, "message": "succeeded", "status": "succeeded"}
        return call.reply(head | {"words_result_num": len(words), "words_result": words})


def _text(upload: FormFile) -> str:
    try:
        return upload.data.decode()
    except UnicodeDecodeError:
        return f"{upload.filename} has {len(upload.data)} bytes."


def _parsed(id: str, status: str, content: str = "", link: str = "") -> Json:
    document = {"status": status, "message": status, "task_id": id}
    return document | {"content": content, "parsing_result_url": link}


def _words(line: str, number: int, request: _HandwritingRequest) -> Json:
    place = {"left": 10, "top": 10 + 30 * number, "width": 12 * len(line), "height": 24}
    result: Json = {"location": place, "words": line}
    if request.probability:
        result["probability"] = {"average": 0.98, "variance": 0.001, "min": 0.95}
    return result


# Layouts: a document becomes Markdown and a list of what is where on its pages

_WIDTH, _HEIGHT = 595, 842  # A4 in points
_PDF_PAGES = 3
_PDF_BASE64 = "JVBERi"  # "%PDF-" in base64
_TABLE = "| Item | Sum |\n|---|---|\n| Tea | 3.50 |"


class _LayoutRequest(Struct):
    model: Literal["glm-ocr", "GLM-OCR"]
    file: Annotated[str, Meta(min_length=1)]
    return_crop_images: bool = False
    need_layout_visualization: bool = False
    start_page_id: Annotated[int, Meta(ge=1)] = 1
    end_page_id: Annotated[int, Meta(ge=1)] | None = None
    request_id: str | None = None
    user_id: UserId | None = None


class LayoutHandlers:
    """See the same four things on every page; a PDF has three pages, anything else one."""

    def operations(self) -> list[Route]:
        """Name the operations of this group."""
        return [Route("layout_parsing", "POST", "paas/v4/layout_parsing", self.parse)]

    def parse(self, call: OperationCall) -> PlannedReply:
        """Parse the wanted pages."""
        request = call.read(_LayoutRequest)
        pages = _pages(request)
        details = [_elements(call, request, page) for page in pages]
        texts = [element["content"] for page in details for element in page]
        sheet = {"width": _WIDTH, "height": _HEIGHT}
        document = {
            "model": find_model(request.model, "layout").id.upper(),
            "md_results": "\n\n".join(texts),
            "layout_details": details,
            "layout_visualization": _drawings(call, request, pages),
            "data_info": {"num_pages": len(pages), "pages": [sheet] * len(pages)},
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        }
        return call.reply(call.stamp(request.request_id) | document)


def _pages(request: _LayoutRequest) -> range:
    several = (
        request.file.split("?")[0].lower().endswith(".pdf") or _PDF_BASE64 in request.file[:100]
    )
    last = min(request.end_page_id or _PDF_PAGES, _PDF_PAGES if several else 1)
    require(request.start_page_id <= last, "start_page_id: no such page")
    return range(request.start_page_id, last + 1)


def _elements(call: OperationCall, request: _LayoutRequest, page: int) -> list[Json]:
    image = picture_link(call, f"crop {page}", (64, 64)) if request.return_crop_images else ""
    contents = {
        "text": f"# Page {page}\n\nHello from the emulator.",
        "table": _TABLE,
        "formula": "$$E = mc^2$$",
        "image": f"![]({image or 'page=0,bbox=[0, 0, 1, 1]'})",
    }
    return [
        {
            "index": index,
            "label": label,
            "bbox_2d": [0.1, round(0.1 + 0.2 * index, 1), 0.9, round(0.25 + 0.2 * index, 2)],
            "content": content,
            "height": _HEIGHT,
            "width": _WIDTH,
        }
        for index, (label, content) in enumerate(contents.items())
    ]


def _drawings(call: OperationCall, request: _LayoutRequest, pages: range) -> list[str]:
    wanted = pages if request.need_layout_visualization else ()
    return [picture_link(call, f"page {page}", (_WIDTH, _HEIGHT)) for page in wanted]
