"""The model inside the emulator: reads a request, decides what to answer."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from random import Random
from typing import Any

from zai_async.testing.emulator import prose
from zai_async.testing.emulator.completion import (
    ModelAnswer,
    OfferedFunction,
    ReceivedChat,
    ScriptedCall,
)
from zai_async.testing.emulator.requests import Json, is_object

_WORD = re.compile(r"[^\W_]+")


def write(request: ReceivedChat, seed: int) -> ModelAnswer:
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


def _content(request: ReceivedChat, random: Random) -> ModelAnswer:
    last, prompt = request.messages[-1], request.prompt
    if last.role != "tool" and (call := _call(request)) is not None:
        return ModelAnswer(tool_calls=[call])
    if request.response_format is not None and request.response_format.type == "json_object":
        return ModelAnswer(text=_document(request))
    if last.role == "tool":
        return ModelAnswer(text=prose.result_text(prompt, last.text))
    sources = [] if request.search is None else [_source(prompt, number) for number in (1, 2)]
    return ModelAnswer(text=prose.answer_text(prompt, random), web_search=sources)


def _call(request: ReceivedChat) -> ScriptedCall | None:
    """Call the function that shares most words with the prompt; the first one of several."""
    if not request.functions or request.tool_choice == "none":
        return None
    said = _words(request.prompt)
    best = max(request.functions, key=lambda function: len(said & _vocabulary(function)))
    return {"name": best.name, "arguments": sample({"type": "object"} | (best.parameters or {}))}


def _vocabulary(function: OfferedFunction) -> set[str]:
    return _words(f"{function.name} {function.description}")


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _document(request: ReceivedChat) -> str:
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


def _stopped(answer: ModelAnswer, request: ReceivedChat) -> ModelAnswer:
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    ends = [answer.text.find(word) for word in stop if word in answer.text]
    return replace(answer, text=answer.text[: min(ends)]) if ends else answer


def _shortened(answer: ModelAnswer, limit: int | None) -> ModelAnswer:
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


# A plausible value for a JSON schema: arguments of tool calls, structured answers

_DEPTH = 6  # a schema may contain itself; deeper levels are left out
_STRINGS = {
    "date": "2026-10-09",
    "date-time": "2026-10-09T08:30:00Z",
    "time": "08:30:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "6f2c1f0e-8a55-4c1b-9d8e-2f60b1a7c3d4",
    "city": "Beijing",
    "location": "Beijing",
    "country": "China",
    "name": "Ada",
    "language": "English",
    "unit": "celsius",
}


def sample(schema: Any, *, name: str = "") -> Any:
    """Build a value that satisfies the schema, the same one each time.

    Knows types, enum, const, default, examples, bounds, anyOf/oneOf/allOf and local references;
    ``name`` is the property's own name, which hints at what a string may hold.
    """
    return _Sampler(schema).value(schema, name, _DEPTH)


def find_schema(text: str) -> Json | None:
    """Find the first JSON object in a prompt that describes an object with properties."""
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            found = None
        if is_object(found) and is_object(found.get("properties")):
            return found
        start = text.find("{", start + 1)
    return None


class _Sampler:
    """Walk one schema; references are looked up in its root."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def value(self, schema: Any, name: str, depth: int) -> Any:
        if not is_object(schema) or depth == 0:
            return None
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), name, depth - 1)
        fixed = _fixed(schema)
        return self._typed(schema, name, depth) if fixed is None else fixed

    def _resolve(self, reference: str) -> Any:
        found = self._root
        for part in filter(None, reference.removeprefix("#").split("/")):
            found = found.get(part) if is_object(found) else None
        return found

    def _typed(self, schema: Json, name: str, depth: int) -> Any:
        for key in ("anyOf", "oneOf", "allOf"):
            if schema.get(key):
                return self.value(_not_null(schema[key]), name, depth - 1)
        match _kind(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case kind:
                return _scalar(kind, schema, name)

    def _object(self, schema: Json, depth: int) -> Json:
        properties = schema.get("properties", {})
        return {key: self.value(part, key, depth - 1) for key, part in properties.items()}

    def _array(self, schema: Json, name: str, depth: int) -> list[Any]:
        count = max(1, schema.get("minItems", 1))
        return [self.value(schema.get("items", {}), name, depth - 1)] * count


def _fixed(schema: Json) -> Any:
    if "const" in schema:
        return schema["const"]
    if schema.get("default") is not None:
        return schema["default"]
    options = schema.get("enum") or schema.get("examples") or [None]
    return options[0]


def _not_null(schemas: list[Any]) -> Any:
    return next((part for part in schemas if part != {"type": "null"}), schemas[0])


def _kind(schema: Json) -> str:
    kind: str | list[str] = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, str):
        return kind
    return next((one for one in kind if one != "null"), "null")


def _scalar(kind: str, schema: Json, name: str) -> Any:
    match kind:
        case "integer":
            return int(schema.get("minimum", 1))
        case "number":
            return float(schema.get("minimum", 21.5))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, name)


def _string(schema: Json, name: str) -> str:
    text = _STRINGS.get(schema.get("format", "")) or _STRINGS.get(name.lower(), name or "text")
    text = text.ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]
