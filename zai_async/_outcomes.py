"""How a chat answer ended, and which of its ends are failures.

An answer that is cut off, lost by the platform, or without a word in it must never pass for one
that is complete. Source: https://docs.z.ai/api-reference/llm/chat-completion (finish_reason).
"""

from collections.abc import Collection

from zai_async.errors import (
    EmptyAnswerError,
    GenerationFailedError,
    IncompleteError,
    StreamTruncatedError,
)
from zai_async.models import ChatCompletion, Outcome
from zai_async.models.options import outcome_of

__all__ = ["ensure_proper_end", "ensure_success", "judge"]

_SPEECHLESS = frozenset({"completed", "length"})


def judge(answer: ChatCompletion) -> Outcome:
    """Name how an answer ended that is all there is."""
    if not answer.choices or not answer.finish_reason:
        return "truncated" if _says_something(answer) or answer.thinking else "empty"
    outcome = outcome_of(answer.finish_reason)
    if outcome in _SPEECHLESS and not _says_something(answer):
        return "empty"
    return outcome


def ensure_proper_end(answer: ChatCompletion, allow: Collection[str] = ()) -> Outcome:
    """Return the outcome of an answer, or raise if it is none that one can use.

    Raises:
        StreamTruncatedError: The answer stops without a finish reason.
        GenerationFailedError: The platform lost the generation.
        EmptyAnswerError: The answer has no content.
    """
    outcome = judge(answer)
    if outcome in allow:
        return outcome
    error = _failure(outcome, answer)
    if error is None:
        return outcome
    error.partial = answer
    error.request_id = answer.request_id or answer.id or None
    raise error


def ensure_success(outcome: Outcome, allow: Collection[str] = ()) -> Outcome:
    """Return how a stream beside chat ended, or raise if that is a failure.

    Raises:
        GenerationFailedError: The platform lost the generation, or says that it has failed.
        EmptyAnswerError: Not a single event came.
    """
    if outcome == "network_error" and outcome not in allow:
        raise GenerationFailedError("the platform lost the generation half-way")
    if outcome == "empty" and outcome not in allow:
        raise EmptyAnswerError("the stream ended without a single event")
    return outcome


def _failure(outcome: Outcome, answer: ChatCompletion) -> IncompleteError | None:
    if outcome == "truncated":
        return StreamTruncatedError("the answer stops without a finish reason")
    if outcome == "network_error":
        return GenerationFailedError("the platform lost the generation half-way")
    return _empty(answer) if outcome == "empty" else None


def _empty(answer: ChatCompletion) -> EmptyAnswerError:
    what = "holds only reasoning" if answer.thinking else "holds nothing"
    hint = None
    if answer.finish_reason == "length":
        hint = "Reasoning used up max_tokens; raise max_tokens or lower the thinking effort."
    return EmptyAnswerError(f"the answer {what}", hint=hint)


def _says_something(answer: ChatCompletion) -> bool:
    message = answer.message
    return bool(message.text.strip() or message.tool_calls or message.audio)
