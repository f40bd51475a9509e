"""What an answer of the platform is to an agent: parts, usage, and errors."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
    TransportPhase,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
    UserError,
)
from pydantic_ai.messages import (
    FinishReason,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.usage import RequestUsage

from zai_async._codes import Kind
from zai_async.errors import (
    APIError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    ContentPolicyError,
    DeadlineError,
    GenerationFailedError,
    StreamConsumedError,
    StreamStalledError,
    StreamTruncatedError,
    TransportError,
    ZaiError,
)
from zai_async.integrations.pydantic_ai_requests import PROVIDER
from zai_async.models import ChatCompletion, Usage

__all__ = ["FINISH_REASONS", "parts_of", "translated_errors", "usage_of"]

FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_call",
    "sensitive": "content_filter",
    "content_filter": "content_filter",
    "network_error": "error",
}
_TOO_LONG: Final = "1261"
# What refusals of a kind are to an agent, and their status where one came without it, such as
# those inside a stream.
_REFUSALS: Final[Mapping[Kind, tuple[Any, int]]] = {
    "auth": (ModelAuthenticationError, 401),
    "account": (ModelAuthenticationError, 403),
    "permission": (ModelAuthenticationError, 403),
    "billing": (ModelQuotaExceededError, 402),
    "quota": (ModelQuotaExceededError, 429),
    "throttle": (ModelRateLimitError, 429),
    "overload": (ModelOverloadedError, 503),
    "not_found": (ModelNotFoundError, 404),
    "request": (ModelRequestRejectedError, 400),
    "server": (ModelServerError, 500),
}


def parts_of(answer: ChatCompletion, profile: ModelProfile) -> list[ModelResponsePart]:
    """Return the parts of an answer, in the order in which a model works."""
    parts: list[ModelResponsePart] = []
    if answer.thinking:
        parts.append(ThinkingPart(answer.thinking, provider_name=PROVIDER))
    text = answer.text
    # As in a stream.
    if profile.get("ignore_streamed_leading_whitespace", False) and not text.strip():
        text = ""
    if text:
        parts.append(TextPart(text))
    for call in answer.tool_calls:
        # Tools of the platform have no name; it has run them itself.
        if call.name:
            part = ToolCallPart(call.name, call.arguments)
            part.tool_call_id = call.id or part.tool_call_id  # an agent needs one
            parts.append(part)
    return parts


def usage_of(usage: Usage) -> RequestUsage:
    """Return the tokens of an answer."""
    if not usage.prompt_tokens and not usage.completion_tokens:
        # No answer costs nothing: the platform, or what stands before it, did not say.
        return RequestUsage(unmeasured_requests=1)
    return RequestUsage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        details={"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else {},
    )


@contextmanager
def translated_errors(model: str) -> Generator[None]:
    """Raise errors of ours as those that agents know; ours is the cause."""
    try:
        yield
    except StreamConsumedError:
        raise  # the stream was cancelled, or read twice by the program
    except ZaiError as error:
        raise translated(error, model) from error


def translated(error: ZaiError, model: str) -> AgentRunError | UserError:
    """Return an error as agents, fallback models and tracers know it."""
    text = str(error)
    told: AgentRunError | UserError
    match error:
        case BudgetExceededError():
            told = UsageLimitExceeded(text)
        case ConfigurationError() | ClientClosedError():
            told = UserError(text)
        case ContentPolicyError():
            # What agents raise for an answer that was filtered, too.
            told = ContentFilterError(text, body=msgspec.json.encode(body_of(error)).decode())
        case APIError():
            told = refusal(error, model)
        case DeadlineError() | StreamStalledError() | TransportError() | StreamTruncatedError():
            kind = ModelConnectionError
            if isinstance(error, TimeoutError):
                kind = ModelTimeoutError
            unsent = isinstance(error, ConnectError | ConnectTimeoutError)
            in_stream = isinstance(error, StreamTruncatedError | StreamStalledError)
            phase: TransportPhase = "connect" if unsent else "read"
            told = kind(model, text, phase=phase, in_stream=in_stream)
        case GenerationFailedError():
            told = ModelServerError(model, text, in_stream=error.in_stream)
        case _:
            told = UnexpectedModelBehavior(text, body=error.body)
    return told


def refusal(error: APIError, model: str) -> ModelAPIError:
    """Return what the platform refused."""
    category, usual = _REFUSALS.get(error.kind, (None, 500))
    # Agents shorten the history then, or ask a model with a larger context.
    if error.code == _TOO_LONG:
        category = ModelContextWindowExceededError
    status = error.status_code
    # A plan tells a moment, a limit tells seconds.
    wait = error.retry_after
    if wait is None and error.retry_at is not None:
        wait = max(0.0, (error.retry_at - datetime.now(UTC)).total_seconds())
    return ModelHTTPError.for_category(
        category,
        # Some refusals come with 200.
        status_code=status if status is not None and status >= 400 else usual,
        model_name=model,
        body=body_of(error),
        hint=error.hint,
        provider_error_code=error.code,
        provider_error_type=error.kind,
        retry_after=wait,
        in_stream=error.in_stream,
    )


def body_of(error: APIError) -> dict[str, Any]:
    """Return what the platform said, and the id under which its support finds the request."""
    said = {"code": error.code, "message": error.message}
    return {"error": said, "request_id": error.request_id}
