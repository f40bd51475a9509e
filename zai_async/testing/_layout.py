"""Layout parsing: a document becomes Markdown and a list of what is where on its pages."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing._cdn import picture_link
from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._reading import UserId, find_model, require
from zai_async.testing._reply import Reply

_WIDTH, _HEIGHT = 595, 842  # A4 in points
_PDF_PAGES = 3
_PDF = "JVBERi"  # "%PDF-" in base64
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


class Layout:
    """See the same four things on every page; a PDF has three pages, anything else one."""

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        return [Operation("layout_parsing", "POST", "paas/v4/layout_parsing", self.parse)]

    def parse(self, call: Call) -> Reply:
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
    several = request.file.split("?")[0].lower().endswith(".pdf") or _PDF in request.file[:100]
    last = min(request.end_page_id or _PDF_PAGES, _PDF_PAGES if several else 1)
    require(request.start_page_id <= last, "start_page_id: no such page")
    return range(request.start_page_id, last + 1)


def _elements(call: Call, request: _LayoutRequest, page: int) -> list[Json]:
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


def _drawings(call: Call, request: _LayoutRequest, pages: range) -> list[str]:
    wanted = pages if request.need_layout_visualization else ()
    return [picture_link(call, f"page {page}", (_WIDTH, _HEIGHT)) for page in wanted]
