"""The model inside the emulator: reads a request, decides what to answer."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from zai_async.testing.emulator import prose, tool_use
from zai_async.testing.emulator.chat_request import ReceivedChat
from zai_async.testing.emulator.completion import ModelAnswer
from zai_async.testing.emulator.requests import Json, is_object
from zai_async.testing.emulator.schema_values import sample

_SEARCHED = 200_000  # characters of a conversation in which a schema is looked for
_ATTEMPTS = 200  # braces at which it may begin
# A sentence that speaks of keys quotes their names.
_OF_KEYS = re.compile(r"\b(?:keys?|fields?|propert(?:y|ies))\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?]\s|\n|$")
_NAME = re.compile(r"(?<!\w)([`'\"])([A-Za-z_]\w*)\1(?!\w)")
_MOST_NAMES = 50


def write(request: ReceivedChat, seed: int) -> ModelAnswer:
    """Answer a legal chat request sensibly; same seed and messages, same answer.

    Tools are called as ``tool_use`` says, JSON is written when ``response_format`` asks for it (an
    instance of a JSON schema found in the prompt, if any).
    ``thinking``, ``reasoning_effort``, ``stop`` and ``max_tokens`` are honoured.
    """
    last, prompt = request.messages[-1], request.prompt
    random = prose.random_for(seed, request.known_model.id, prompt)
    wants_json = request.response_format is not None and (
        request.response_format.type == "json_object"
    )
    # Tools are called although nothing may ask for it: who sends tools to an emulator wants to see
    # them called.
    calls = tool_use.calls(request) if request.functions and request.tool_choice != "none" else []
    if calls:
        answer = ModelAnswer(tool_calls=calls)
    elif wants_json:
        answer = ModelAnswer(text=document(request))
    elif last.role == "tool":
        answer = ModelAnswer(text=prose.result_text(prompt, last.text))
    else:
        sources = [] if request.search is None else [source(prompt, number) for number in (1, 2)]
        answer = ModelAnswer(text=prose.answer_text(prompt, random), web_search=sources)
    if request.thinks:
        answer = replace(answer, thinking=prose.thinking_text(prompt, random))

    # Like the platform, which documents one stop word and takes a list.
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    ends = [answer.text.find(word) for word in stop if word in answer.text]
    if ends:
        answer = replace(answer, text=answer.text[: min(ends)])
    return shortened(answer, request.max_tokens)


def document(request: ReceivedChat) -> str:
    """Write JSON as the conversation wants it, by a schema or names of keys, or as it likes."""
    # The platform's JSON mode has no field for a schema: people put it into a message.
    schema = find_schema("\n".join(message.text for message in request.messages))
    if schema is not None:
        return json.dumps(tool_use.filled(schema, request.prompt), ensure_ascii=False)
    # Others describe it in words.
    if keys := named_keys(request.prompt):
        properties = {key: {"type": "string"} for key in keys}
        return json.dumps(sample({"type": "object", "properties": properties}))
    topic = prose.topic_of(request.prompt)
    return json.dumps({"topic": topic, "answer": "42", "confident": True}, ensure_ascii=False)


def named_keys(prompt: str) -> list[str]:
    """Return what the keys of an object shall be called, such as in "with the key 'answer'"."""
    prompt, names = prompt[: prose.QUOTED], list[str]()
    start = 0
    for end in _SENTENCE_END.finditer(prompt):
        sentence, start = prompt[start : end.start()], end.end()
        if _OF_KEYS.search(sentence):
            names += [name for _, name in _NAME.findall(sentence)]
    return list(dict.fromkeys(names))[:_MOST_NAMES]


def source(prompt: str, number: int) -> dict[str, str]:
    """Return one of the pages that an answer is based on."""
    return {
        "title": f"{prose.topic_of(prompt)} ({number})",
        "content": "A page about the question, in two sentences. It was found by the emulator.",
        "link": f"https://example.com/{number}",
        "media": "Example",
        "icon": "https://example.com/icon.png",
        "refer": f"ref_{number}",
        "publish_date": "2026-10-09",
    }


def shortened(answer: ModelAnswer, limit: int | None) -> ModelAnswer:
    """Cut after ``max_tokens`` tokens; reasoning counts too."""
    if limit is None:
        return answer
    thinking, text = prose.tokens(answer.thinking or ""), prose.tokens(answer.text)
    if len(thinking) + len(text) <= limit:
        return answer
    return replace(
        answer,
        thinking="".join(thinking[:limit]) or None,
        text="".join(text[: max(0, limit - len(thinking))]),
        tool_calls=(),
        finish_reason="length",
    )


def find_schema(text: str) -> Json | None:
    """Find the first JSON object in a prompt that describes an object with properties."""
    text, start = text[:_SEARCHED], -1
    # Each brace may begin it, and a damaged one is read to its end: without a limit, quadratic.
    for _ in range(_ATTEMPTS):
        start = text.find("{", start + 1)
        if start < 0:
            break
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if is_object(found) and is_object(found.get("properties")):
            return found
    return None
