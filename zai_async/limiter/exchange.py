"""One window for several processes: what they say to each other, and what is kept between them.

A process reports what has happened to its requests and hears which of them may go. Whoever keeps a
``SharedWindow`` where all of them reach it - in a file, a database, an actor of a cluster - makes
one window of theirs, with everything that it learns. It is a state machine like the window inside.

A process that has not been heard of for a while is over, and so are its requests.
"""

import io
import math
import pickle
from typing import Final, Literal

import msgspec

from zai_async.limiter.settings import Limits
from zai_async.limiter.trials import Refusal
from zai_async.limiter.window import QueueEntry, Snapshot, Window

__all__ = ["HEARTBEAT", "SharedWindow", "WindowEvent", "WindowReply", "WindowReport"]

_LEASE: Final = 15.0
HEARTBEAT: Final = 5.0
"""Seconds after which a process is heard of at the latest while it has requests."""
_QUESTION, _RAREST_QUESTION = 0.01, 0.25
"""Seconds for each process that shares the window between two questions of one that waits."""


class WindowEvent(msgspec.Struct, frozen=True, array_like=True):
    """Something that has happened to a request of a process."""

    request: int
    """Its number in that process."""
    what: Literal["asked", "kept", "passed", "refused", "ended"]
    """It wants a permit; it has one from before the window was lost; how it went; it is over."""
    tokens: float = 0.0
    """Tokens it is expected to use; at its end, how many more they were."""
    kind: Refusal = "unknown"
    """What the refusal claims to be about."""
    rest: float = 0.0
    """Seconds that the server asks to wait."""
    jitter: float = 0.0
    """What spreads the pauses of several processes, in [0, 1)."""
    background: bool = False
    """Whether it lets others go first, those of other processes as well."""


class WindowReport(msgspec.Struct, frozen=True):
    """What a process has to say about its requests."""

    member: str
    """The process: a name by chance, and another one after a fork."""
    limits: Limits
    """What its user has said; the first who reports makes the window."""
    number: int
    """One more than the last report whose reply has come; the same one again counts once."""
    complete: bool
    """Whether the events tell of all requests that the process has."""
    events: tuple[WindowEvent, ...]


class WindowReply(msgspec.Struct, frozen=True):
    """What the window has to say to a process."""

    known: bool
    """False if there is nothing about the process: its next report has to tell everything."""
    granted: tuple[int, ...] = ()
    """Requests that may go."""
    suspects: tuple[int, ...] = ()
    """Those of them that are refused again and again while others pass."""
    ask_in: float = HEARTBEAT
    """Seconds after which there may be news for those that wait."""
    limit: int | None = None
    in_flight: int = 0
    waiting: int = 0
    rejected: int = 0
    paused_for: float | None = None
    """Seconds until the next request goes out; None when nothing is paused."""


class _Member(msgspec.Struct):
    """A process."""

    heard_at: float
    entries: dict[int, QueueEntry] = {}
    report: int = 0
    """The number of the last one."""
    granted: list[int] = []
    """Requests that may go, until a further report proves that the process knows."""
    told: int = 0
    """How many of them the last reply has named."""


class SharedWindow:
    """The window that several processes share, for whoever keeps it between them.

    ``exchange`` is to be called for one process after the other.

    Args:
        limits: As the first of them has them.
    """

    def __init__(self, limits: Limits) -> None:
        self._begin(limits)

    def _begin(self, limits: Limits) -> None:
        self._window = Window(limits)
        self._members: dict[str, _Member] = {}
        self._owners: dict[QueueEntry, tuple[_Member, int]] = {}
        self._now = -math.inf

    @property
    def members(self) -> list[str]:
        """The processes that have requests."""
        return list(self._members)

    @property
    def figures(self) -> Snapshot:
        """The window of all processes, as it is now."""
        return self._window.snapshot()

    def exchange(self, report: WindowReport, now: float) -> WindowReply:
        """Learn what has happened in a process, and tell which of its requests may go.

        ``now`` is in seconds on a clock that is the same for all of them.
        """
        if now < self._now - _LEASE:
            self._begin(report.limits)  # another clock: the machine has been started again
        self._now = now = max(now, self._now)
        for name, other in tuple(self._members.items()):
            if now > other.heard_at + _LEASE:
                self.drop(name)
        member = self._members.get(report.member)
        if member is None:
            if not report.complete:
                return WindowReply(known=False)
            member = self._members[report.member] = _Member(now)
        member.heard_at = now
        if report.number != member.report:
            member.report = report.number
            del member.granted[: member.told]
            for event in report.events:
                self._apply(member, event, now)
        for entry in self._window.admit(now):
            owner, request = self._owners[entry]
            owner.granted.append(request)
        member.told = len(member.granted)
        reply = self._reply(member, now)
        if not member.entries:
            del self._members[report.member]
        return reply

    def drop(self, member: str) -> None:
        """Take the permits of a process back that has ended; again is harmless."""
        gone = self._members.pop(member, None)
        for entry in () if gone is None else gone.entries.values():
            self._window.released(entry)
            del self._owners[entry]

    def _apply(self, member: _Member, event: WindowEvent, now: float) -> None:
        request, entry = event.request, member.entries.get(event.request)
        if entry is None:
            if event.what == "asked":
                entry = self._window.request(tokens=event.tokens, background=event.background)
            elif event.what == "kept":
                entry = self._window.adopt(now)
            else:
                self._window.correct_tokens(event.tokens)  # known after the end only
                return
            member.entries[request] = entry
            self._owners[entry] = member, request
        elif event.what == "passed":
            self._window.accepted(entry)
        elif event.what == "refused":
            rest, jitter = event.rest, event.jitter
            self._window.rejected(entry, now, event.kind, jitter=jitter, rest=rest)
        else:
            self._window.released(entry)
            self._window.correct_tokens(event.tokens)
            del member.entries[request], self._owners[entry]

    def _reply(self, member: _Member, now: float) -> WindowReply:
        moment = self._window.next_at(now)
        own = HEARTBEAT if moment is None else max(moment - now, 0.0)
        # What others give back is news as well, which nobody brings.
        others = len(self._members) - 1
        question = min(_QUESTION * (others + 1), _RAREST_QUESTION) if others else HEARTBEAT
        figures = self._window.snapshot()
        paused = figures.paused_until
        granted = tuple(each for each in member.granted if each in member.entries)
        return WindowReply(
            known=True,
            granted=granted,
            suspects=tuple(each for each in granted if member.entries[each].suspect),
            ask_in=min(own, question, HEARTBEAT),
            limit=figures.limit,
            in_flight=figures.in_flight,
            waiting=figures.waiting,
            rejected=figures.rejected,
            paused_for=None if paused is None else max(paused - now, 0.0),
        )

    def to_bytes(self) -> bytes:
        """Return everything, for a store that keeps bytes; read by the same version only."""
        return pickle.dumps(self, protocol=5)

    @classmethod
    def from_bytes(cls, data: bytes) -> "SharedWindow":
        """Read what ``to_bytes()`` has written.

        Raises ValueError for anything else; nothing but the parts of a window is ever made.
        """
        try:
            window = _WindowUnpickler(io.BytesIO(data)).load()
        except Exception as error:  # noqa: BLE001 - pickle raises whatever it stumbles over
            raise ValueError(f"not a shared window: {error}") from None
        if not isinstance(window, cls):
            raise ValueError(f"not a shared window, but {type(window).__name__}")  # noqa: TRY004
        return window


_CONTAINERS: Final = {
    ("collections", "deque"),
    ("collections", "OrderedDict"),
    ("msgspec._utils", "rebuild"),
}
"""What a window needs besides the classes of this package; the last makes structs of them."""


class _WindowUnpickler(pickle.Unpickler):
    """Makes what a window consists of, and refuses everything else."""

    def find_class(self, module: str, name: str) -> object:
        """Return a class of this package, or something to put its instances into."""
        ours = module.startswith("zai_async.limiter.") and "." not in name
        if ours or (module, name) in _CONTAINERS:
            found: object = super().find_class(module, name)
            # What a module imports stands in it, too, and would lead to everything else.
            if not ours or (isinstance(found, type) and found.__module__ == module):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a window")
