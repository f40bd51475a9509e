"""Chunks as the API of OpenAI streams them, for clients that were written for it.

https://platform.openai.com/docs/api-reference/chat-streaming

Its clients need ``object`` and a list of ``choices`` in every chunk. They read an error only where
it is an event without a name, and ``[DONE]`` ends the answer.
"""

from collections.abc import Callable

from zai_async._protocol.events import (
    Finished,
    Reset,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    WebSearch,
)
from zai_async.errors import StreamRestartedError, ZaiError
from zai_async.models import ChatCompletion, Usage
from zai_async.web.encoders import AnswerEncoder
from zai_async.web.frames import DONE, data_frame, to_json
from zai_async.web.openai_replies import head, reason
from zai_async.web.parts import RelayedEvent

__all__ = ["OpenAIEncoder"]


class OpenAIEncoder(AnswerEncoder):
    """Encodes for clients of OpenAI.

    Args:
        model: The name of the model that every chunk repeats.
        head: Tells what is known of the answer, asked once at its first event.
        include_usage: Whether a last chunk without choices tells the token counts.
    """

    protocol = "openai"

    def __init__(
        self,
        model: str = "",
        *,
        head: Callable[[], ChatCompletion | None] = lambda: None,
        include_usage: bool = True,
    ) -> None:
        super().__init__()
        self._model = model
        self._head = head
        self._include_usage = include_usage
        self._usage: Usage | None = None
        # Of every chunk, what stands before its choices; none before the first one.
        self._prefix = b""
        # Readers join calls by their index, and each round of a turn counts from 0.
        self._calls = self._earlier_calls = 0

    def encode(self, event: RelayedEvent) -> bytes:
        """Return the chunk of an event, the first one with the role before it."""
        match event:
            case TextDelta(text):
                return self._delta(b'{"content":%b}' % to_json(text))
            case ThinkingDelta(text):
                return self._delta(b'{"reasoning_content":%b}' % to_json(text))
            case ToolCallStarted(index, id, name):
                index += self._earlier_calls
                self._calls = max(self._calls, index + 1)
                function = {"name": name, "arguments": ""}
                # Its result names a call by its id.
                call = {"index": index, "id": id or f"call_{index}", "type": "function"}
                return self._delta(to_json({"tool_calls": [{**call, "function": function}]}))
            case ToolCallDelta(index, text):
                call = {"index": self._earlier_calls + index, "function": {"arguments": text}}
                return self._delta(to_json({"tool_calls": [call]}))
            case WebSearch(results):
                return self._chunk(b'[],"web_search":%b' % to_json(results))
            case Usage():
                self._usage = event
            case Finished():
                self.finished = event
                self._earlier_calls = self._calls
                usage = event.completion.usage
                self._usage = usage if usage.total_tokens else self._usage
            case Reset(old, new):
                text = "the platform began its answer anew after a part of it had been sent"
                raise StreamRestartedError(text, old_id=old, new_id=new)
            case _:
                pass
        return b""

    def _delta(self, delta: bytes) -> bytes:
        before = b""
        if not self._prefix:
            before = self._chunk(_choice(b'{"role":"assistant","content":""}'))
        return before + self._chunk(_choice(delta))

    def _chunk(self, choices: bytes) -> bytes:
        if not self._prefix:
            # Known with the first event only, and the same for all: encoded once.
            answer = self._head() or ChatCompletion()
            first = head(answer, "chat.completion.chunk", self._model)
            self._prefix = b'data: %b,"choices":' % to_json(first)[:-1]
        return b"%b%b}\n\n" % (self._prefix, choices)

    def _finish(self, finished: Finished) -> bytes:
        ends = reason(finished.outcome, finished.finish_reason)
        end = self._chunk(_choice(b"{}", to_json(ends)))
        if self._include_usage:
            end += self._chunk(b'[],"usage":%b' % to_json(self._usage or Usage()))
        return end + DONE

    def fail(self, error: ZaiError) -> bytes:
        """Return the error in the form that clients raise, and the end."""
        return data_frame(error.to_http().body) + DONE

    def abort(self, reason: str) -> bytes:
        """Return an error: a finish reason would say that the answer is whole."""
        body = {"message": reason, "type": "aborted", "param": None, "code": "aborted"}
        return data_frame({"error": body}) + DONE


def _choice(delta: bytes, reason: bytes = b"null") -> bytes:
    return b'[{"index":0,"delta":%b,"finish_reason":%b}]' % (delta, reason)
