"""A handle for work that takes a while: ask about it, wait for it, find it again elsewhere."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar

import anyio
import msgspec

from zai_async._clock import Clock
from zai_async._wire import Operation
from zai_async.errors import (
    APIError,
    Attempt,
    ConfigurationError,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
    Timing,
    ZaiError,
)
from zai_async.models import CallOptions, ParsedFile, Reply
from zai_async.models.tasks import is_known, state_of
from zai_async.tasks.polling import FAMILIES, Family, Pace

__all__ = ["Engine", "OnUpdate", "Task", "Updates"]

T = TypeVar("T")
R = TypeVar("R", bound=Reply)

OnUpdate = Callable[[R], Awaitable[None] | None]

_log = logging.getLogger("zai_async")

# Whatever the client is set to: a question that hangs is a missed one, and asked again in time.
_QUESTION = CallOptions(retries=0, timeout=30.0)
_PATIENCE = 300.0
_LONGEST_BODY = 2000
_THROTTLED = frozenset({"throttle", "overload"})


class Engine(Protocol):
    """What a task knows of the client that it belongs to."""

    @property
    def clock(self) -> Clock:
        """Time and chance."""
        ...

    async def call(self, operation: Operation[T], params: Mapping[str, Any]) -> T:
        """Make a call and return its decoded answer."""
        ...


class Task(Generic[R]):
    """Work that the platform does while nobody waits.

    A handle is small and can be pickled: it leaves its client and its result behind, and
    ``zai.attach(task)`` gives it a client again. Two handles for the same work are equal. However
    many wait with one handle, the platform is asked once in an interval at most.

    Source: https://docs.z.ai/api-reference/video/get-video-status
    """

    def __init__(
        self,
        family: Family[R],
        names: Mapping[str, Any],
        *,
        engine: Engine | None = None,
        model: str | None = None,
        request_id: str | None = None,
        pace: Pace | None = None,
        result: R | None = None,
    ) -> None:
        self.model = model
        self.request_id = request_id
        self.status = ""
        """What the platform said last, in its own words; empty before the first answer."""
        self._family = family
        self._names = dict(names)
        self._engine = engine
        self._pace = pace or Pace(family.schedule)
        self._result = result
        self._error: Exception | None = None
        self._ended = result is not None
        self._oddities: set[str] = set()
        self._attempts: tuple[Attempt, ...] = ()

    @property
    def id(self) -> str:
        """The name of the task."""
        return str(self._names[self._family.key])

    @property
    def done(self) -> bool:
        """Whether the task is known to have ended, well or not; nothing is asked."""
        return self._ended

    def result(self) -> R:
        """Return the result, or raise why the last wait ended without one; nothing is asked.

        Raises:
            TaskError: The task is not known to be done.
        """
        if self._result is not None:
            return self._result
        raise self._error or TaskError("the task is not done; await task.wait()", task=self)

    async def fetch(self) -> R:
        """Ask once how far the task is, and return the answer, its result included if it is done.

        Raises:
            TaskFailedError: It ended without a result.
            ConfigurationError: The handle came from a pickle and has no client yet.
        """
        if self.done:
            return self.result()
        engine = self._attached()
        self._pace.ask(engine.clock.monotonic(), engine.clock.random())
        try:
            return self._read(await self._ask(engine))
        except APIError as error:
            if self._tells_of_failure(error):
                raise self._fail(_failure(self, error)) from error
            raise

    async def _ask(self, engine: Engine) -> R:
        try:
            answer = await engine.call(
                self._family.operation, {**self._names, "options": _QUESTION}
            )
        except ZaiError as error:
            self._attempts = error.attempts
            raise
        self._attempts = answer.attempts
        return answer

    def updates(self, *, patience: float = _PATIENCE) -> "Updates[R]":
        """Follow the task with ``async for``: every answer of the platform, the last one done.

        A question that is throttled, or lost on the way, is asked again later, for ``patience``
        seconds of nothing else; so is one about a new task that is not found, three times.

        Raises:
            TaskFailedError: It ended without a result.
            ZaiError: It cannot be asked about, for longer than ``patience`` seconds or for good.
        """
        return Updates(lambda: self._next(patience), lambda: self.done)

    async def wait(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - the error must name the task
        on_update: OnUpdate[R] | None = None,
        *,
        patience: float = _PATIENCE,
    ) -> R:
        """Wait for the result; the task itself knows nothing of it and goes on in any case.

        Args:
            timeout: Seconds at most; None waits for as long as it takes.
            on_update: Called with every answer; a function or a coroutine function.
            patience: Seconds at most in which every question fails in a way that may pass.

        Raises:
            TaskTimeoutError: The time is over; wait again whenever you like.
            TaskFailedError: The task ended without a result.
            IncompleteError: Its result is a chat answer without a proper end; see ``partial``.
            ZaiError: It cannot be asked about.
        """
        try:
            return await self._wait(timeout, on_update, patience)
        except Exception as error:
            if not self._ended:
                self._error = error
            raise

    async def _wait(
        self,
        timeout: float | None,  # noqa: ASYNC109 - as above
        on_update: OnUpdate[R] | None,
        patience: float,
    ) -> R:
        clock = self._attached().clock
        begun = clock.monotonic()
        with anyio.move_on_after(timeout):
            async for update in self.updates(patience=patience):
                await _tell(on_update, update)
        if not self.done:
            raise self._timeout(timeout, clock.monotonic() - begun)
        return self.result()

    def _timeout(self, timeout: float | None, waited: float) -> TaskTimeoutError:
        error = TaskTimeoutError(f"the task was not done within {timeout:g} s", task=self)
        error.attempts, error.operation = self._attempts, self._family.operation.name
        error.timing = Timing(total=waited)
        return error

    async def _next(self, patience: float) -> R:
        """Return the next answer, however often it takes to ask for it."""
        while True:
            await self._turn()
            try:
                return await self.fetch()
            except ZaiError as error:
                # Another may have found the end meanwhile.
                if error is self._error or not (self.done or self._forgives(error, patience)):
                    raise

    async def _turn(self) -> None:
        """Wait until the next question is due; who asks first puts it off for all others."""
        clock = self._attached().clock
        while not self.done and (wait := self._pace.wait(clock.monotonic())) > 0:
            await clock.sleep(wait)

    def _forgives(self, error: ZaiError, patience: float) -> bool:
        clock = self._attached().clock
        return self._pace.forgives(error, clock.monotonic(), clock.random(), patience)

    def _attached(self) -> Engine:
        if self._engine is None:
            raise ConfigurationError("this task has no client: use zai.attach(task) first")
        return self._engine

    def _tells_of_failure(self, error: APIError) -> bool:
        """Tell whether the task failed, and not the question about it."""
        if self._family.fails_like_refusals and error.kind in _THROTTLED:
            return False
        status: str = getattr(error, self._family.status_field)
        if state_of(status) != "failed":
            return False
        self.status = status
        return True

    def _read(self, answer: R) -> R:
        self.status = getattr(answer, self._family.status_field)
        state = state_of(self.status)
        if state == "failed":
            sentence = f"the task ended as {self.status!r}"
            raise self._fail(_bad_end(self, self._family, answer, sentence))
        if state == "succeeded" and not self._family.has_result(answer):
            sentence = "the task succeeded without a result"
            raise self._fail(_bad_end(self, self._family, answer, sentence))
        self._pace.answered()
        if state == "succeeded":
            self._succeed(answer)
        elif not is_known(self.status):
            self._wonder()
        return answer

    def _succeed(self, answer: R) -> None:
        self._ended = True
        try:
            self._family.judge(answer)
        except ZaiError as error:
            self._error = error
            _tell_how(error, answer, self._family)
            raise
        self._result = answer

    def _fail(self, error: TaskFailedError) -> TaskFailedError:
        self._error, self._ended = error, True
        return error

    def _wonder(self) -> None:
        if self.status not in self._oddities:
            self._oddities.add(self.status)
            _log.warning("%r has the unknown status %.64r; asking on", self, self.status)

    def attached_to(self, engine: Engine) -> Self:
        """Return the same task in the hands of a client; ``zai.attach(task)`` does this."""
        return type(self)(
            self._family,
            self._names,
            engine=engine,
            model=self.model,
            request_id=self.request_id,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._family.name, self._names, self.model, self.request_id)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return self._family.name, self.id

    def __repr__(self) -> str:
        return f"<Task {self._family.name} {self.id!r}>"


class Updates(Generic[R]):
    """The answers of the platform about a task, up to the one that ends it."""

    def __init__(self, ask: Callable[[], Awaitable[R]], is_done: Callable[[], bool]) -> None:
        self._ask = ask
        self._is_done = is_done
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        if self._ended:
            raise StopAsyncIteration
        answer = await self._ask()
        self._ended = self._is_done()
        return answer


def _restored(
    family: str, names: Mapping[str, Any], model: str | None, request_id: str | None
) -> Task[Any]:
    return Task(FAMILIES[family], names, model=model, request_id=request_id)


def _failure(task: Task[Any], error: APIError) -> TaskFailedError:
    """Say that the task failed, for the reason that the platform gives."""
    sentence = f"the task ended as {task.status!r}: {error.message}"
    failure = TaskFailedError(
        error.message if error.code else sentence,
        task=task,
        kind=error.kind if error.code else None,
        code=error.code,
        status_code=error.status_code,
        request_id=error.request_id,
        hint=error.hint if error.code else None,
        body=error.body,
    )
    failure.attempts, failure.operation = error.attempts, error.operation
    failure.timing = error.timing
    return failure


def _bad_end(task: Task[Any], family: Family[Any], answer: Reply, sentence: str) -> TaskFailedError:
    reason = answer.message if isinstance(answer, ParsedFile) else ""
    failure = TaskFailedError(
        f"{sentence}: {reason}" if reason else sentence,
        task=task,
        request_id=answer.request_id,
        body=msgspec.json.encode(answer).decode()[:_LONGEST_BODY],
        partial=answer,
    )
    _tell_how(failure, answer, family)
    return failure


def _tell_how(error: ZaiError, answer: Reply, family: Family[Any]) -> None:
    """Note which question brought the answer that an error is about."""
    error.attempts, error.timing = answer.attempts, answer.timing
    error.operation = family.operation.name


async def _tell(on_update: OnUpdate[R] | None, update: R) -> None:
    result = on_update(update) if on_update is not None else None
    if inspect.isawaitable(result):
        await result
