"""Reading a web page: https://docs.z.ai/api-reference/tools/web-reader."""

from typing import Any, Literal, Required

from msgspec import Struct, field

from zai_async.models.options import CallParams
from zai_async.models.reply import Reply


class ReaderParams(CallParams, total=False):
    """Hold the address of a page and how it shall be written down."""

    url: Required[str]
    timeout: int
    """Seconds that the service waits for the page; default 20."""
    no_cache: bool
    """Whether the page is fetched anew; default false."""
    return_format: Literal["markdown", "text"]
    """Default markdown."""
    retain_images: bool
    """Whether pictures are kept; default true."""
    no_gfm: bool
    """Whether to do without the GitHub flavour of Markdown; default false."""
    keep_img_data_url: bool
    """Whether pictures inside the page stay inside; default false."""
    with_images_summary: bool
    """Whether pictures are listed; default false."""
    with_links_summary: bool
    """Whether links are listed; default false."""
    request_id: str
    """Your id for the request, unique (undocumented)."""
    user_id: str
    """Your id for the end user, 6 to 128 characters (undocumented)."""


class ReaderResult(Struct, kw_only=True):
    """Hold one page."""

    content: str = ""
    """The text in the format that was asked for."""
    title: str = ""
    description: str = ""
    url: str = ""
    published_time: str = field(default="", name="publishedTime")
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the page says about itself, name by name."""
    external: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the page refers to, such as style sheets."""
    images: dict[str, Any] = field(default_factory=dict[str, Any])
    """Pictures, when their summary was asked for."""
    links: dict[str, Any] = field(default_factory=dict[str, Any])
    """Links, when their summary was asked for."""


class ReaderResponse(Reply, kw_only=True):
    """Hold the page that was read."""

    id: str = ""
    created: int = 0
    """Unix seconds."""
    model: str = ""
    reader_result: ReaderResult = field(default_factory=ReaderResult)

    @property
    def text(self) -> str:
        """The text of the page."""
        return self.reader_result.content

    @property
    def title(self) -> str:
        """The title of the page."""
        return self.reader_result.title
