"""Where a run with tools stands, as data that survives pickle, JSON and another process."""

import json
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from zai_async.errors import ToolCallMalformedError
from zai_async.models import Message, ToolCall, Usage
from zai_async.models.json_object import PlainForm
from zai_async.tools.events import ToolOutcome

__all__ = ["CallIds", "RunState", "ToolRecord"]

_CANCELLED: Final = '{"error":"the call was cancelled"}'


class ToolRecord(PlainForm, Struct, kw_only=True):
    """One tool call of the model, and what has become of it."""

    call: ToolCall
    status: Literal["waiting", "started", "finished"] = "waiting"
    """``waiting`` has had no effect yet, for example because nobody has agreed to it."""
    outcome: ToolOutcome | None = None
    content: str = ""
    """What the model is told."""
    times: int = 1
    """How often the same call was made in this run, this time included."""

    @property
    def message(self) -> dict[str, Any]:
        """The message that answers the call; without one, histories are refused."""
        content = self.content if self.status == "finished" else _CANCELLED
        return {"role": "tool", "tool_call_id": self.call.id, "content": content}

    def finish(self, outcome: ToolOutcome, content: str) -> None:
        """Write down how the call ended."""
        # No server, file or page takes half a character, as names of files in another encoding
        # have it.
        units = content.encode("utf-16-le", "surrogatepass")
        self.content = units.decode("utf-16-le", "replace")
        self.status, self.outcome = "finished", outcome

    def fail(self, outcome: ToolOutcome, reason: str) -> None:
        """Write down why the call has no result, in the form that the model is told."""
        told = json.dumps({"error": reason}, ensure_ascii=False, separators=(",", ":"))
        self.finish(outcome, told)


class RunState(PlainForm, Struct, kw_only=True):
    """Where a run stands: all that is needed to go on with it, except the tools themselves.

    Options of the call, which may hold header fields, are not part of it.
    """

    request: dict[str, Any]
    """What every round is asked with: the model and the like."""
    messages: list[Any]
    """The conversation before the run."""
    turn: list[Any] = field(default_factory=list)
    """The messages of all rounds that are over."""
    answer: Message | None = None
    """The answer whose calls are being worked on."""
    calls: list[ToolRecord] = field(default_factory=list)
    """Those calls. A call that is finished is never made again."""
    rounds: int = 0
    ids: list[str] = field(default_factory=list)
    """The ids of the calls of all answers."""
    counts: dict[str, int] = field(default_factory=dict)
    """How often each call was made, by name and arguments."""
    failures: int = 0
    """The number of rounds in a row in which every call failed."""
    usage: Usage = field(default_factory=Usage)
    """The tokens so far."""

    @property
    def pending(self) -> list[ToolCall]:
        """The calls that wait until somebody agrees to them."""
        return [record.call for record in self.calls if record.status == "waiting"]

    def begin_round(self, answer: Message) -> None:
        """Write down an answer, and what it calls."""
        sent: list[ToolCall] = []
        self.calls = []
        self.ids += [call.id for call in answer.tool_calls]
        for call in answer.tool_calls:
            arguments: dict[str, Any] | None = None  # if they are not one JSON object
            with suppress(ToolCallMalformedError):
                arguments = call.parse()
            if call.name:  # else it is one of the platform's own, which has run already
                given = call.arguments if arguments is None else arguments
                key = f"{call.name} {_canonical(given)}"
                self.counts[key] = self.counts.get(key, 0) + 1
                self.calls.append(ToolRecord(call=call, times=self.counts[key]))
            if arguments is None:
                # Servers that put histories into a template read the arguments, and fail on these.
                empty = replace(call.function, arguments="{}")
                sent.append(replace(call, function=empty))
            else:
                sent.append(call)
        self.answer = replace(answer, tool_calls=sent)

    def end_round(self) -> None:
        """Move the answer and its results to the messages of the turn."""
        failed = bool(self.calls) and all(each.outcome != "completed" for each in self.calls)
        self.failures = self.failures + 1 if failed else 0
        self.turn += self.messages_of_round()
        self.answer, self.calls = None, []

    def messages_of_round(self) -> list[Any]:
        """Return the messages of the round that is not over, with an answer to every call."""
        if self.answer is None:
            return []
        return [self.answer, *(record.message for record in self.calls)]


class CallIds:
    """The ids of the calls of one answer, by which results and decisions find them.

    Servers leave ids out, and give the same ones again in each round. A call keeps its own, unless
    another call of the run has it.
    """

    def __init__(self, state: RunState) -> None:
        self._round = state.rounds
        self._taken = {*state.ids}
        self._given: dict[int | None, str] = {}

    def of(self, index: int | None, id: str) -> str:
        """Return the id of a call, whose place in the answer is known from the first."""
        if index not in self._given:
            own = id
            while not own or own in self._taken:
                own = f"{own or 'call'}_{self._round}_{index or 0}"
            self._taken.add(own)
            self._given[index] = own
        return self._given[index]


def _canonical(arguments: object) -> str:
    """Return the same text for the same arguments, however they are written."""
    try:
        return msgspec.json.encode(arguments, order="sorted").decode()
    except (UnicodeEncodeError, RecursionError):
        return repr(arguments)
