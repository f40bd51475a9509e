"""JSON that is still being written, as the value that it will be."""

import json
import re
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

__all__ = ["PartialJSON"]

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_PLAIN: Final = re.compile(r'[^"\\]*')
_TOKEN: Final = re.compile(r"[^\s,\]}]*")
# Only what is whole: half of a surrogate pair is no character yet.
_ESCAPE: Final = re.compile(
    r"""\\(?:["\\/bfnrt]
    | u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}
    | u(?![dD][89a-fA-F])[0-9a-fA-F]{4})""",
    re.VERBOSE,
)
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_LONGEST_ESCAPE: Final = 12


class PartialJSON:
    """Builds the value of an object while its text arrives, looking at each character once.

    Texts grow; numbers, ``true``, ``false`` and ``null`` appear when they have ended, as ``1``
    may become ``12``; no escape is handed out in half. What stands before the object, such as
    prose or the beginning of a fence, is passed over, and so is what follows it.
    """

    def __init__(self) -> None:
        self.value: dict[str, Any] | None = None
        """One object that grows: copy it to keep a moment of it."""
        self.is_broken = False
        """Whether the text is no JSON; the value stays as it was."""
        self._read: Callable[[str, int], int] = self._before
        self._open: list[dict[str, Any] | list[Any]] = []
        self._key = ""
        self._slot: str | int = ""
        """Where in the innermost container the string is that grows."""
        self._rest = ""
        self._token: list[str] = []
        self._has_changed = False

    def feed(self, text: str) -> bool:
        """Take the next piece of the text, and tell whether it has changed the value."""
        text, self._rest = self._rest + text, ""
        self._has_changed = False
        position = 0
        while position < len(text):
            position = self._read(text, position)
        return self._has_changed

    # Each of these reads what it expects at a position, and returns where the next one goes on.

    def _before(self, text: str, position: int) -> int:
        start = text.find("{", position)
        if start < 0:
            return len(text)
        self._open, self._read = [{}], self._first_key
        return start + 1

    def _put(self, value: Any) -> None:
        container = self._open[-1]
        self._has_changed = True
        if isinstance(container, dict):
            container[self._key] = value
            self._slot = self._key
        else:
            container.append(value)
            self._slot = len(container) - 1

    def _first_key(self, text: str, position: int) -> int:
        position = _past_space(text, position)
        if self.value is None and text[position : position + 1] in {'"', "}"}:
            # Any other brace belongs to the prose.
            self.value = cast("dict[str, Any]", self._open[0])
            self._has_changed = True
        return self._leave_at("}", text, position) or self._next_key(text, position)

    def _next_key(self, text: str, position: int) -> int:
        position = _past_space(text, position)
        if text[position : position + 1] not in {"", '"'}:
            return self._fail(text)
        if position < len(text):
            self._key, self._read = "", self._in_key
        return position + 1

    def _in_key(self, text: str, position: int) -> int:
        piece, position, has_ended = self._string(text, position)
        self._key += piece
        if has_ended:
            self._read = self._colon
        return position

    def _colon(self, text: str, position: int) -> int:
        position = _past_space(text, position)
        if text[position : position + 1] not in {"", ":"}:
            return self._fail(text)
        if position < len(text):
            self._read = self._next_item
        return position + 1

    def _first_item(self, text: str, position: int) -> int:
        return self._leave_at("]", text, position) or self._next_item(text, position)

    def _next_item(self, text: str, position: int) -> int:
        position = _past_space(text, position)
        match text[position : position + 1]:
            case "":
                pass
            case '"':
                self._put("")
                self._read = self._in_text
            case "{" | "[" as bracket:
                container: dict[str, Any] | list[Any] = {} if bracket == "{" else []
                self._put(container)
                self._open.append(container)
                self._read = self._first_key if bracket == "{" else self._first_item
            case _:
                self._token, self._read = [], self._in_token
                return position
        return position + 1

    def _in_text(self, text: str, position: int) -> int:
        piece, position, has_ended = self._string(text, position)
        if piece:
            container = cast("dict[str | int, str | None]", self._open[-1])
            grown = container[self._slot] or ""
            # While nobody else holds it, a text grows in place; else each piece would copy it.
            container[self._slot] = None
            grown += piece
            container[self._slot] = grown
            self._has_changed = True
        if has_ended:
            self._read = self._after
        return position

    def _in_token(self, text: str, position: int) -> int:
        end = cast("re.Match[str]", _TOKEN.match(text, position)).end()
        self._token.append(text[position:end])
        if end == len(text):
            return end
        try:
            self._put(msgspec.json.decode("".join(self._token)))
        except (msgspec.DecodeError, UnicodeEncodeError):
            return self._fail(text)
        self._read = self._after
        return end

    def _after(self, text: str, position: int) -> int:
        is_list = isinstance(self._open[-1], list)
        left = self._leave_at("]" if is_list else "}", text, position)
        if left:
            return left
        position = _past_space(text, position)
        if text[position : position + 1] not in {"", ","}:
            return self._fail(text)
        if position < len(text):
            self._read = self._next_item if is_list else self._next_key
        return position + 1

    def _leave_at(self, bracket: str, text: str, position: int) -> int:
        """Leave a container where it is closed; return 0 where it is not."""
        position = _past_space(text, position)
        if text[position : position + 1] != bracket:
            return 0
        self._open.pop()
        self._read = self._after if self._open else self._behind
        return position + 1

    def _behind(self, text: str, position: int) -> int:  # noqa: ARG002 - as all others
        return len(text)

    def _fail(self, text: str) -> int:
        """Give up; a brace of the prose before the object is passed over instead."""
        if self.value:
            self.is_broken = True
            self._read = self._behind
        else:
            self.value, self._read, self._has_changed = None, self._before, True
        return len(text)

    def _string(self, text: str, position: int) -> tuple[str, int, bool]:
        """Read on in a string; return the piece, where it ends, and whether the string does."""
        pieces: list[str] = []
        while True:
            end = cast("re.Match[str]", _PLAIN.match(text, position)).end()
            pieces.append(text[position:end])
            if text[end : end + 1] != "\\":
                return "".join(pieces), end + 1, end < len(text)
            if escape := _ESCAPE.match(text, end):
                pieces.append(json.loads(f'"{escape[0]}"'))
                position = escape.end()
            elif len(text) - end < _LONGEST_ESCAPE:
                self._rest = text[end:]
                return "".join(pieces), len(text), False
            elif half := _HALF.match(text, end):
                pieces.append("\ufffd")
                position = half.end()
            else:
                return "".join(pieces), self._fail(text), False


def _past_space(text: str, position: int) -> int:
    return cast("re.Match[str]", _SPACE.match(text, position)).end()
