"""A turn of a conversation with tools: the model is asked and its calls are made until it ends."""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from msgspec.structs import replace

from zai_async._protocol.events import Finished, Reset, TextDelta, ToolCallStarted
from zai_async._threads import never_copied
from zai_async.errors import (
    ConfigurationError,
    DeadlineError,
    RunLimitError,
    StreamConsumedError,
    ToolCallMalformedError,
)
from zai_async.models import (
    CallOptions,
    ChatCompletion,
    Choice,
    MessageParam,
    ToolCall,
    Usage,
)
from zai_async.models.tool_runs import Decision, RunOptions
from zai_async.session import Hooks
from zai_async.streams import ChatStream
from zai_async.streams.combinators import SteadyIterator
from zai_async.streams.views import TextIterator
from zai_async.tools.events import (
    RoundStarted,
    RunEvent,
    RunFinished,
    RunOutcome,
    ToolFinished,
    ToolStarted,
)
from zai_async.tools.execution import RunningCall, run_call
from zai_async.tools.params import read_tools
from zai_async.tools.state import CallIds, RunState, ToolRecord
from zai_async.tools.tool import Tool

__all__ = ["ToolRun"]

_LIMITS: Final = tuple(RunOptions.__annotations__)
_DENIED: Final = "the user has denied this call"
_INTERRUPTED: Final = (
    "the program ended while this call was made, so it is unknown whether it had an effect; "
    "find that out before making it again"
)


class ToolRun:
    """A turn with tools; enter it as a context, and read ``events``, ``text`` or ``completion()``.

    It goes on while it is read: the model is asked when its events are asked for, and tools run in
    the background until the context is left, which cancels those that are not done.

    Raises:
        RunLimitError: The run went on for too long; it can be resumed with other limits.
        BudgetExceededError: The budget is used up.
        DeadlineError: The deadline in ``options``, which is that of the whole run, has passed.
        ZaiError: Asking the model failed, as for a stream.
    """

    __reduce__ = never_copied

    def __init__(
        self,
        ask: Callable[..., ChatStream],
        params: Mapping[str, Any],
        state: RunState | None = None,
        *,
        hooks: Hooks | None = None,
    ) -> None:
        request = dict(params)
        limits = {name: request.pop(name) for name in _LIMITS if name in request}
        self._tools, self._offer = read_tools(request.pop("tools", ()))
        self._options: CallOptions = request.pop("options", None) or CallOptions()
        if "budget" in limits:
            # The budget of the run takes the place of that of a call: all rounds are charged to it.
            self._options = replace(self._options, budget=limits["budget"])
        self._limits = cast("RunOptions", limits)
        self._decisions: dict[str, Decision] = {**request.pop("decisions", {})}
        if state is None:
            ask(**request, **self._offer)  # raises for what no call takes, and sends nothing
            messages = request.pop("messages")
            if isinstance(messages, str):
                messages = [{"role": "user", "content": messages}]
            state = RunState(request=request, messages=[*messages])
        unknown = self._decisions.keys() - {call.id for call in state.pending}
        if unknown:
            raise ConfigurationError(f"no call waits for the decisions about {sorted(unknown)}")
        self.state = state
        """Where the run stands; pickle it or take its ``to_dict()`` to resume it elsewhere."""
        self.errors: list[tuple[ToolCall, Exception]] = []
        """What tools have raised, for your logs."""
        self.outcome: RunOutcome | None = None
        """How the run ended; None while it has not."""
        self._ask_model = ask
        self._hooks = hooks or Hooks()
        self._asking = anyio.Lock()
        self._group: TaskGroup | None = None
        self._ends_at = math.inf
        choice = Choice(message=state.answer, finish_reason="tool_calls") if state.answer else None
        self._completion = ChatCompletion(choices=[choice] if choice else [])
        # One for all who read, so that a read that is cancelled ends the run for none of them.
        self._events = SteadyIterator(self._run())

    @property
    def events(self) -> AsyncIterator[RunEvent]:
        """What happens in all rounds, as a closed union of structs to match on."""
        return self._events

    @property
    def text(self) -> AsyncIterator[str]:
        """The text of all answers, piece by piece."""
        return TextIterator(
            lambda: None,
            self._events.__anext__,
            lambda event: event.text if isinstance(event, TextDelta) else "",
        )

    @property
    def messages(self) -> list[MessageParam]:
        """The messages of this turn, to be appended to the history.

        Every call has its answer there. A round that waits for a decision is not part of it.
        """
        if self.outcome == "pending":
            return [*self.state.turn]
        return [*self.state.turn, *self.state.messages_of_round()]

    @property
    def pending(self) -> RunState | None:
        """The state to resume when somebody has decided about ``pending.pending``."""
        return self.state if self.outcome == "pending" else None

    @property
    def usage(self) -> Usage:
        """The tokens of all rounds so far."""
        return self.state.usage

    async def completion(self) -> ChatCompletion:
        """Go on to the end, and return the last answer.

        Raises:
            StreamConsumedError: The run was closed before its end.
        """
        async for _ in self._events:
            pass
        if self.outcome is None:
            raise StreamConsumedError("the run ended before its end was read")
        return self._completion

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise StreamConsumedError("the run has been entered before")
        # Entered by hand: the group has to live as long as this context and not as a method.
        self._group = await anyio.create_task_group().__aenter__()
        if self._options.deadline is not None:
            self._ends_at = anyio.current_time() + self._options.deadline
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        group = cast("TaskGroup", self._group)
        try:
            # First: a read that was given up may be under way, and would go on with the run when
            # the tools have ended.
            await self._events.aclose()
        finally:
            # Tools that still run belong to nobody once the context is left.
            group.cancel_scope.cancel()
            # What has been raised inside is not wrapped in a group of one.
            await group.__aexit__(None, None, None)

    # The rounds.

    async def _run(self) -> AsyncGenerator[RunEvent, None]:
        if self._group is None:
            raise StreamConsumedError("a run is read inside of 'async with'")
        state = self.state
        while True:
            if state.answer is None:
                self._require_rounds()
                state.rounds += 1
                yield RoundStarted(state.rounds)
                async with aclosing(self._ask()) as events:
                    async for event in events:
                        yield event
                # Counted before its calls are made: a crash in between must not lose what was paid.
                state.usage += self._completion.usage
                state.begin_round(self._completion.message)
                if not state.calls:
                    break
            async with aclosing(self._make_calls(self._group)) as events:
                async for event in events:
                    yield event
            if state.pending:
                break
            # They were made for these calls: servers give the same ids to others later.
            self._decisions.clear()
            state.end_round()
            await self._save()
        if state.pending:
            self.outcome = "pending"
        else:
            state.end_round()
            self.outcome = self._completion.outcome
        yield RunFinished(self.outcome, self._completion, state.rounds, state.usage, state.pending)

    async def _ask(self) -> AsyncGenerator[RunEvent, None]:
        """Yield the events of one answer."""
        state, options = self.state, self._options
        if options.deadline is not None:
            options = replace(options, deadline=max(0.001, self._ends_at - anyio.current_time()))
        # Copies: the request may be sent again while the lists of the state grow.
        params = {**state.request, "messages": [*state.messages, *state.turn], "options": options}
        ids = CallIds(state)
        async with self._ask_model(**params, **self._offer) as stream:
            events = stream.events
            while True:
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                except ToolCallMalformedError:
                    continue  # it is among the calls of the answer, and answered as they are
                # Everybody who hears of a call has to hear of it under the same id.
                if isinstance(event, ToolCallStarted | ToolCall):
                    event = replace(event, id=ids.of(event.index, event.id))
                elif isinstance(event, Reset):
                    ids = CallIds(state)
                elif isinstance(event, Finished):
                    self._completion = event.completion
                    for call in event.completion.tool_calls:
                        call.id = ids.of(call.index, call.id)
                yield event

    def _require_rounds(self) -> None:
        state, limits = self.state, self._limits
        if state.failures >= limits.get("max_failures", 3):
            failed = f"every tool call of {state.failures} rounds in a row has failed"
            raise self._limit("max_failures", failed)
        if state.rounds >= limits.get("max_rounds", 8):
            raise self._limit("max_rounds", f"the model has been asked {state.rounds} times")

    def _limit(self, name: str, reason: str) -> RunLimitError:
        return RunLimitError(
            f"{reason}, and calls tools still",
            limit=name,
            state=self.state,
            partial=self._completion,
        )

    # The calls of a round.

    async def _make_calls(self, group: TaskGroup) -> AsyncGenerator[RunEvent, None]:
        """Make all calls that can be made, and yield what happens in the meantime."""
        # All are looked at before any is made: a call that ends the run must not find others half
        # done.
        ready: list[_ReadyCall] = []
        for record in self.state.calls:
            if record.status == "finished":
                continue
            prepared = self._prepare(record)
            if prepared is None:
                yield _finished(record)
            else:
                ready.append(prepared)

        # Without a bound: a tool must not wait for whoever reads its progress.
        send, receive = anyio.create_memory_object_stream[RunEvent | Exception | None](math.inf)
        with send, receive:
            # One tool that wants to be alone makes all of them wait for each other: which of them
            # it gets along with is not known.
            together = all(call.tool.parallel for call in ready)
            for calls in [[call] for call in ready] if together else [ready]:
                group.start_soon(self._work, calls, send)
            working = len(ready)
            while working:
                try:
                    with anyio.fail_after(self._ends_at - anyio.current_time()):
                        event = await receive.receive()
                except TimeoutError:
                    text = f"the deadline of {self._options.deadline:g} s has passed"
                    raise DeadlineError(text) from None
                if isinstance(event, Exception):
                    raise event
                if event is None:
                    working -= 1
                else:
                    yield event

    def _prepare(self, record: ToolRecord) -> "_ReadyCall | None":
        """Return what a call needs to be made, None after writing down why it is not."""
        call, most = record.call, self._limits.get("max_equal_calls", 3)
        tool = self._tools.get(call.name)
        # It was under way when its process ended. To make it again might pay twice.
        if record.status == "started":
            record.fail("interrupted", _INTERRUPTED)
        elif record.times > most + 1:
            again = f"{call.name!r} has been called {most} times with the same arguments"
            raise self._limit("max_equal_calls", again)
        elif record.times > most:
            again = f"this call has been made {most} times; making it again changes nothing"
            record.fail("repeated", again)
        elif tool is None:
            names = ", ".join(self._tools)
            record.fail("unknown", f"there is no tool {call.name!r}, only: {names}")
        else:
            try:
                return _ReadyCall(record, tool, tool.read(call.arguments))
            except msgspec.DecodeError as error:
                record.fail("invalid", f"the arguments are not valid: {error}")
        return None

    async def _work(
        self,
        calls: Sequence["_ReadyCall"],
        stream: MemoryObjectSendStream[RunEvent | Exception | None],
    ) -> None:
        """Make calls one after the other, and tell what happens."""

        def send(event: RunEvent | Exception | None) -> None:
            # Nobody listens any more when the run has failed.
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                stream.send_nowait(event)

        for call in calls:
            try:
                await self._make_call(call, send)
            except Exception as error:  # noqa: BLE001 - raised where the events are read
                send(error)
            finally:
                if call.record.status == "finished":
                    send(_finished(call.record))
                # In any case, as whoever reads counts these to know when all calls have ended.
                send(None)

    async def _make_call(self, call: "_ReadyCall", send: Callable[[RunEvent], None]) -> None:
        record, tool = call.record, call.tool
        if tool.needs_approval(call.arguments):
            decision = self._decisions.pop(record.call.id, None)
            approve = self._limits.get("approve")
            if decision is None and approve is not None:
                # One question at a time: a person cannot answer several at once.
                async with self._asking:
                    decision = await approve(record.call)
            if decision is None:
                return
            if decision is not True:
                record.fail("denied", decision or _DENIED)
                return
        # Written down and saved before the tool runs: after a crash it is known that it may have
        # had an effect.
        record.status = "started"
        await self._save()
        send(ToolStarted(record.call.id, tool.name))
        expose = self._limits.get("expose_errors", False)
        running = RunningCall(record, send, self._hooks)
        error = await run_call(running, tool, call.arguments, expose_errors=expose)
        if error is not None:
            self.errors.append((record.call, error))
        await self._save()

    async def _save(self) -> None:
        on_checkpoint = self._limits.get("on_checkpoint")
        if on_checkpoint is not None:
            await on_checkpoint(self.state)


class _ReadyCall(NamedTuple):
    """A call that can be made."""

    record: ToolRecord
    tool: Tool[..., Any]
    arguments: dict[str, Any]


def _finished(record: ToolRecord) -> ToolFinished:
    outcome = record.outcome or "cancelled"
    return ToolFinished(record.call.id, record.call.name, outcome, record.content)
