"""How the model uses tools: which ones a prompt asks for, and what it fills into their arguments.

Tools that the prompt names are called in this order, one in each round, or all at once where it
says "in parallel". Numbers and names behind a tool's name are its arguments, and "the result" is
what the last tool has returned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from zai_async.testing.emulator.chat_request import OfferedFunction, ReceivedChat
from zai_async.testing.emulator.completion import ScriptedCall
from zai_async.testing.emulator.reply import Refusal
from zai_async.testing.emulator.requests import Json, is_object
from zai_async.testing.emulator.scalar_values import SchemaError
from zai_async.testing.emulator.schema_check import SchemaCheck, is_list, listed, named
from zai_async.testing.emulator.schema_values import sample

_READ = 20_000  # characters of a prompt: the work does not grow with what a client sends
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")
_QUOTED = re.compile(r'"([^"\n]+)"|\'([^\'\n]+)\'(?!\w)|“([^”\n]+)”')
# Words with a capital that begin no sentence.
_PROPER = re.compile(r"(?<![.!?:\n] )(?<=[^\n.!?:\"'“])\b[A-Z]\w*(?:[ -][A-Z]\w*)*")
_TOGETHER = re.compile(r"\b(parallel|at once|at the same time|simultaneously)\b", re.IGNORECASE)
_RESULT = re.compile(r"\b(results?|sum|product|it|that)\b", re.IGNORECASE)


class _Mention(NamedTuple):
    """A tool that a prompt names, and what it says about it."""

    start: int
    end: int
    function: OfferedFunction


def calls(request: ReceivedChat) -> list[ScriptedCall]:
    """Return what to call next; nothing if all is done that the prompt asks for."""
    prompt = request.prompt[:_READ]
    said = _words(prompt)
    plan = [
        (mention.function, prompt[mention.end : following])
        for mention, following in _mentions(request.functions, prompt)
    ] or [
        # The one that shares most words with the prompt; the first one of several.
        (
            max(
                request.functions,
                key=lambda each: len(said & _words(f"{each.name} {each.description}")),
            ),
            prompt,
        )
    ]

    users = [n for n, message in enumerate(request.messages) if message.role == "user"]
    turn = request.messages[users[-1] + 1 :] if users else request.messages
    results = [message.text for message in turn if message.role == "tool"]
    # A script or another model may have called something first: it counts all the same.
    left = plan[max(len(results), sum(len(listed(each.tool_calls)) for each in turn)) :]
    if not _TOGETHER.search(prompt):
        left = left[:1]
    return [
        {
            "name": function.name,
            "arguments": filled(
                {"type": "object"} | (function.parameters or {}), text, results[-1:]
            ),
        }
        for function, text in left
    ]


def _mentions(functions: list[OfferedFunction], prompt: str) -> list[tuple[_Mention, int]]:
    """Return the tools that are named, each with the place where the next one is, or the end."""
    found: list[_Mention] = []
    for function in functions:
        spelled = re.escape(function.name).replace("_", "[_ ]").replace(r"\-", "[- ]")
        matches = re.finditer(rf"(?<!\w){spelled}(?!\w)", prompt, re.IGNORECASE)
        found += [_Mention(*match.span(), function) for match in matches]
    # "get weather" is no mention of "weather".
    found.sort(key=lambda mention: (mention.start, -mention.end))
    kept: list[_Mention] = []
    for mention in found:
        if not kept or mention.start >= kept[-1].end:
            kept.append(mention)
    ends = [*(mention.start for mention in kept[1:]), len(prompt)]
    return list(zip(kept, ends, strict=False))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def filled(schema: Json, text: str, results: list[str] | None = None) -> Any:
    """Return an instance of a schema that says what a text does, where it says something."""
    text = text[:_READ]
    try:
        instance = sample(schema)
    except SchemaError as error:
        raise Refusal("1210", f"API parameters are wrong: {error}") from error
    facts = _Facts(text, results or [])
    better = facts.filled(schema, instance)
    return better if SchemaCheck(schema).fits(better, schema) else instance


_KINDS: dict[str, tuple[str, Any]] = {
    "integer": ("numbers", int),
    "number": ("numbers", (int, float)),
    "string": ("names", str),
}


class _Facts:
    """The numbers and names of a text, each of which is used once."""

    def __init__(self, text: str, results: list[str]) -> None:
        numbers = _NUMBER.findall(text)
        if results and _RESULT.search(text):
            numbers = [*_NUMBER.findall(results[-1]), *numbers]
        self.numbers = [float(each) if "." in each else int(each) for each in numbers]
        quoted = ["".join(groups) for groups in _QUOTED.findall(text)]
        self.names = quoted or _PROPER.findall(text)
        self._words = _words(text)

    def filled(self, schema: Json, instance: Any) -> Any:
        """Return a sample with what the text says in the place of what was made up."""
        # The first alternative is the one that the sample was made of.
        for key in ("anyOf", "oneOf"):
            parts = [part for part in listed(schema.get(key)) if part != {"type": "null"}]
            schema = parts[0] if parts and is_object(parts[0]) else schema
        if "enum" in schema or "const" in schema:
            choices = [each for each in listed(schema.get("enum")) if isinstance(each, str)]
            said = (each for each in choices if set() < _words(each) <= self._words)
            return next(said, instance)
        if is_object(instance):
            properties = named(schema.get("properties"))
            return {
                name: self.filled(named(properties.get(name)), value)
                for name, value in instance.items()
            }
        if is_list(instance):
            return list(self._values(named(schema.get("items")))) or instance
        return next(self._values(schema), instance)

    def _values(self, schema: Json) -> Iterator[Any]:
        """Yield what the text has for a schema of numbers or names, and use it up."""
        values, kind = _KINDS.get(str(schema.get("type")), ("", ()))
        if kind is str and {"format", "pattern"} & schema.keys():
            return
        source: list[Any] = getattr(self, values, [])
        while fitting := [value for value in source if isinstance(value, kind)]:
            source.remove(fitting[0])
            yield fitting[0]
