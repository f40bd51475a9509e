"""Slides: drawn in a stream, page by page, and exported afterwards."""

from __future__ import annotations

import re
from collections.abc import Sequence

from zai_async.testing.emulator.media import PixelSize, image_link, pdf_link
from zai_async.testing.emulator.operation import OperationCall, require
from zai_async.testing.emulator.prose import topic_of
from zai_async.testing.emulator.recent import RecentItems
from zai_async.testing.emulator.requests import Json

_COUNT = re.compile(r"\b([1-9]|1\d|20)\s*(?:pages?|slides?)\b")
_SLIDES = 3
_SLIDE_SIZE: PixelSize = (1280, 720)
_SLIDES_AGENT = "slides_glm_agent"
_SEARCHED = 10_000  # characters of a request in which the number of pages is looked for
_MAX_SLIDES = 200


class SlideDecks:
    """The pages of each conversation."""

    def __init__(self) -> None:
        self._pages: RecentItems[list[str]] = RecentItems(max_items=1_000)

    def draw(self, call: OperationCall, text: str, conversation: str | None) -> list[Json]:
        """Draw pages and tell how: thinking, one tool call per page in two parts, an answer."""
        conversation = conversation or call.id
        known = self._pages.get(conversation)
        pages = [] if known is None else known
        wanted = _COUNT.search(text[:_SEARCHED])
        # A conversation that goes on adds a page, unless more are asked for.
        more = int(wanted[1]) if wanted else _SLIDES if known is None else 1
        first = len(pages)
        require(first + more <= _MAX_SLIDES, f"more than {_MAX_SLIDES} pages in a conversation")
        pages.extend(f"{topic_of(text)} {first + place + 1}" for place in range(more))
        self._pages[conversation] = pages

        steps: list[tuple[str, Json]] = [("thinking", _text("Let me plan the pages. "))]
        for place, title in enumerate(pages[first:], first + 1):
            html = f"<html><body><h1>{title}</h1></body></html>"
            middle = len(html) // 2
            # The HTML of a page is split over events of one position, which clients join.
            for output in (html[:middle], html[middle:]):
                step = {"tool_name": "insert_page", "input": title, "output": output}
                page = {"type": "object", "object": step | {"position": [place]}, **_tag("page")}
                steps.append(("tool", page))
        # Phases are thinking, tool and answer; https://docs.z.ai/guides/agents/slide names them.
        steps.append(("answer", _text(f"Done: {more} page(s).")))

        head: Json = {"id": call.id, "agent_id": _SLIDES_AGENT, "conversation_id": conversation}
        events: list[Json] = []
        for index, (phase, part) in enumerate(steps):
            message = {"role": "assistant", "phase": phase, "content": [part]}
            events.append(head | {"choices": [{"index": index, "messages": [message]}]})
        events[-1]["choices"][0]["finish_reason"] = "stop"
        events[-1]["usage"] = {"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100}
        return events

    def export(
        self, call: OperationCall, conversation: str, *, positions: Sequence[int], pdf: bool
    ) -> Json:
        """Return the addresses of the pages at some positions (none: all), and of one PDF."""
        require(conversation in self._pages, "conversation_id not found", "400")
        parts = [
            # Addresses are strings here, too, and tags come in two languages.
            {
                "type": "image_url",
                "image_url": image_link(call, title, _SLIDE_SIZE),
                **_tag("image"),
            }
            for position, title in enumerate(self._pages[conversation], 1)
            if not positions or position in positions
        ]
        if pdf:
            link = pdf_link(call, conversation)
            parts.append({"type": "file_url", "file_url": link, **_tag("pdf")})
        message = {"role": "assistant", "content": parts}
        head = {"conversation_id": conversation, "agent_id": _SLIDES_AGENT}
        return head | {"choices": [{"message": [message]}]}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _tag(name: str) -> dict[str, str]:
    return {"tag_cn": name, "tag_en": name}
