"""Chat completions: scripted answers first, the built-in author after them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from zai_async.testing import _author as author
from zai_async.testing._answer import Answer, Envelope, ScriptedCall, chunks, completion
from zai_async.testing._json import Json
from zai_async.testing._operation import Call, Operation
from zai_async.testing._prose import tokens
from zai_async.testing._reply import STREAM_TYPE, Reply
from zai_async.testing._request import ChatRequest, read_chat
from zai_async.testing._tasks import Tasks

_FIRST_TOKEN = 0.4  # seconds, as is usual for a short prompt
_TOKEN = 1 / 60  # seconds between tokens


@dataclass(slots=True, eq=False)
class _Script:
    answer: Answer
    match: Callable[[Json], bool]
    left: float


class Chat:
    """Script and serve ``chat.completions``."""

    def __init__(self, seed: int, tasks: Tasks) -> None:
        self._seed = seed
        self._tasks = tasks
        self._scripts: list[_Script] = []

    def reply(
        self,
        text: str | None = None,
        *,
        thinking: str | None = None,
        tool_calls: Sequence[ScriptedCall] = (),
        finish_reason: str | None = None,
        usage: Mapping[str, Any] | Literal["counted"] | None = "counted",
        web_search: Sequence[Mapping[str, Any]] = (),
        model: str | None = None,
        times: int | None = 1,
        chunk_size: int | None = None,
        match: Callable[[Json], bool] | None = None,
    ) -> None:
        """Script an answer; answers are used in the order in which they were scripted.

        Args:
            text: The answer, sent exactly as it is; empty when left out.
            thinking: The reasoning before it.
            tool_calls: Calls as ``{"name": ..., "arguments": {...}}``, optionally with an ``id``.
            finish_reason: ``"stop"`` or ``"tool_calls"`` when left out.
            usage: ``"counted"``, a mapping to send as it is, or ``None`` for no usage.
            web_search: Sources, as on the wire.
            model: The model name in the answer, instead of the requested one.
            times: How many requests it answers; ``None`` for every one from now on.
            chunk_size: Characters per delta; about a word when left out.
            match: Answer only requests for whose JSON body this returns true.
        """
        answer = Answer(
            text=text or "",
            thinking=thinking,
            tool_calls=tool_calls,
            finish_reason=finish_reason,
            usage=usage,
            web_search=web_search,
            model=model,
            chunk_size=chunk_size,
        )
        left = math.inf if times is None else times
        self._scripts.append(_Script(answer, match or _any, left))

    def reset(self) -> None:
        """Forget what was scripted."""
        self._scripts.clear()

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        paths = ("paas/v4/chat/completions", "coding/paas/v4/chat/completions")
        later = "paas/v4/async/chat/completions"
        return [
            *(Operation("chat.completions", "POST", path, self.complete) for path in paths),
            Operation("chat.async_completions", "POST", later, self.complete_later),
        ]

    def complete(self, call: Call) -> Reply:
        """Answer one request, whole or as a stream; ``Refusal`` when it is not legal."""
        request = read_chat(call.request.body)
        answer = self._scripted(call.request.json) or author.write(request, self._seed)
        envelope = _envelope(call, request, answer)
        return _stream(answer, envelope) if request.stream else _whole(answer, envelope)

    def complete_later(self, call: Call) -> Reply:
        """Start a task that ends with the answer; ``stream`` is ignored, the model shouted."""
        request = read_chat(call.request.body)
        answer = self._scripted(call.request.json) or author.write(request, self._seed)
        envelope = replace(_envelope(call, request, answer), model=request.model.upper())
        return self._tasks.start(
            call, request.model, request.request_id, completion(answer, envelope)
        )

    def _scripted(self, body: Json) -> Answer | None:
        for script in list(self._scripts):
            if script.left > 0 and script.match(body):
                script.left -= 1
                return script.answer
        return None


def _any(_: Json) -> bool:
    return True


def _envelope(call: Call, request: ChatRequest, answer: Answer) -> Envelope:
    return Envelope(
        id=call.id,
        request_id=request.request_id or call.id,
        created=int(time.time()),
        model=answer.model or request.model,
        prompt_tokens=len(call.request.body) // 4,  # four bytes make about one token
        tool_stream=request.fragments,
        sources_first=request.search is not None and request.search.result_sequence == "before",
    )


def _stream(answer: Answer, envelope: Envelope) -> Reply:
    return Reply(
        pieces=chunks(answer, envelope),
        log_id=envelope.id,
        content_type=STREAM_TYPE,
        latency=_FIRST_TOKEN,
        pause=_TOKEN,
    )


def _whole(answer: Answer, envelope: Envelope) -> Reply:
    written = len(tokens(answer.text)) + len(tokens(answer.thinking or ""))
    return Reply(
        pieces=(msgspec.json.encode(completion(answer, envelope)),),
        log_id=envelope.id,
        latency=_FIRST_TOKEN + written * _TOKEN,
    )
