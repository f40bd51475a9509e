"""Files that become text: parsing, handwriting, layouts."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.catalogue import find_model
from zai_async.testing.emulator.files import uploaded
from zai_async.testing.emulator.media import image_link, pdf_link
from zai_async.testing.emulator.operation import OperationCall, Route, UserId, require
from zai_async.testing.emulator.recent import RecentItems
from zai_async.testing.emulator.reply import PlannedReply
from zai_async.testing.emulator.requests import FormFile, Json
from zai_async.testing.emulator.tasks import TaskHandlers

_MAX_WRITING, _MAX_LINES = 100_000, 1_000  # more than a picture of a page can hold
_NO_TYPE = "Required request parameter 'file_type' for method parameter type String is not present"


# https://docs.bigmodel.cn/api-reference: parsing is documented there only, and answered at both.
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
        self._parsings: RecentItems[_Parsing] = RecentItems(
            size=lambda parsing: len(parsing.content)
        )

    def routes(self) -> list[Route]:
        """List the routes of this group."""
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
        # Statuses are words of their own, unlike those of tasks and of batches.
        parsing.seen += 1
        if parsing.seen < self._tasks.polls:
            return call.reply(_parsed(task, "processing"))
        link = pdf_link(call, task) if kind == "download_link" else ""
        return call.reply(_parsed(task, "succeeded", "" if link else parsing.content, link))

    def sync(self, call: OperationCall) -> PlannedReply:
        """Parse at once; without ``file_type`` the answer is a failure with HTTP 200."""
        request = call.read_form(_SyncRequest)
        # Documented as optional; live, the edge behind it insists, in the words of its framework.
        if request.file_type is None:
            return call.reply({"msg": _NO_TYPE, "code": 500})
        content = _text(uploaded(call))
        return call.reply(_parsed(call.id, "succeeded", content, pdf_link(call, call.id)))

    def handwriting(self, call: OperationCall) -> PlannedReply:
        """Read the lines of a file, each below the one before."""
        request = call.read_form(_HandwritingRequest)
        lines = _text(uploaded(call))[:_MAX_WRITING].splitlines()[:_MAX_LINES]
        words: list[Json] = []
        for number, line in enumerate(lines):
            place = {"left": 10, "top": 10 + 30 * number, "width": 12 * len(line), "height": 24}
            found: Json = {"location": place, "words": line}
            # Without the wish for it the key is missing, not null.
            if request.probability:
                found["probability"] = {"average": 0.98, "variance": 0.001, "min": 0.95}
            words.append(found)
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

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        return [Route("layout_parsing", "POST", "paas/v4/layout_parsing", self.parse)]

    def parse(self, call: OperationCall) -> PlannedReply:
        """Parse the wanted pages."""
        request = call.read(_LayoutRequest)
        # A PDF, by its name or by the beginning of its base64 form, has three pages.
        name, head = request.file.split("?")[0].lower(), request.file[:100]
        total = _PDF_PAGES if name.endswith(".pdf") or _PDF_BASE64 in head else 1
        last = min(request.end_page_id or _PDF_PAGES, total)
        require(request.start_page_id <= last, "start_page_id: no such page")
        pages = range(request.start_page_id, last + 1)
        shown = pages if request.need_layout_visualization else ()

        # A list of pages, each a list of elements, even for a single image.
        details = [elements(call, page, crop=request.return_crop_images) for page in pages]
        texts = [element["content"] for page in details for element in page]
        sheet = {"width": _WIDTH, "height": _HEIGHT}
        document = {
            "model": find_model(request.model, "layout").id.upper(),
            "md_results": "\n\n".join(texts),
            "layout_details": details,
            "layout_visualization": [
                image_link(call, f"page {page}", (_WIDTH, _HEIGHT)) for page in shown
            ],
            "data_info": {"num_pages": len(pages), "pages": [sheet] * len(pages)},
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        }
        return call.reply(call.stamp(request.request_id) | document)


def elements(call: OperationCall, page: int, *, crop: bool) -> list[Json]:
    """Return what is on a page: a text, a table, a formula and an image."""
    image = image_link(call, f"crop {page}", (64, 64)) if crop else ""
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
            # Left, top, right, bottom as parts of the page, though `width` and `height` are in
            # points.
            "bbox_2d": [0.1, round(0.1 + 0.2 * index, 1), 0.9, round(0.25 + 0.2 * index, 2)],
            "content": content,
            "height": _HEIGHT,
            "width": _WIDTH,
        }
        for index, (label, content) in enumerate(contents.items())
    ]
