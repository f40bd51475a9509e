"""Web search and reader."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._prose import topic_of
from zai_async.testing._reading import UserId, require
from zai_async.testing._reply import Reply

_Engine = Literal[
    "search-prime", "search_std", "search_pro", "search_pro_sogou", "search_pro_quark"
]
_Recency = Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"]


class _Search(Struct):
    search_engine: _Engine
    search_query: Annotated[str, Meta(min_length=1)]
    search_intent: bool = False
    count: Annotated[int, Meta(ge=1, le=50)] = 10
    search_domain_filter: str | None = None
    search_recency_filter: _Recency | None = None
    content_size: Literal["medium", "high"] | None = None
    request_id: str | None = None
    user_id: UserId | None = None


class _Read(Struct):
    url: str
    timeout: int | str = 20
    no_cache: bool = False
    return_format: Literal["markdown", "text"] = "markdown"
    retain_images: bool = True
    no_gfm: bool = False
    keep_img_data_url: bool = False
    with_images_summary: bool = False
    with_links_summary: bool = False
    request_id: str | None = None


class Web:
    """Find pages that do not exist, and read them."""

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        return [
            Operation("web_search", "POST", "paas/v4/web_search", self.search),
            Operation("reader", "POST", "paas/v4/reader", self.read),
        ]

    def search(self, call: Call) -> Reply:
        """Find ``count`` pages, all on ``search_domain_filter`` when there is one.

        The second one has no link, media and icon, as happens live.
        """
        request = call.read(_Search)
        intent = {
            "query": request.search_query,
            "intent": "SEARCH_ALL" if request.search_intent else "SEARCH_ALWAYS",
            "keywords": topic_of(request.search_query),
        }
        found = [_page(request, number) for number in range(1, request.count + 1)]
        document = call.stamp(request.request_id)
        return call.reply(document | {"search_intent": [intent], "search_result": found})

    def read(self, call: Call) -> Reply:
        """Read a page."""
        request = call.read(_Read)
        address = urlsplit(request.url)
        require(address.scheme in {"http", "https"} and bool(address.netloc), "url: not a page")
        document = {"model": "web-reader", "reader_result": _content(request)}
        return call.reply(call.stamp(request.request_id) | document)


def _page(request: _Search, number: int) -> Json:
    root = f"https://{request.search_domain_filter or 'example.com'}"
    nameless = number == 2
    return {
        "title": f"{topic_of(request.search_query)} ({number})",
        "content": f"Page {number} about {topic_of(request.search_query)}.",
        "link": "" if nameless else f"{root}/{number}",
        "media": "" if nameless else "Example",
        "icon": "" if nameless else f"{root}/icon.png",
        "refer": f"ref_{number}",
        "publish_date": "2026-10-09",
    }


def _content(request: _Read) -> Json:
    title, text = f"The page {request.url}", "It was read by the emulator."
    heading = f"# {title}" if request.return_format == "markdown" else title
    result: Json = {
        "content": f"{heading}\n\n{text}",
        "description": text,
        "title": title,
        "url": request.url,
        "metadata": {"keywords": "emulator", "viewport": "width=device-width"},
        "external": {"stylesheet": {f"{request.url}/style.css": {"type": "text/css"}}},
    }
    if request.with_images_summary:
        result["images"] = {"Image 1": f"{request.url}/image.png"}
    if request.with_links_summary:
        result["links"] = {"Next": f"{request.url}/next"}
    return result
