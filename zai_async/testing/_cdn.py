"""What results point to: pictures, films and papers, made from their address when they are fetched.

Like the platform's storage this asks for no key. Whether a client sent one all the same is to be
seen in ``emulator.requests``: the operation is called ``cdn``, and ``headers`` are recorded.
"""

from __future__ import annotations

import re
from hashlib import sha256

from zai_async.testing._mp4 import mp4
from zai_async.testing._operation import Call, Operation
from zai_async.testing._pictures import png
from zai_async.testing._refusal import PAGE
from zai_async.testing._reply import HTML_TYPE, Reply

Seen = tuple[int, int]
"""Width and height in pixels."""

_PICTURE = re.compile(r"([0-9a-f]{64})-(\d{1,4})x(\d{1,4})\.png")
_PAPER = re.compile(r"[0-9a-f]{64}\.pdf")
_PDF = (
    b"%PDF-1.4\n"
    b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 960 540]>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)
_FILM = re.compile(r"([0-9a-f]{64})-(\d{1,3})s\.mp4")


def picture_link(call: Call, prompt: str, size: Seen) -> str:
    """Give the address of a picture."""
    return call.link(f"cdn/{_digest(prompt)}-{size[0]}x{size[1]}.png")


def film_link(call: Call, prompt: str, seconds: int) -> str:
    """Give the address of a film."""
    return call.link(f"cdn/{_digest(prompt)}-{seconds}s.mp4")


def paper_link(call: Call, title: str) -> str:
    """Give the address of a PDF."""
    return call.link(f"cdn/{_digest(title)}.pdf")


def _digest(prompt: str) -> str:
    return sha256(prompt.encode(errors="surrogatepass")).hexdigest()


class Cdn:
    """Serve pictures (PNG), films (MP4) and papers (an empty page as PDF)."""

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        return [Operation("cdn", "GET", "/cdn/{name}", self.fetch, access="open")]

    def fetch(self, call: Call) -> Reply:
        """Answer with the bytes."""
        name = call.parameters["name"]
        if match := _PICTURE.fullmatch(name):
            digest, width, height = match.groups()
            return call.data(png(int(width) or 1, int(height) or 1, _color(digest)), "image/png")
        if match := _FILM.fullmatch(name):
            digest, seconds = match.groups()
            return call.data(mp4(int(seconds), _color(digest)), "video/mp4")
        if _PAPER.fullmatch(name):
            return call.data(_PDF, "application/pdf")
        page = PAGE % (404, 404)
        return Reply(pieces=(page,), log_id=call.id, status=404, content_type=HTML_TYPE)


def _color(digest: str) -> int:
    return int(digest[:2], 16)
