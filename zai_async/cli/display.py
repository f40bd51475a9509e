"""How an answer looks: thinking aside, the text or JSON as data, then what it cost."""

import time

from zai_async.cli.output import to_json
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
        self.begin()

    def begin(self) -> None:
        """Get ready for an answer, and start the clock."""
        self._kind = ""
        self._begun = time.monotonic()

    def thinking(self, text: str) -> None:
        """Show a piece of the reasoning."""
        if self._shows_thinking and text:
            self._set_apart("thinking")
            self._terminal.aside(text)

    def text(self, text: str) -> None:
        """Show a piece of the answer."""
        if not self._as_json:
            self._data(text)

    def finish(self, answer: ChatCompletion) -> None:
        """Show what can be said only at the end."""
        seconds = time.monotonic() - self._begun
        if self._as_json:
            self._data(f"{to_json(answer)}\n")
        elif not answer.text.endswith("\n"):
            self._data("\n")
        if answer.outcome in _WARNINGS:
            self._terminal.note(f"zai: {_WARNINGS[answer.outcome]}")
        if self._shows_usage:
            self._terminal.paragraph()
            self._terminal.aside(_summary(answer, seconds))
            self._terminal.end_line()

    def _data(self, text: str) -> None:
        self._set_apart("data")
        self._terminal.data(text)

    def _set_apart(self, kind: str) -> None:
        """Put an empty line between thinking and data, whichever comes first."""
        if self._kind not in {"", kind}:
            self._terminal.paragraph()
        self._kind = kind


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
