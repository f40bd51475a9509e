"""Putting the fragments of tool calls together, however a server numbers them.

By OpenAI's convention each call has an ``index``, and its first fragment has ``id`` and ``name``.
Servers of GLM deviate: parallel calls all say index 0, ids are repeated, blanked or made anew with
each fragment, arguments come before the name, names come in pieces, indices go down.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from zai_async._protocol.text import ChunkedText
from zai_async.errors import LimitError
from zai_async.models import ChunkFunction, ChunkToolCall, FunctionCall, ToolCall
from zai_async.models.extra import NO_EXTRA, ExtraAccumulator, extra_of, with_extra

__all__ = ["PartialToolCall", "ToolCallAssembler", "ToolCallUpdate"]

# What decides about the structure of JSON: escapes, the ends of strings, brackets. Anything else
# counts only as the last thing before an object, of which one character is enough.
_MARKS: Final = re.compile(r'\\.?|["{}\[\]]|[^\s"\\{}\[\]]+', re.DOTALL)
# No fragment is as large as this, and no turn of the loop waits for one that is.
_LARGE: Final = 2**18
# No decoder goes deeper, so that what is nested deeper still is never whole.
_DEEPEST: Final = 10_000
# Each call is a list entry, a text and a place in several tables, for as little as "{}".
_MOST_CALLS: Final = 10_000
# Of calls with one id, which some servers give to all of them, this many are looked at.
_MOST_ALIKE: Final = 16
# By how much one writing of some JSON may be longer than another, beyond twice its size.
_MOST_SPACE: Final = 64


class _Nesting:
    """Where in a JSON text one is, found by looking at each character once."""

    __slots__ = ("_escaped", "_in_string", "_last", "_open")

    def __init__(self) -> None:
        self._open = bytearray()
        """The brackets that are open."""
        self._last = ""
        """What stands last outside of strings."""
        self._in_string = False
        self._escaped = False

    def add(self, piece: str) -> None:
        """Go on through a piece of the text."""
        if len(self._open) > _DEEPEST:
            return
        if len(piece) > _LARGE:
            self._add_large(piece)
            return
        start = int(self._escaped and piece != "")
        self._escaped = self._escaped and not piece
        for mark in _MARKS.findall(piece, start):
            if mark[0] == "\\":
                self._escaped = len(mark) == 1
                continue
            if mark == '"':
                self._in_string = not self._in_string
            elif self._in_string:
                continue
            elif mark in "{[":
                self._open += mark.encode()
                if len(self._open) > _DEEPEST:
                    return
            elif mark in "}]":
                del self._open[-1:]
            self._last = mark[-1]

    def _add_large(self, piece: str) -> None:
        """Go on through what is one value as a whole, and give up anything else."""
        try:
            msgspec.json.decode(piece if not self._last else "", type=msgspec.Raw)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            self._open += b"[" * (_DEEPEST + 1)
        else:
            self._last = piece.rstrip()[-1]

    @property
    def is_closed(self) -> bool:
        """Whether an object or a list has come to its end, so that nothing can follow."""
        return not self._open and self._last in {"}", "]"}

    @property
    def admits_object(self) -> bool:
        """Whether the next character may begin an object."""
        if self._in_string or not self._last:
            return True
        return self._last == ":" or (self._open.endswith(b"[") and self._last in {"[", ","})


class PartialToolCall:
    """A tool call of which fragments have arrived."""

    __slots__ = ("id", "index", "is_named", "name", "nesting", "pieces", "size", "type", "unknown")

    def __init__(self, index: int, id: str) -> None:
        self.index = index
        """Its place among the calls of the answer, which is the server's where that is free."""
        self.id = id
        self.name = ""
        self.is_named = False
        """Whether arguments have followed the name, of which no more pieces come then."""
        self.type = "function"
        self.pieces = ChunkedText()
        self.size = 0
        """How many characters the pieces have."""
        self.nesting = _Nesting()
        self.unknown: tuple[ExtraAccumulator, ExtraAccumulator] | None = None
        """The unknown fields of the call, and of its function."""

    @property
    def arguments(self) -> str:
        """The arguments so far."""
        return "".join(self.pieces)

    @property
    def has_arguments(self) -> bool:
        """Whether any of the arguments have arrived."""
        return any(self.pieces)

    @property
    def is_blank(self) -> bool:
        """Whether nothing is known that a caller could use."""
        known = self.name or self.has_arguments or self.unknown
        return not known and self.type == "function"

    def is_whole(self) -> bool:
        """Tell whether the arguments are one JSON object, which nothing could make longer."""
        try:
            return isinstance(msgspec.json.decode(self.arguments), dict)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return False

    def add(self, fragment: ChunkToolCall) -> str:
        """Add a fragment and return its piece of the arguments.

        The first non-empty id stays. A name may come in pieces, but not with arguments in between.
        """
        self.id = self.id or fragment.id or ""
        self.type = fragment.type or self.type
        function = fragment.function
        extra, inner = extra_of(fragment), extra_of(function) if function else NO_EXTRA
        if extra or inner:
            self.unknown = self.unknown or (ExtraAccumulator(), ExtraAccumulator())
            self.unknown[0].add(extra)
            self.unknown[1].add(inner)
        if function is None:
            return ""
        name = function.name or ""
        # OpenAI's clients add pieces of a name to each other; servers repeat it, or let it grow.
        if name.startswith(self.name):
            self.name = name  # the first one, a repetition, or one that grows as a whole
        elif not self.is_named:
            self.name += name
        piece = function.arguments or ""
        if piece:
            self.is_named = bool(self.name)
            self.nesting.add(piece)
            self.pieces.append(piece)
            self.pieces.pack()
            self.size += len(piece)
        return piece

    def call(self) -> ToolCall:
        """Return the call as a struct."""
        function = FunctionCall(name=self.name, arguments=self.arguments)
        call = ToolCall(index=self.index, id=self.id, type=self.type, function=function)
        if self.unknown is None:
            return call
        call.function = with_extra(function, self.unknown[1].joined())
        return with_extra(call, self.unknown[0].joined())


class ToolCallUpdate(NamedTuple):
    """What a fragment added to which call."""

    call: PartialToolCall
    piece: str
    begins: bool


class ToolCallAssembler:
    """Decides which call each fragment belongs to."""

    def __init__(self) -> None:
        self._calls: list[PartialToolCall] = []
        self._latest: dict[int, PartialToolCall] = {}
        """The last call that the server has given an index."""
        self._known: dict[tuple[int | None, str], PartialToolCall] = {}
        """The calls by the index and the id of the server."""
        self._by_id: dict[str, list[PartialToolCall]] = {}
        """All calls to which the server has given an id."""
        self._taken: set[int] = set()
        self._free = 0
        """A number above all that are taken."""

    @property
    def calls(self) -> list[PartialToolCall]:
        """The calls so far in the order of their index, without those that say nothing."""
        return sorted(
            (call for call in self._calls if not call.is_blank), key=lambda call: call.index
        )

    def unfinished(self) -> PartialToolCall | None:
        """Return a call whose arguments are not whole, if there is one."""
        return next((call for call in self.calls if not call.is_whole()), None)

    def add(self, fragments: Sequence[ChunkToolCall]) -> list[ToolCallUpdate]:
        """Add the fragments of one delta, and return what each of them changed."""
        updates: list[ToolCallUpdate] = []
        for position, fragment in enumerate(fragments):
            if fragment.id in self._by_id and self._is_repeated(fragment):
                continue
            before = len(self._calls)
            call = self._owner(fragment, position if len(fragments) > 1 else None)
            if call is not None:
                begins = len(self._calls) > before
                if fragment.id and (begins or not call.id):
                    self._by_id.setdefault(fragment.id, []).append(call)
                updates.append(ToolCallUpdate(call, call.add(fragment), begins))
                # An id may come late, and that of a call before it may be said again.
                if fragment.id and (begins or fragment.id == call.id):
                    self._known[fragment.index, fragment.id] = call
        return updates

    def _is_repeated(self, fragment: ChunkToolCall) -> bool:
        """Tell whether a fragment is a call that is known whole: some servers end with all calls.

        Nobody calls a tool twice with one id: the second answer would be that to the first call.
        """
        name, piece = _said_by(fragment)
        # Sizes first, as long arguments would be joined each time.
        return bool(piece) and any(
            call.size == len(piece)
            and call.name == name
            and call.nesting.is_closed
            and call.arguments == piece
            for call in self._by_id[fragment.id or ""][-_MOST_ALIKE:]
        )

    def unsaid(self, calls: Sequence[ChunkToolCall]) -> list[ChunkToolCall] | None:
        """Return what some whole calls add to those known; None if one contradicts another."""
        new: list[ChunkToolCall] = []
        for told in calls:
            name, arguments = _said_by(told)
            known = self._by_id.get(told.id, []) if told.id else self._calls
            same = [call for call in known[-_MOST_ALIKE:] if call.name == name]
            if any(_is_same(call, arguments) for call in same):
                continue
            if told.id and known:
                call = known[-1]
                goes_on = call in same and self._known.get((call.index, told.id)) is call
                if not (goes_on and arguments.startswith(call.pieces.whole())):
                    return None
                told.index = call.index
                told.function = ChunkFunction(name=name, arguments=arguments[call.size :])
            new.append(told)
        return new

    def _owner(self, fragment: ChunkToolCall, position: int | None) -> PartialToolCall | None:
        """Return the call of a fragment, a new one if it begins one; None if that shows later."""
        name, piece = _said_by(fragment)
        call_id = fragment.id or ""
        same = self._known.get((fragment.index, call_id)) if call_id else None
        current = same or self._latest_of(fragment, position)
        if current is None:
            return self._begin(fragment, call_id)

        # None of these signs is enough alone: each of them is sent without meaning by some server.
        is_new_id = bool(call_id and current.id and same is None)
        begins_object = piece.lstrip().startswith("{")
        if current.nesting.is_closed:
            # Nothing can be added to a whole value: another one is that of another call, if it says
            # so at all. Without id and name nobody could answer that call.
            if begins_object:
                fork = bool(name or call_id)
            elif not piece:
                is_new_name = current.is_named and name not in {"", current.name}
                fork = is_new_id or is_new_name  # if nothing follows, it is none
            else:
                fork = is_new_id and bool(name)
        elif is_new_id:
            # Some relays make up an id for each fragment, but give no name with it, or repeat it
            # beside a piece that continues the arguments.
            if name == current.name and current.has_arguments and not piece:
                return None
            fits = current.nesting.admits_object or not begins_object
            repeats = not name or (name == current.name and current.has_arguments)
            fork = not (fits and repeats) or (fragment.index is None and bool(name))
        else:
            # Without a new id, a name that does not fit may be a piece of one, before arguments.
            differs = bool(name and current.name) and not name.startswith(current.name)
            misfits = begins_object and not current.nesting.admits_object
            fork = differs and misfits
        return self._fork(fragment, current) if fork else current

    def _latest_of(self, fragment: ChunkToolCall, position: int | None) -> PartialToolCall | None:
        """Return the call that a fragment goes on with if its id does not tell."""
        if fragment.index is not None:
            return self._latest.get(fragment.index)
        if position is not None and not fragment.id:
            # Several fragments with neither index nor id belong to as many calls, in their order.
            return self._calls[position] if position < len(self._calls) else None
        return self._calls[-1] if self._calls else None

    def _begin(self, fragment: ChunkToolCall, id: str) -> PartialToolCall:
        if len(self._calls) == _MOST_CALLS:
            raise LimitError(f"the answer has more than {_MOST_CALLS} tool calls")
        index = len(self._calls) if fragment.index is None else fragment.index
        if index in self._taken:  # by a fork, which the server knows nothing of
            index = self._free
        self._taken.add(index)
        self._free = max(self._free, index + 1)
        call = PartialToolCall(index, id)
        self._calls.append(call)
        if fragment.index is not None:
            self._latest[fragment.index] = call
        return call

    def _fork(self, fragment: ChunkToolCall, current: PartialToolCall) -> PartialToolCall:
        """Begin another call under an index that is in use."""
        said_before = fragment.id and (fragment.index, fragment.id) in self._known
        own_id = None if said_before else fragment.id
        call = self._begin(fragment, "")
        # Results are matched to calls by their ids, so none stays blank or has another's.
        call.id = own_id or f"{current.id or 'call'}_{call.index}"
        function = fragment.function
        if function and function.arguments and not function.name:
            call.name = current.name  # parallel calls of one tool, whose name was given once
        return call


def _said_by(fragment: ChunkToolCall) -> tuple[str, str]:
    """Return the name and the arguments that a fragment brings."""
    function = fragment.function
    return (function.name or "", function.arguments or "") if function else ("", "")


def _is_same(call: PartialToolCall, arguments: str) -> bool:
    """Tell whether a call has these arguments, however they are written."""
    if max(call.size, len(arguments)) > 2 * min(call.size, len(arguments)) + _MOST_SPACE:
        return False
    try:
        known = msgspec.json.decode(call.arguments)
        return bool(known == msgspec.json.decode(arguments))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return call.arguments == arguments
