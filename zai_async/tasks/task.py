"""A handle for work that takes a while: poll it, wait for it, find it again elsewhere."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import anyio

from zai_async._clock import Clock
from zai_async._secrets import Secret
from zai_async._wire import Operation
from zai_async.errors import (
    APIError,
    Attempt,
    ConfigurationError,
    ResponseError,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
    Timing,
    ZaiError,
)
from zai_async.errors.repeats import raised_again
from zai_async.models import CallOptions, Reply
from zai_async.models.tasks import STATES, known_state
from zai_async.tasks.answers import (
    failure_of_answer,
    failure_of_poll,
    note_shape,
    require_word_of,
    translated,
    without_secrets,
)
from zai_async.tasks.parsed import parsed_chats
from zai_async.tasks.polling import TASK_TYPES, PollBackoff, TaskType, Updates, check_seconds

__all__ = ["OnUpdate", "Task", "TaskEngine"]

T = TypeVar("T")
R = TypeVar("R", bound=Reply)
E = TypeVar("E", bound=BaseException)

OnUpdate = Callable[[R], Awaitable[None] | None]

# Whatever the client is set to: a poll that hangs is a missed one, and repeated in time.
_POLL_OPTIONS = CallOptions(retries=0, timeout=30.0)
_MAX_POLL_FAILURE = 300.0
_THROTTLED = frozenset({"throttle", "overload"})


class TaskEngine(Protocol):
    """What a task knows of the client that it belongs to."""

    @property
    def clock(self) -> Clock:
        """Time and jitter."""
        ...

    @property
    def origin(self) -> tuple[str, str]:
        """Where the client sends its calls, and a fingerprint of its key."""
        ...

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be repeated in a message."""
        ...

    async def call(self, operation: Operation[T], params: Mapping[str, Any]) -> T:
        """Make a call and return its decoded answer."""
        ...


class Task(Generic[R]):
    """Work that the platform does while nobody waits.

    A handle is small and can be pickled: it leaves its client and its result behind, and
    ``zai.attach(task)`` gives it a client again. Two handles for the same work are equal. However
    many wait with one handle, the platform is polled once in an interval at most. Whatever is
    raised while the handle is used carries it as ``error.task``, a cancellation included.

    Source: https://docs.z.ai/api-reference/video/get-video-status
    """

    def __init__(
        self,
        task_type: TaskType[R],
        names: Mapping[str, Any],
        *,
        engine: TaskEngine | None = None,
        model: str | None = None,
        request_id: str | None = None,
        submitted: bool = False,
        origin: tuple[str, str] | None = None,
        allow: Collection[str] = (),
        result: R | None = None,
    ) -> None:
        self.model = model
        self.request_id = request_id
        self.status = ""
        """What the platform said last, in its own words; empty before the first answer."""
        self._type = task_type
        self._names = dict(names)
        self._engine = engine
        self._origin = origin
        self._allow = tuple(allow)
        self._backoff = PollBackoff(task_type.schedule)
        self._submitted = submitted
        if submitted and engine is not None:
            self._backoff.submitted(engine.clock.monotonic(), engine.clock.random())
        self._result = result
        self._error: Exception | None = None
        self._trace: TracebackType | None = None
        self._ended = result is not None
        self._remark = ""
        self._shapes: set[str] = set()
        self._attempts: tuple[Attempt, ...] = ()

    @property
    def id(self) -> str:
        """The name of the task."""
        return str(self._names[self._type.key])

    @property
    def done(self) -> bool:
        """Whether the task is known to have ended, well or not; nothing is sent."""
        return self._ended

    def result(self) -> R:
        """Return the result, or raise why the last wait ended without one; nothing is sent.

        Raises:
            TaskError: The task is not known to be done.
        """
        if self._result is not None:
            return self._result
        if self._error is not None:
            raise raised_again(self._error, self._trace)
        raise TaskError("the task is not done; await task.wait()", task=self)

    async def fetch(self) -> R:
        """Poll the task once and return the answer, its result included if it is done.

        Raises:
            TaskFailedError: It ended without a result.
            ResponseError: The answer is about another task.
            ConfigurationError: The handle came from a pickle and has no client yet.
        """
        if self._ended:
            return self.result()
        engine = self._attached()
        # Noted before the first await, so that another waiter does not poll as well.
        self._backoff.polled(engine.clock.monotonic(), engine.clock.random())
        try:
            answer = await engine.call(
                self._type.operation, {**self._names, "options": _POLL_OPTIONS}
            )
            self._attempts = vars(answer).get("attempts", ())
            return self._read(answer)
        except BaseException as error:
            # A cancelled poll has no attempts of its own; those of the one before are kept.
            if isinstance(error, ZaiError):
                self._attempts = error.attempts or self._attempts
            if isinstance(error, APIError) and self._tells_of_failure(error):
                raise self._mark(self._end(failure_of_poll(error, self.status))) from error
            self._mark(error)
            raise

    def updates(
        self, *, interval: float | None = None, max_poll_failure: float = _MAX_POLL_FAILURE
    ) -> Updates[R]:
        """Follow the task with ``async for``: every answer of the platform, the last one done.

        A poll that is throttled, lost on the way or answered by a page is repeated later, for
        ``max_poll_failure`` seconds of nothing else; so is one about a new task that is not
        found, three times, and one that tells no status. ``interval`` is as in ``wait``.

        Raises:
            TaskFailedError: It ended without a result.
            ZaiError: It cannot be polled, for longer than ``max_poll_failure`` seconds or for
                good.
        """
        check_seconds(interval=interval, max_poll_failure=max_poll_failure)
        poll = partial(self._next, interval, max_poll_failure, None)
        return Updates(poll, lambda: self._ended, self._mark)

    async def wait(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - the error must name the task
        on_update: OnUpdate[R] | None = None,
        *,
        interval: float | None = None,
        max_poll_failure: float = _MAX_POLL_FAILURE,
    ) -> R:
        """Wait for the result; the task itself knows nothing of it and goes on in any case.

        Args:
            timeout: Seconds at most; None waits for as long as it takes.
            on_update: Called with every answer; a function or a coroutine function.
            interval: Seconds between two polls; None begins with short ones that grow, as the
                type of the task suggests.
            max_poll_failure: Seconds at most in which every poll fails, or is answered, without
                a word about the task.

        Raises:
            TaskTimeoutError: The time is over, or the next poll has to wait for longer, as the
                service asked (``retry_after``); wait again whenever you like.
            TaskFailedError: The task ended without a result.
            IncompleteError: Its result is a chat answer without a proper end; see ``partial``.
            ZaiError: It cannot be polled.
        """
        check_seconds(timeout=timeout, interval=interval, max_poll_failure=max_poll_failure)
        try:
            clock = self._attached().clock
            begun = clock.monotonic()
            with anyio.move_on_after(timeout) as scope:
                while True:
                    update = await self._next(interval, max_poll_failure, scope)
                    ended = self._ended
                    told = on_update(update) if on_update is not None else None
                    if inspect.isawaitable(told):
                        await told
                    if ended:
                        break
            if timeout is None or self._ended:
                return self._result or self.result()
            remark = f"; {self._remark}" if self._remark else ""
            late = TaskTimeoutError(f"the task was not done within {timeout:g} s{remark}")
            late.attempts, late.operation = self._attempts, self._type.operation.name
            late.timing = Timing(total=clock.monotonic() - begun)
            if (pause := self._backoff.asked_until - clock.monotonic()) > 0:
                late.retry_after = pause
                late.hint = f"The next poll is due in {pause:.3g} s."
            raise late  # noqa: TRY301 - it is marked
        except BaseException as error:
            # result() raises what the last wait did, but a cancellation was not about the task.
            if not self._ended and isinstance(error, Exception):
                self._error, self._trace = error, error.__traceback__
            self._mark(error)
            raise

    async def _next(
        self, interval: float | None, max_poll_failure: float, scope: anyio.CancelScope | None
    ) -> R:
        """Return the next answer, however many polls that takes; end the ``scope`` if too many."""
        clock, backoff = self._attached().clock, self._backoff
        known = backoff.asked_until
        while True:
            # Who polls first puts the next poll off for all others, who look again then.
            while not self._ended and (pause := backoff.wait(clock.monotonic(), interval)) > 0:
                # A wait that does not fit does not begin. One that was known before is another
                # matter: whoever waits in a loop, a second each time, would go round at once.
                if scope is not None and backoff.asked_until > known:
                    left = scope.deadline - anyio.current_time()
                    if backoff.asked_until - clock.monotonic() >= left:
                        scope.cancel()
                await clock.sleep(pause)
            try:
                answer = await self.fetch()
            except ZaiError as error:
                if error is self._error:
                    raise
                # Another may have found the end meanwhile.
                now, jitter = clock.monotonic(), clock.random()
                if not self._ended and not backoff.tolerates(error, now, jitter, max_poll_failure):
                    raise
                self._remark = f"the last poll failed: {error.message}"
                continue
            # Whoever answers in the place of a gateway may do so for ever, and knows of no task.
            now = clock.monotonic()
            if self._ended or self.status or backoff.misses(now, now, max_poll_failure):
                return answer
            text = f"no answer told in {max_poll_failure:g} s how far the task is: {self._remark}"
            hint = "It may go on; max_poll_failure sets how long to ask."
            partial = without_secrets(answer, self._attached().secrets)
            raise self._mark(ResponseError(text, partial=partial, hint=hint))

    def _read(self, answer: R) -> R:
        """Note what an answer says, and raise if the task has failed."""
        task_type, engine = self._type, self._attached()
        # The platform's own words first: most polls need no second look.
        status = getattr(answer, task_type.status_field)
        state = STATES.get(status.lower()) or known_state(status)
        if not status or (state == "succeeded" and not task_type.has_result(answer)):
            answer = translated(task_type, answer)
            status = getattr(answer, task_type.status_field)
            state = known_state(status)
        if not status or getattr(answer, task_type.answer_key, "") not in {"", self.id}:
            wall, secrets = engine.clock.wall(), engine.secrets
            require_word_of(self.id, task_type, answer, now=wall, secrets=secrets)
        self.status = status
        if state == "failed" or (state == "succeeded" and not task_type.has_result(answer)):
            how = f"ended as {status!r}" if state == "failed" else "succeeded without a result"
            failure = failure_of_answer(task_type, answer, f"the task {how}", engine.secrets)
            raise self._end(failure)
        self._backoff.answered(status)
        self._remark = ""
        if state != "succeeded":
            if state is None:
                shape = note_shape(self._shapes, self, task_type, answer, engine.secrets)
                self._remark = f"the last answer has {shape}"
            return answer
        # Ended in any case: a result that is judged a failure would be the same at the next poll.
        self._ended = True
        try:
            if task_type.judge is not None:
                task_type.judge(answer, self._allow)
        except ZaiError as error:
            self._error, self._trace = error, None
            error.attempts, error.timing = answer.attempts, answer.timing
            error.operation = task_type.operation.name
            raise
        self._result = answer
        return answer

    def _tells_of_failure(self, error: APIError) -> bool:
        """Tell whether the task failed, and not the poll."""
        # An agent that is busy answers {"status": "failed"} with the code of a refusal.
        if self._type.fails_like_refusals and error.kind in _THROTTLED:
            return False
        status: str = getattr(error, self._type.status_field)
        if not status and (error.status_code is None or error.status_code < 400):
            # Some gateways have no other word for it, and "error" may be about the poll alone.
            about_task = error.status.lower() != "error" or self.id in (error.body or "")
            status = error.status if about_task else ""
        if known_state(status) != "failed":
            return False
        self.status = status
        return True

    def _end(self, failure: TaskFailedError) -> TaskFailedError:
        self._error, self._trace, self._ended = failure, None, True
        return failure

    def _mark(self, error: E) -> E:
        """Tie an error to this task, and say if another gateway or key may be the reason."""
        if getattr(error, "task", None) is not None:
            return error
        # Whoever catches a cancellation, too, can find the task again.
        vars(error)["task"] = self
        if not isinstance(error, ZaiError):
            error.add_note(f"while using {self!r}, which goes on")
        elif self._engine is not None and self._origin not in {None, self._engine.origin}:
            here, there = self._engine.origin, self._origin or ("", "")
            other = "with another key" if here[0] == there[0] else f"at {there[0]}"
            text = f"The task was submitted {other}, and polled at {here[0]}."
            error.hint = f"{error.hint} {text}" if error.hint else text
        return error

    def _attached(self) -> TaskEngine:
        if self._engine is None:
            raise ConfigurationError("this task has no client: use zai.attach(task) first")
        return self._engine

    def attached_to(self, engine: TaskEngine) -> Self:
        """Return the same task in the hands of a client; ``zai.attach(task)`` does this."""
        return type(self)(self._type, self._names, engine=engine, **self._facts)

    @property
    def _facts(self) -> dict[str, Any]:
        """What a handle takes along to another client, or through a pickle."""
        origin = self._origin
        if self._submitted and self._engine is not None:
            origin = self._engine.origin
        return {
            "model": self.model,
            "request_id": self.request_id,
            "origin": origin,
            "allow": self._allow,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._type.name, self._names, self._facts, self._type.schema)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return self._type.name, self.id

    def __repr__(self) -> str:
        return f"<Task {self._type.name} {self.id!r}>"


def _restored(
    task_type: str, names: Mapping[str, Any], facts: Mapping[str, Any], schema: Any = None
) -> Task[Any]:
    known = TASK_TYPES[task_type] if schema is None else parsed_chats(schema)
    return Task(known, names, **facts)
