"""Chat completions: scripts first, the built-in author next."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from zai_async.testing.emulator import author
from zai_async.testing.emulator.chat_request import ReceivedChat, read_chat
from zai_async.testing.emulator.completion import (
    QUIRKS,
    AnswerEnvelope,
    ModelAnswer,
    Quirk,
    ScriptedCall,
    chunks,
    completion,
)
from zai_async.testing.emulator.operation import OperationCall, Route
from zai_async.testing.emulator.prose import token_count
from zai_async.testing.emulator.reply import STREAM_TYPE, PlannedReply
from zai_async.testing.emulator.requests import Json
from zai_async.testing.emulator.tasks import TaskHandlers

_FIRST_TOKEN = 0.4  # seconds, as is usual for a short prompt
_TOKEN = 1 / 60  # seconds between tokens


@dataclass(slots=True, eq=False)
class _Script:
    answer: ModelAnswer
    match: Callable[[Json], bool] | None
    left: float


class ChatHandlers:
    """Script and serve ``chat.completions``.

    ``quirks`` applies to every answer, whoever writes it; see ``reply`` for their names.
    """

    def __init__(self, seed: int, tasks: TaskHandlers) -> None:
        self._seed = seed
        self._tasks = tasks
        self.reset()

    def reset(self) -> None:
        """Forget what was scripted."""
        self._scripts: list[_Script] = []
        self.quirks: Iterable[Quirk] = ()

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
        quirks: Iterable[Quirk] = (),
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
            quirks: Deviations that other servers show. In any answer: ``"reasoning"`` (this name
                instead of ``reasoning_content``), ``"reasoning_details"`` (a list beside it),
                ``"unknown_fields"``, ``"mcp_type"`` (tool calls of this type). In streams:
                ``"message_for_delta"``, ``"id_changes"`` (in the middle), and for tool calls
                ``"one_index"`` (0 for all), ``"descending_indices"``, ``"repeated_ids"``,
                ``"arguments_first"`` (id and name come last), ``"split_names"``.
        """
        answer = ModelAnswer(
            text=text or "",
            thinking=thinking,
            tool_calls=tool_calls,
            finish_reason=finish_reason,
            usage=usage,
            web_search=web_search,
            model=model,
            chunk_size=chunk_size,
            quirks=checked_quirks(quirks),
        )
        self._scripts.append(_Script(answer, match, math.inf if times is None else times))

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        # The Coding Plan has a path of its own, with the same body; asynchronous chats are
        # documented for bigmodel and answered at both.
        paths = ("paas/v4/chat/completions", "coding/paas/v4/chat/completions")
        later = "paas/v4/async/chat/completions"
        return [
            *(Route("chat.completions", "POST", path, self.complete) for path in paths),
            Route("chat.async_completions", "POST", later, self.complete_later),
        ]

    def complete(self, call: OperationCall) -> PlannedReply:
        """Answer one request, whole or as a stream; ``Refusal`` when it is not legal."""
        request = read_chat(call)
        answer, envelope = self._answer(call, request)
        if request.stream:
            return PlannedReply(
                pieces=chunks(answer, envelope),
                log_id=call.id,
                content_type=STREAM_TYPE,
                latency=_FIRST_TOKEN,
                pause=_TOKEN,
            )
        # A whole answer comes when its last token would have come in a stream.
        written = token_count(answer.text) + token_count(answer.thinking or "")
        return call.reply(completion(answer, envelope), _FIRST_TOKEN + written * _TOKEN)

    def complete_later(self, call: OperationCall) -> PlannedReply:
        """Start a task that ends with the answer; ``stream`` is ignored."""
        request = read_chat(call)
        answer, envelope = self._answer(call, request)
        # Recorded live: the result names the model in capitals, the answer to the request does not.
        result = completion(answer, replace(envelope, model=request.model.upper()))
        return self._tasks.start(call, request.model, request.request_id, result)

    def _answer(
        self, call: OperationCall, request: ReceivedChat
    ) -> tuple[ModelAnswer, AnswerEnvelope]:
        # The first script that fits wins, so a general one goes last.
        for script in self._scripts:
            if script.left > 0 and (script.match is None or script.match(call.request.json)):
                script.left -= 1
                answer = script.answer
                break
        else:
            answer = author.write(request, self._seed)
        answer = replace(answer, quirks=answer.quirks | checked_quirks(self.quirks))
        envelope = AnswerEnvelope(
            id=call.id,
            request_id=request.request_id or call.id,
            created=int(time.time()),
            model=answer.model or request.model,
            prompt_tokens=len(call.request.body) // 4,  # four bytes make about one token
            tool_stream=request.fragments,
            sources_first=request.search is not None and request.search.result_sequence == "before",
        )
        return answer, envelope


def checked_quirks(quirks: Iterable[Quirk]) -> frozenset[Quirk]:
    """Return the quirks, ``ValueError`` for one that is unknown."""
    chosen = frozenset(quirks)
    if unknown := chosen - QUIRKS:
        known = ", ".join(sorted(QUIRKS))
        raise ValueError(f"unknown quirks: {', '.join(sorted(unknown))}; known are {known}")
    return chosen
