"""The model inside the emulator: reads a request, decides what to answer."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from random import Random
from typing import Any

from zai_async.testing import _prose as prose
from zai_async.testing._answer import Answer, ScriptedCall
from zai_async.testing._request import ChatRequest, Function
from zai_async.testing._schema import find_schema, sample

_WORD = re.compile(r"[^\W_]+")


def write(request: ChatRequest, seed: int) -> Answer:
    """Answer a legal chat request sensibly; same seed and messages, same answer.

    Tools are called when the conversation does not end with a tool's result, JSON is written when
    ``response_format`` asks for it (an instance of a JSON schema found in the prompt, if any).
    ``thinking``, ``reasoning_effort``, ``stop`` and ``max_tokens`` are honoured.
    """
    random = prose.random_for(seed, request.known_model.id, request.prompt)
    answer = _content(request, random)
    if request.thinks:
        answer = replace(answer, thinking=prose.thinking_text(request.prompt, random))
    return _shortened(_stopped(answer, request), request.max_tokens)


def _content(request: ChatRequest, random: Random) -> Answer:
    last, prompt = request.messages[-1], request.prompt
    if last.role != "tool" and (call := _call(request)) is not None:
        return Answer(tool_calls=[call])
    if request.response_format is not None and request.response_format.type == "json_object":
        return Answer(text=_document(request))
    if last.role == "tool":
        return Answer(text=prose.result_text(prompt, last.text))
    sources = [] if request.search is None else [_source(prompt, number) for number in (1, 2)]
    return Answer(text=prose.answer_text(prompt, random), web_search=sources)


def _call(request: ChatRequest) -> ScriptedCall | None:
    """Call the function that shares most words with the prompt; the first one of several."""
    if not request.functions or request.tool_choice == "none":
        return None
    said = _words(request.prompt)
    best = max(request.functions, key=lambda function: len(said & _vocabulary(function)))
    return {"name": best.name, "arguments": sample({"type": "object"} | (best.parameters or {}))}


def _vocabulary(function: Function) -> set[str]:
    return _words(f"{function.name} {function.description}")


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _document(request: ChatRequest) -> str:
    schema = find_schema("\n".join(message.text for message in request.messages))
    if schema is None:
        topic = prose.topic_of(request.prompt)
        document: Any = {"topic": topic, "answer": "42", "confident": True}
    else:
        document = sample(schema)
    return json.dumps(document, ensure_ascii=False)


def _source(prompt: str, number: int) -> dict[str, str]:
    return {
        "title": f"{prose.topic_of(prompt)} ({number})",
        "content": "A page about the question, in two sentences. It was found by the emulator.",
        "link": f"https://example.com/{number}",
        "media": "Example",
        "icon": "https://example.com/icon.png",
        "refer": f"ref_{number}",
        "publish_date": "2026-10-09",
    }


def _stopped(answer: Answer, request: ChatRequest) -> Answer:
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    ends = [answer.text.find(word) for word in stop if word in answer.text]
    return replace(answer, text=answer.text[: min(ends)]) if ends else answer


def _shortened(answer: Answer, limit: int | None) -> Answer:
    """Cut after ``max_tokens`` tokens; reasoning counts too."""
    thinking, text = prose.tokens(answer.thinking or ""), prose.tokens(answer.text)
    if limit is None or len(thinking) + len(text) <= limit:
        return answer
    return replace(
        answer,
        thinking="".join(thinking[:limit]) or None,
        text="".join(text[: max(0, limit - len(thinking))]),
        tool_calls=(),
        finish_reason="length",
    )
