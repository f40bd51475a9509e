"""The UI message stream of the AI SDK, version 1, which ``useChat`` reads.

https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol

What its readers (npm ``ai`` 6 and 7) do with a stream decides about the order here:

* A body that ends without ``finish`` looks like success, so every bad end is an ``error`` part.
* Nothing is read behind ``error``: open parts are closed and the usage is sent before it.
* ``start`` puts an empty message on the page, so it is not sent before the model's first event.
* ``finish-step`` forgets the open parts, so each one is ended before it.
* A page looks at the last step to see whether all calls have their results or approvals, so these
  belong to the step of their call, which stays open until the model goes on.
* An absent field must be absent; ``null`` ends the reading, and so does a part that is unknown.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Self
from uuid import uuid4

import msgspec

from zai_async._protocol.events import (
    Finished,
    Reset,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    WebSearch,
)
from zai_async.errors import StreamRestartedError, ToolCallError, ZaiError
from zai_async.models import ChatCompletion, Outcome, ToolCall, Usage
from zai_async.tools import RoundStarted, RunFinished, ToolFinished, ToolProgress, ToolStarted
from zai_async.web.encoders import AnswerEncoder
from zai_async.web.frames import DONE, EVENT_STREAM, data_frame, to_json
from zai_async.web.parts import (
    DataPart,
    RelayedEvent,
    RelayPart,
    ToolApprovalRequest,
    ToolFailure,
    ToolOutput,
    UrlSource,
)

__all__ = ["UIMessageEncoder"]

_REASONS: Final[Mapping[Outcome, str]] = {
    "completed": "stop",
    "length": "length",
    "context_exceeded": "length",
    "tool_calls": "tool-calls",
    "sensitive": "content-filter",
}
_CUT: Final = "The arguments are incomplete."


class _SentPart(msgspec.Struct, rename="camel"):
    """Of a part that was sent, what tells what is open: other fields may hold what no type can."""

    type: str
    id: Any = None
    tool_call_id: str = ""
    tool_name: str = ""
    input_text_delta: str = ""


class _OpenCall:
    """A tool call whose arguments are being written."""

    def __init__(self, id: str, name: str) -> None:
        self.id = id
        self.name = name
        self.pieces: list[str] = []


class UIMessageEncoder(AnswerEncoder):
    """Encodes for ``useChat``.

    Args:
        message_id: The id of the message on the page; a replay must repeat it, and an answer that
            goes on after a tool of the page takes that of the message it goes on with.
        server_tools: The names of the tools that the server runs itself; the page runs others. All
            those of a run with tools are the server's.
        reasoning: Whether the page sees what the model thinks.
    """

    protocol = "ui-message-v1"
    headers = EVENT_STREAM | {"x-vercel-ai-ui-message-stream": "v1"}

    def __init__(
        self,
        message_id: str | None = None,
        *,
        server_tools: Collection[str] = (),
        reasoning: bool = True,
    ) -> None:
        super().__init__()
        self.message_id = message_id or f"msg-{uuid4().hex}"
        self._server_tools = server_tools
        self._runs_tools = False
        self._reasoning = reasoning
        self._usage: Usage | None = None
        self._numbers = itertools.count(1)
        self._started = self._in_step = False
        # The text or reasoning that is open, and how each of its pieces begins.
        self._open: tuple[str, str] | None = None
        self._prefix = b""
        self._calls: dict[int, _OpenCall] = {}

    @classmethod
    def restored(cls, frames: bytes) -> Self:
        """Return an encoder in which is open what these frames have left open."""
        encoder = cls()
        for line in frames.splitlines():
            if not line.startswith(b"data: {"):
                continue
            part = msgspec.json.decode(line[6:], type=_SentPart)
            kind, _, step = part.type.rpartition("-")
            encoder._started = True
            encoder._in_step = step != "step" or kind == "start"
            if kind in {"text", "reasoning"}:
                encoder._open = None if step == "end" else (kind, part.id)
            elif part.type == "tool-input-start":
                call = _OpenCall(part.tool_call_id, part.tool_name)
                encoder._calls[next(encoder._numbers)] = call
            elif kind == "tool-input":
                encoder._follow_call(step, part)
        return encoder

    def _follow_call(self, step: str, part: _SentPart) -> None:
        for index, call in list(self._calls.items()):
            if call.id == part.tool_call_id:
                call.pieces.append(part.input_text_delta)
                if step != "delta":
                    del self._calls[index]

    def encode(self, event: RelayedEvent) -> bytes:
        """Return the parts of an event, after those that have to come before it."""
        kind = type(event)
        if isinstance(event, TextDelta | ThinkingDelta):
            # Nearly all events are one of these two, and go on with what is open.
            part = "text" if kind is TextDelta else "reasoning"
            if part == "reasoning" and not self._reasoning:
                return b""
            before = b""
            if self._open is None or self._open[0] != part:
                before = self._begin(part)
            return b"%b%b%b}\n\n" % (before, self._prefix, to_json(event.text))
        if isinstance(event, Usage | RoundStarted | ToolStarted):
            self._usage = event if isinstance(event, Usage) else self._usage
            # A run makes all calls of its answers, or tells the model why it has not.
            self._runs_tools = self._runs_tools or isinstance(event, RoundStarted)
            return b""
        if isinstance(event, Finished):
            self.finished = event
            self._usage = _known(event.completion) or self._usage
            return self._close(None)
        if isinstance(event, RunFinished):
            return self._end_run(event)
        is_addition = isinstance(event, RelayPart | DataPart | ToolProgress | ToolFinished)
        begun = self._enter_step(is_addition=is_addition)
        return begun + b"".join(map(data_frame, self._parts_of(event)))

    def _parts_of(self, event: RelayedEvent) -> Iterator[dict[str, Any] | RelayPart]:
        """Yield the parts of every event that is not a piece of text."""
        match event:
            case ToolCallStarted(index, id, name):
                yield from self._close_text()
                call = self._calls[index] = _OpenCall(id or f"call_{index}", name)
                yield {"type": "tool-input-start", **self._named(call.id, name)}
            case ToolCallDelta(index, text):
                call = self._calls[index]
                call.pieces.append(text)
                yield {"type": "tool-input-delta", "toolCallId": call.id, "inputTextDelta": text}
            case ToolCall():
                yield from self._close_text()
                yield self._whole_call(event)
            case WebSearch(results):
                for number, page in enumerate(results, 1):
                    if page.link:
                        place = page.refer or f"source-{number}"
                        yield UrlSource(place, page.link, page.title or None)
            case DataPart(name, data, place, transient):
                extra = {"id": place, "transient": transient}
                yield {
                    "type": f"data-{name}",
                    "data": data,
                    **{k: v for k, v in extra.items() if v},
                }
            case RelayPart() | ToolProgress() | ToolFinished():
                yield _relayed(event)
            case Reset(old, new):
                # What stands on the page cannot be taken back in a way that both readers know.
                text = "the platform began its answer anew after a part of it had been sent"
                raise StreamRestartedError(text, old_id=old, new_id=new)
            case _:
                pass

    # Tool calls.

    def _named(self, id: str, name: str) -> dict[str, Any]:
        """Name a tool call, and say who runs it: a page runs every tool that is not marked."""
        call: dict[str, Any] = {"toolCallId": id, "toolName": name}
        ours = self._runs_tools or name in self._server_tools
        return {**call, "providerExecuted": True} if ours else call

    def _whole_call(self, call: ToolCall) -> dict[str, Any]:
        # By its id, as numbers are given anew in each round of a run.
        index = next((n for n, known in self._calls.items() if known.id == call.id), call.index)
        known = None if index is None else self._calls.pop(index, None)
        named = self._named(known.id if known else call.id, call.name)
        try:
            # As the model wrote it, but in one line: numbers keep their digits.
            raw = msgspec.json.format(call.arguments.strip().encode() or b"{}", indent=-1)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            said = {"input": call.arguments, "errorText": "The arguments are not JSON."}
            return {"type": "tool-input-error", **named, **said}
        return {"type": "tool-input-available", **named, "input": msgspec.Raw(raw)}

    def _drop_calls(self, error: ZaiError | None) -> Iterator[dict[str, Any]]:
        """End the calls that will never be whole: one that stays open waits on the page forever."""
        # Taken first: an error that is raised between two parts must not end a call twice.
        calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            raw = "".join(call.pieces)
            if isinstance(error, ToolCallError) and error.call_id == call.id:
                raw = error.raw
            known = {"input": raw, "errorText": _CUT}
            yield {"type": "tool-input-error", **self._named(call.id, call.name), **known}

    # Text, steps and the message.

    def _begin(self, part: str) -> bytes:
        """Begin a text or a reasoning, after whatever has to end before it."""
        before = self._enter_step() + b"".join(map(data_frame, self._close_text()))
        name = f"{part[0]}{next(self._numbers)}"
        self._open = (part, name)
        self._prefix = f'data: {{"type":"{part}-delta","id":"{name}","delta":'.encode()
        return before + data_frame({"type": f"{part}-start", "id": name})

    def _close_text(self) -> Iterator[dict[str, Any]]:
        if self._open is not None:
            (part, name), self._open = self._open, None
            yield {"type": f"{part}-end", "id": name}

    def _enter_step(self, *, is_addition: bool = False) -> bytes:
        """Begin the message, and a step of it, where that has not happened.

        What is no word of the model's is added to the step that is open, even if it is finished.
        """
        # A result or a request for approval in a step of its own would be looked for in vain.
        begun = b"" if is_addition or self.finished is None else self._end_step()
        if not self._started:
            self._started = True
            begun += data_frame({"type": "start", "messageId": self.message_id})
        if not self._in_step:
            self._in_step, self.finished = True, None
            begun += data_frame({"type": "start-step"})
        return begun

    def _close(self, error: ZaiError | None) -> bytes:
        """End what is open in the step."""
        return b"".join(map(data_frame, [*self._close_text(), *self._drop_calls(error)]))

    def _end_step(self, error: ZaiError | None = None) -> bytes:
        """End what is open, and with it the step."""
        if not self._in_step:
            return b""
        self._in_step = False
        return self._close(error) + data_frame({"type": "finish-step"})

    def _end_run(self, run: RunFinished) -> bytes:
        """Ask for what a run with tools waits for, and end what its tools have told."""
        asks = [ToolApprovalRequest(call.id, call.id) for call in run.pending]
        asked = b"".join(map(self.encode, asks))
        self._usage = run.usage if run.usage.total_tokens else self._usage
        outcome: Outcome = "tool_calls" if run.outcome == "pending" else run.outcome
        self.finished = Finished(outcome, run.completion.finish_reason, run.completion)
        return asked + self._close(None)

    def _metadata(self) -> dict[str, Any]:
        usage = self._usage
        if usage is None:
            return {}
        counts = {  # as the AI SDK names them
            "inputTokens": usage.prompt_tokens,
            "outputTokens": usage.completion_tokens,
            "totalTokens": usage.total_tokens,
            "reasoningTokens": usage.reasoning_tokens,
            "cachedInputTokens": usage.cached_tokens,
        }
        return {"messageMetadata": {"usage": counts}}

    def _finish(self, finished: Finished) -> bytes:
        reason = _REASONS.get(finished.outcome, "other")
        begun = b"" if self._started else self._enter_step()
        begun += self._end_step()
        end = data_frame({"type": "finish", "finishReason": reason, **self._metadata()})
        return begun + end + DONE

    def fail(self, error: ZaiError) -> bytes:
        """Return the ends of what is open, the usage, and the error, behind which none reads."""
        if isinstance(error.partial, ChatCompletion):
            self._usage = _known(error.partial) or self._usage
        ends = self._end_step(error)
        if self._started and self._usage:
            ends += data_frame({"type": "message-metadata", **self._metadata()})
        return ends + data_frame({"type": "error", "errorText": error.to_http().message}) + DONE

    def abort(self, reason: str) -> bytes:
        """Return the ends of what is open, the usage, and the mark of an answer cut on purpose."""
        ends = self._end_step()
        if self._started and self._usage:
            ends += data_frame({"type": "message-metadata", **self._metadata()})
        return ends + data_frame({"type": "abort", "reason": reason}) + DONE


def _relayed(event: RelayPart | ToolProgress | ToolFinished) -> RelayPart:
    """Return a part as it is, and what a tool of the server has told or returned as one."""
    if isinstance(event, RelayPart):
        return event
    if isinstance(event, ToolProgress):
        return ToolOutput(event.call_id, event.data, preliminary=True)
    if event.outcome != "completed":
        return ToolFailure(event.call_id, msgspec.json.decode(event.content)["error"])
    value: Any = event.content  # JSON as the value that it stands for, any other text as it is
    with suppress(msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        # Written here as well: not all that can be read is flat enough for that.
        value = msgspec.Raw(to_json(msgspec.json.decode(event.content)))
    return ToolOutput(event.call_id, value)


def _known(answer: ChatCompletion) -> Usage | None:
    """Return the token counts of an answer, None where the platform has told none."""
    return answer.usage if answer.usage.total_tokens else None
