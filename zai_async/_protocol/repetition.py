"""Texts that go in circles: a model that repeats one phrase until its tokens are used up."""

from typing import Final

from zai_async.models import ChatCompletionChunk, RepetitionGuard

__all__ = ["RepetitionDetector"]

_STEP: Final = 256
"""Characters between two looks."""
_END: Final = 16


class _Tail:
    """The end of a text, looked at every now and then."""

    def __init__(self) -> None:
        self._seen = ""
        self._new: list[str] = []
        self._size = 0

    def add(self, piece: str, guard: RepetitionGuard) -> str | None:
        """Take the next piece; return what is repeated if the end is nothing else."""
        self._new.append(piece)
        self._size += len(piece)
        if self._size < _STEP:
            return None
        tail = self._seen = (self._seen + "".join(self._new))[-guard.chars :]
        self._new, self._size = [], 0
        # Most ends stand nowhere before them: that is seen at once.
        end = tail[-_END:]
        if len(tail) < guard.chars or tail.find(end, -guard.max_unit - _END, -1) < 0:
            return None
        # What it ends with stands in it once more, a few characters earlier: that is its period.
        place = tail.find(tail[guard.max_unit :], 0, -1)
        if place < 0:
            return None
        unit = tail[place - guard.max_unit :]
        return unit[: (unit + unit).find(unit, 1)]


class RepetitionDetector:
    """Looks at the thinking, the text and the arguments of a stream, each on its own."""

    def __init__(self, guard: RepetitionGuard) -> None:
        self._guard = guard
        self._tails: dict[str, _Tail] = {}

    def find(self, chunk: ChatCompletionChunk) -> str | None:
        """Return what is repeated at the end of what a chunk adds to."""
        pieces = {"thinking": chunk.thinking, "text": chunk.text}
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or ():
                name = f"arguments {call.index}"
                pieces[name] = (call.function and call.function.arguments) or ""
        for name, piece in pieces.items():
            if piece:
                tail = self._tails.setdefault(name, _Tail())
                unit = tail.add(piece, self._guard)
                if unit is not None:
                    return unit
        return None
