"""Texts that match a regular expression, for ``pattern`` in JSON schemas.

The dialect is ECMA-262, of which JSON Schema asks for the portable part. Back-references and
assertions other than anchors are beyond a generator of this size: candidates for them are guesses,
and the caller checks what it gets.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_MAX_REPEAT = 100_000
_CLASSES = {
    "d": string.digits,
    "w": string.ascii_lowercase + string.ascii_uppercase + string.digits + "_",
    "s": " \t\n",
}
_PRINTABLE = "".join(map(chr, range(32, 127)))
# A letter comes first wherever anything goes: it is the most natural text.
_ANYTHING = string.ascii_lowercase + "".join(
    c for c in _PRINTABLE if c not in string.ascii_lowercase
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}

_Grow = Callable[[int], int]


class PatternError(ValueError):
    """The pattern is not a regular expression that this module reads."""


@dataclass(slots=True)
class _Reader:
    """Read a pattern from left to right, writing a text that matches what was read.

    ``extra`` is how many repetitions unlimited quantifiers get beyond their minimum, ``branch``
    which alternative and which character of a class is taken.
    """

    pattern: str
    extra: int
    branch: int
    at: int = 0
    guesses: list[str] = field(default_factory=list[str])

    def alternatives(self) -> str:
        # All are read, for the reader has to get past them; one is returned.
        texts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            texts.append(self.sequence())
        return texts[self.branch % len(texts)]

    def sequence(self) -> str:
        text = ""
        while self.peek() not in {"", "|", ")"}:
            atom = self.atom()
            least, most = self.quantifier()
            wanted = least if most is not None and most <= least else least + self.extra
            count = wanted if most is None else min(wanted, most)
            if count == 0 and self.branch and most != 0:
                count = 1  # shows what is optional
            if count > _MAX_REPEAT:
                raise PatternError("too many repetitions")
            # Each repetition is the same text: a back-reference to it fits, too.
            text += atom * count
        return text

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self, expression: str) -> re.Match[str] | None:
        match = re.compile(expression).match(self.pattern, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def quantifier(self) -> tuple[int, int | None]:
        if match := self.take(r"\{(\d{1,6})(?:(,)(\d{1,6})?)?\}[?+]?"):
            least, comma, most = match.groups()
            return int(least), int(most) if most else None if comma else int(least)
        if match := self.take(r"([*+?])[?+]?"):
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[match[1]]
        return 1, 1

    def atom(self) -> str:
        if look := self.take(r"\(\?<?([=!])"):
            inner = self.alternatives()
            self.take(r"\)")
            # What a look-ahead asks for has to stand somewhere; where, only a check can tell.
            if look[1] == "=":
                self.guesses.append(inner)
            return ""
        if self.take(r"\((\?:|\?P?<\w+>|\?[a-z]+:)?"):
            inner = self.alternatives()
            if self.take(r"\)") is None:
                raise PatternError("a group without its end")
            return inner
        # Anchors match between characters, so nothing is written for them.
        if self.take(r"\^|\$|\\b|\\A|\\Z|\\z"):
            return ""
        if self.take(r"\["):
            return self.pick(self.members())
        if self.peek() == "\\":
            return self.pick(self.escape())
        self.at += 1
        letter = self.pattern[self.at - 1]
        return self.pick(_ANYTHING) if letter == "." else letter

    def pick(self, characters: str) -> str:
        if not characters:
            raise PatternError("an empty class")
        return characters[self.branch % len(characters)]

    def escape(self) -> str:
        if match := self.take(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\})"):
            return chr(int(next(filter(None, match.groups())), 16))
        if match := self.take(r"\\([pP])\{\^?([\w=]+)\}"):
            # Unicode categories: ASCII has a member of those that schemas use.
            name = match[2].rpartition("=")[2]
            known = {"L": string.ascii_letters, "Lu": string.ascii_uppercase, "N": string.digits}
            return known.get(name, known.get(name[:1], string.ascii_lowercase))
        match = self.take(r"\\([\s\S])")
        if match is None:
            raise PatternError("a backslash at the end")
        letter = match[1]
        if letter.lower() in _CLASSES:
            inside = _CLASSES[letter.lower()]
            return inside if letter.islower() else "".join(c for c in _ANYTHING if c not in inside)
        return _ESCAPES.get(letter, letter)

    def members(self) -> str:
        negative = self.take(r"\^") is not None
        found: list[str] = []
        first = True
        while first or self.peek() != "]":
            if not self.peek():
                raise PatternError("a class without its end")
            first = False
            characters = self.escape() if self.peek() == "\\" else self.character()
            if len(characters) == 1 and self.take(r"-(?!\])"):
                last = self.escape() if self.peek() == "\\" else self.character()
                # The beginning of a range is enough; all of Unicode would be a lot.
                end = min(ord(last[-1]), ord(characters) + 127)
                characters = "".join(map(chr, range(ord(characters), end + 1)))
            found.append(characters)
        self.at += 1
        inside = "".join(found)
        return "".join(c for c in _ANYTHING if c not in inside) if negative else inside

    def character(self) -> str:
        self.at += 1
        return self.pattern[self.at - 1 : self.at]


def matching_texts(pattern: str, least: int = 0) -> Iterator[str]:
    """Yield texts that should match, some of them of at least ``least`` characters.

    Raises:
        PatternError: The pattern cannot be read.
    """
    growth = sorted({0, 1, 2, 3, max(0, least), *(least // part for part in range(2, 5))})
    # Different ways through a pattern often write the same text.
    seen: set[str] = set()
    text = ""
    for branch in range(8):
        for extra in growth:
            reader = _Reader(pattern, extra, branch)
            text = reader.alternatives()
            if reader.at < len(pattern):
                raise PatternError(f"not understood at {reader.at}")
            texts = [text]
            if not pattern.endswith("$"):
                # Without an anchor the text may go on.
                texts.append(text.ljust(least, text[-1:] or "a"))
            if reader.guesses:
                wanted = "".join(reader.guesses)
                texts += [wanted + text[len(wanted) :], wanted + text]
            yield from (one for one in texts if one not in seen)
            seen.update(texts)
    if not pattern.endswith("$"):
        for place in range(2, 1_000):
            yield f"{text}{place}"
