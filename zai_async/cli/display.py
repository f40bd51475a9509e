"""How an answer looks: thinking aside, the text or JSON as data, then what it cost."""

import json

import msgspec

from zai_async.cli.terminal import Terminal
from zai_async.models import ChatCompletion

__all__ = ["Display"]

_WARNINGS = {
    "length": "the answer stops at the token limit",
    "context_exceeded": "the answer stops because the context is full",
    "sensitive": "the safety filter stopped the answer",
}


class Display:
    """Show answers.

    Args:
        terminal: Where to.
        as_json: Whether to print the completion instead of its text.
        thinking: Whether to print the reasoning.
        usage: Whether to end with a line about tokens and time.
    """

    def __init__(self, terminal: Terminal, *, as_json: bool, thinking: bool, usage: bool) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._shows_thinking = thinking
        self._shows_usage = usage
        self._is_thinking = False

    def thinking(self, text: str) -> None:
        """Show a piece of the reasoning."""
        if self._shows_thinking and text:
            self._is_thinking = True
            self._terminal.aside(text)

    def text(self, text: str) -> None:
        """Show a piece of the answer."""
        if self._as_json:
            return
        if self._is_thinking:
            self._is_thinking = False
            self._terminal.paragraph()
        self._terminal.data(text)

    def finish(self, answer: ChatCompletion, seconds: float) -> None:
        """Show what can be said only at the end; ``seconds`` is how long it took."""
        self._is_thinking = False
        if self._as_json:
            self._terminal.data(f"{_as_json(answer)}\n")
        elif not answer.text.endswith("\n"):
            self._terminal.data("\n")
        if answer.outcome in _WARNINGS:
            self._terminal.note(f"zai: {_WARNINGS[answer.outcome]}")
        if self._shows_usage:
            self._terminal.paragraph()
            self._terminal.aside(_summary(answer, seconds))
            self._terminal.end_line()


def _as_json(answer: ChatCompletion) -> str:
    # Escapes, because data must arrive whole whatever the encoding of the pipe.
    return json.dumps(msgspec.to_builtins(answer))


def _summary(answer: ChatCompletion, seconds: float) -> str:
    usage = answer.usage
    thinking = f" ({usage.reasoning_tokens} thinking)" if usage.reasoning_tokens else ""
    parts = [
        answer.model,
        f"{usage.prompt_tokens} + {usage.completion_tokens} tokens{thinking}",
        f"{seconds:.1f} s",
        f"{usage.completion_tokens / max(seconds, 0.001):.0f} tokens/s",
        answer.request_id,
    ]
    return " · ".join(filter(None, parts))
