"""The slides agent: pages drawn in a stream, page by page, and exported afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from zai_async.testing._cdn import Seen, paper_link, picture_link
from zai_async.testing._json import Json
from zai_async.testing._operation import Call
from zai_async.testing._prose import topic_of
from zai_async.testing._reading import require

_COUNT = re.compile(r"\b([1-9]|1\d|20)\s*(?:pages?|slides?)\b")
_PAGES = 3
_SIZE: Seen = (1280, 720)
_AGENT = "slides_glm_agent"
_Step = tuple[str, Any]


class Slides:
    """Keep the pages of each conversation."""

    def __init__(self) -> None:
        self._pages: dict[str, list[str]] = {}

    def draw(self, call: Call, text: str, conversation: str | None) -> list[Json]:
        """Draw pages and tell how: thinking, then one tool call per page in two parts, an answer.

        ``index`` counts the events; the HTML of a page is split over events of one position.
        """
        conversation = conversation or call.id
        first = conversation not in self._pages
        pages = self._pages.setdefault(conversation, [])
        new = [f"{topic_of(text)} {len(pages) + more + 1}" for more in range(_wanted(text, first))]
        start, end = len(pages), len(pages) + len(new)
        pages.extend(new)
        steps = [*_drawing(pages, range(start, end)), ("answer", f"Done: {len(new)} page(s).")]
        head: Json = {"id": call.id, "agent_id": _AGENT, "conversation_id": conversation}
        events = [head | {"choices": [_choice(index, *step)]} for index, step in enumerate(steps)]
        events[-1]["choices"][0]["finish_reason"] = "stop"
        events[-1]["usage"] = {"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100}
        return events

    def export(self, call: Call, conversation: str, *, positions: Sequence[int], pdf: bool) -> Json:
        """Give the addresses of the pages at some positions (none: all), and of one PDF."""
        require(conversation in self._pages, "conversation_id not found", "400")
        parts = [
            {"type": "image_url", "image_url": picture_link(call, title, _SIZE), **_tag("image")}
            for position, title in enumerate(self._pages[conversation], 1)
            if not positions or position in positions
        ]
        if pdf:
            link = paper_link(call, conversation)
            parts.append({"type": "file_url", "file_url": link, **_tag("pdf")})
        message = {"role": "assistant", "content": parts}
        head = {"conversation_id": conversation, "agent_id": _AGENT}
        return head | {"choices": [{"message": [message]}]}


def _wanted(text: str, first: bool) -> int:
    match = _COUNT.search(text)
    if match is not None:
        return int(match[1])
    return _PAGES if first else 1


def _drawing(pages: list[str], new: range) -> Iterator[_Step]:
    yield "thinking", "Let me plan the pages. "
    for place in new:
        html = f"<html><body><h1>{pages[place]}</h1></body></html>"
        middle = len(html) // 2
        for output in (html[:middle], html[middle:]):
            yield (
                "tool",
                {
                    "tool_name": "insert_page",
                    "input": pages[place],
                    "output": output,
                    "position": [place + 1],
                },
            )


def _choice(index: int, phase: str, content: Any) -> Json:
    if phase == "tool":
        part: Json = {"type": "object", "object": content, **_tag("page")}
    else:
        part = {"type": "text", "text": content}
    message = {"role": "assistant", "phase": phase, "content": [part]}
    return {"index": index, "messages": [message]}


def _tag(name: str) -> dict[str, str]:
    return {"tag_cn": name, "tag_en": name}
