"""Several keys of one client: each has a window of its own, and calls go where there is room."""

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from zai_async._secrets import Secret
from zai_async._wire import Operation
from zai_async.errors import ZaiError
from zai_async.models import BinaryReply
from zai_async.session.call import Call
from zai_async.session.manager import SessionManager, Sessions
from zai_async.session.settings import Settings

__all__ = ["KeyRing", "KeyRingManager", "manager_for"]

T = TypeVar("T")

_log: Final = logging.getLogger("zai_async")
_DEAD: Final = frozenset({"auth", "account", "billing"})
"""Kinds of errors after which a key is not used any more."""
_ELSEWHERE: Final = _DEAD | {"quota", "throttle"}
"""Kinds of refusals that another key may not meet with."""
_REST: Final = 300.0
"""Seconds that a key rests which is used up until nobody knows when."""
_MOST_IDS: Final = 10_000
"""Tasks and files of which it is remembered whose they are."""
_IDS: Final = ("id", "async_id", "task_id", "batch_id", "file_id", "input_file_id")


class ClientKey(msgspec.Struct):
    """One of the keys."""

    key: Secret
    dead: bool = False
    rests_until: float = -math.inf
    """Seconds since the epoch."""


class KeyRing:
    """The keys of a client and of those derived from it."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        self.states = [ClientKey(key) for key in keys]
        # A task can only be asked about with the key that it was submitted with.
        self._owners: OrderedDict[str, ClientKey] = OrderedDict()

    def owner(self, params: Mapping[str, Any]) -> ClientKey | None:
        """Return the key that the task or file belongs to which a call is about."""
        for name in _IDS:
            found = self._owners.get(str(params.get(name, "")))
            if found is not None:
                return found
        return None

    def remember(self, answer: object, state: ClientKey) -> None:
        """Note whose a task or file is that has been made."""
        for name in _IDS:
            value = getattr(answer, name, None)
            if value:
                self._owners[str(value)] = state
                if len(self._owners) > _MOST_IDS:
                    self._owners.popitem(last=False)

    def refused(self, state: ClientKey, error: ZaiError, now: float) -> None:
        """Note what a refusal says about a key."""
        if error.kind == "quota":
            until = None if error.retry_at is None else error.retry_at.timestamp()
            state.rests_until = now + _REST if until is None else until
        elif error.kind in _DEAD and not state.dead:
            state.dead = True
            name = state.key.fingerprint()
            _log.warning("the API key %s is not used any more: %s", name, error.message)


class KeyRingManager(SessionManager):
    """Makes the calls of a client that has several keys."""

    def __init__(self, settings: Settings, sessions: Sessions, ring: KeyRing) -> None:
        super().__init__(settings, sessions)
        self._ring = ring
        # While there are others, a key that throttles is not waited for: one retry, and on.
        hasty = replace(settings.retry, throttle=replace(settings.retry.throttle, tries=1))
        self._patient: dict[Secret, SessionManager] = {}
        self._hasty: dict[Secret, SessionManager] = {}
        for state in ring.states:
            own = replace(settings, key=state.key)
            self._patient[state.key] = SessionManager(own, sessions)
            self._hasty[state.key] = SessionManager(replace(own, retry=hasty), sessions)

    def derived(self, settings: Settings) -> SessionManager:
        """Return a manager with other settings, the same keys and the same sessions."""
        return KeyRingManager(settings, self.sessions, self._ring)

    async def call(self, operation: Operation[T], params: Mapping[str, Any]) -> T:
        """Make a call with one key after the other, until one may make it."""

        def attempt(manager: SessionManager) -> Coroutine[Any, Any, T]:
            return manager.call(operation, params)

        return await self._with_keys(operation, params, attempt)

    async def fetch(self, operation: Operation[bytes], params: Mapping[str, Any]) -> BinaryReply:
        """Make a call whose answer is no JSON."""

        def attempt(manager: SessionManager) -> Coroutine[Any, Any, BinaryReply]:
            return manager.fetch(operation, params)

        return await self._with_keys(operation, params, attempt)

    def begin(self, operation: Operation[Any], params: Mapping[str, Any]) -> Call:
        """Prepare a call, such as a stream, with the key that has most room."""
        owner = self._ring.owner(params)
        state = owner or self._usable(operation, params, ())[0]
        return self._patient[state.key].begin(operation, params)

    async def _with_keys(
        self,
        operation: Operation[Any],
        params: Mapping[str, Any],
        attempt: Callable[[SessionManager], Coroutine[Any, Any, T]],
    ) -> T:
        ring, tried = self._ring, list[ClientKey]()
        owner = ring.owner(params)
        while True:
            left = [owner] if owner else self._usable(operation, params, tried)
            state = left[0]
            tried.append(state)
            # A file may be read once; what others would send of it is nothing.
            last = len(left) == 1 or operation.upload is not None
            managers = self._patient if last else self._hasty
            try:
                answer = await attempt(managers[state.key])
            except ZaiError as error:
                ring.refused(state, error, self.settings.clock.wall())
                if last or error.kind not in _ELSEWHERE:
                    raise
            else:
                if operation.spends:
                    ring.remember(answer, state)
                return answer

    def _usable(
        self, operation: Operation[Any], params: Mapping[str, Any], tried: Sequence[ClientKey]
    ) -> list[ClientKey]:
        """Return the keys that may be tried, the one with most room first; there is always one."""
        now = self.settings.clock.wall()
        untried = [state for state in self._ring.states if state not in tried]
        able = [state for state in untried if not state.dead and state.rests_until <= now]
        if not able:
            # What the best of the others says is what the caller has to know.
            return [min(untried, key=lambda state: (state.dead, state.rests_until))]
        model = str(params.get("model") or params.get("agent_id") or operation.name)
        queues = self.sessions.queues

        def room(state: ClientKey) -> float:
            settings = self._patient[state.key].settings
            figures = queues.queue_of(settings, model).snapshot()
            paused = figures.paused_until is not None
            limit = figures.limit or 0  # where there is none, there is none for any key
            return -math.inf if paused else limit - figures.in_flight - figures.waiting

        return sorted(able, key=room, reverse=True)


def manager_for(settings: Settings, sessions: Sessions, keys: Sequence[Secret]) -> SessionManager:
    """Return what makes the calls of a client with these keys, of which there is at least one."""
    if len(keys) == 1:
        return SessionManager(settings, sessions)
    return KeyRingManager(settings, sessions, KeyRing(keys))
