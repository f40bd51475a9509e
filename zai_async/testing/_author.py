"""The model inside the emulator: reads a request, decides what to answer."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from random import Random
from typing import Any

from zai_async.testing import _prose as prose
from zai_async.testing._answer import Answer, ScriptedCall
from zai_async.testing._catalogue import Model
from zai_async.testing._schema import find_schema, sample

Json = dict[str, Any]

_WORD = re.compile(r"[^\W_]+")
_EFFORTLESS = {"none", "minimal"}


def write(body: Json, model: Model, seed: int) -> Answer:
    """Answer a legal chat request sensibly; same seed and messages, same answer.

    Tools are called when the conversation does not end with a tool's result, JSON is written when
    ``response_format`` asks for it (an instance of a JSON schema found in the prompt, if any).
    ``thinking``, ``reasoning_effort``, ``stop`` and ``max_tokens`` are honoured.
    """
    prompt = prompt_of(body)
    random = prose.random_for(seed, model.id, prompt)
    answer = _content(body, prompt, random)
    if _thinks(body, model):
        answer = replace(answer, thinking=prose.thinking_text(prompt, random))
    return _shortened(_stopped(answer, body), body.get("max_tokens"))


def text_of(message: Json) -> str:
    """Join the text of a message, whatever form its content has."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    parts = (part.get("text", "") for part in content if isinstance(part, dict))
    return "".join(map(str, parts))


def prompt_of(body: Json) -> str:
    """Give what the user said last."""
    users = [message for message in body["messages"] if message["role"] == "user"]
    return text_of(users[-1]) if users else ""


def _content(body: Json, prompt: str, random: Random) -> Answer:
    last = body["messages"][-1]
    if last["role"] != "tool" and (call := _call(body, prompt)) is not None:
        return Answer(tool_calls=[call])
    if (body.get("response_format") or {}).get("type") == "json_object":
        return Answer(text=_document(body, prompt))
    if last["role"] == "tool":
        return Answer(text=prose.result_text(prompt, text_of(last)))
    return Answer(text=prose.answer_text(prompt, random), web_search=_sources(body, prompt))


def _functions(body: Json) -> list[Json]:
    tools = body.get("tools") or []
    return [tool["function"] for tool in tools if tool.get("type") == "function"]


def _call(body: Json, prompt: str) -> ScriptedCall | None:
    functions = _functions(body)
    if not functions or body.get("tool_choice") == "none":
        return None
    said = set(_WORD.findall(prompt.lower()))
    best = max(functions, key=lambda function: len(said & _words(function)))
    return {"name": best["name"], "arguments": sample(best.get("parameters") or {}) or {}}


def _words(function: Json) -> set[str]:
    return set(_WORD.findall(f"{function['name']} {function.get('description', '')}".lower()))


def _document(body: Json, prompt: str) -> str:
    said = "\n".join(text_of(message) for message in body["messages"])
    schema = find_schema(said)
    if schema is None:
        document: Any = {"topic": prose.topic_of(prompt), "answer": "42", "confident": True}
    else:
        document = sample(schema)
    return json.dumps(document, ensure_ascii=False)


def _sources(body: Json, prompt: str) -> list[Json]:
    wishes = [wish_for_sources(tool) for tool in body.get("tools") or []]
    return [_source(prose.topic_of(prompt), n) for n in (1, 2)] if any(wishes) else []


def wish_for_sources(tool: Json) -> Json | None:
    """Give the options of a web search tool that is enabled and shows its sources."""
    options = tool.get("web_search")
    if not isinstance(options, dict) or not (
        options.get("enable") and options.get("search_result")
    ):
        return None
    return options


def _source(topic: str, number: int) -> Json:
    return {
        "title": f"{topic} ({number})",
        "content": "A page about the question, in two sentences. It was found by the emulator.",
        "link": f"https://example.com/{number}",
        "media": "Example",
        "icon": "https://example.com/icon.png",
        "refer": f"ref_{number}",
        "publish_date": "2026-10-09",
    }


def _thinks(body: Json, model: Model) -> bool:
    if model.thinking == "none":
        return False
    if model.thinking == "effort" and body.get("reasoning_effort") in _EFFORTLESS:
        return False
    return (body.get("thinking") or {}).get("type") != "disabled"


def _stopped(answer: Answer, body: Json) -> Answer:
    stop = body.get("stop") or []
    words = [stop] if isinstance(stop, str) else stop
    ends = [answer.text.find(word) for word in words if word in answer.text]
    return replace(answer, text=answer.text[: min(ends)]) if ends else answer


def _shortened(answer: Answer, limit: int | None) -> Answer:
    """Cut after ``max_tokens`` tokens; reasoning counts too."""
    thinking, text = prose.tokens(answer.thinking or ""), prose.tokens(answer.text)
    if limit is None or len(thinking) + len(text) <= limit:
        return answer
    left = max(0, limit - len(thinking))
    kept = "".join(thinking[:limit]) if answer.thinking is not None else None
    return replace(
        answer, thinking=kept, text="".join(text[:left]), tool_calls=(), finish_reason="length"
    )
