"""Keywords of OpenAI, which frameworks pass on, as keywords of ours."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from zai_async.models import CallOptions
from zai_async.web.openai_requests import chat_request

__all__ = ["call_options", "chat_keywords"]

# What a counterpart is looked for of; what is not named here is taken for a keyword of ours.
_OF_OPENAI: Final = frozenset(
    {
        "model",
        "messages",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "seed",
        "reasoning_effort",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "n",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "functions",
        "function_call",
        "modalities",
        "web_search_options",
    }
)
# They mean nothing here: they steer a store, a cache or a service class of OpenAI.
_MEANINGLESS: Final = frozenset(
    {
        "user",
        "store",
        "stream",
        "stream_options",
        "service_tier",
        "prompt_cache_key",
        "safety_identifier",
        "metadata",
    }
)


def chat_keywords(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of ``zai.chat.completions`` for those of OpenAI and some of ours.

    Raises:
        RefusedRequestError: A field is wrong, or cannot be obeyed.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    theirs = {name: given.pop(name) for name in _OF_OPENAI & given.keys()}
    # The switch that the platform has for it; GLM-5.3 always thinks, and is asked for little.
    if theirs.get("reasoning_effort") == "none" and "glm-5.3" not in theirs["model"]:
        del theirs["reasoning_effort"]
        given.setdefault("thinking", {"type": "disabled"})
    ours = {name: value for name, value in given.items() if name not in _MEANINGLESS}
    return chat_request(theirs).params | ours


def call_options(
    given: CallOptions | None, *, timeout: float | None, retries: int | None
) -> CallOptions:
    """Return the options of a call with what a framework wants of it besides."""
    options = given or CallOptions()
    # An answer whose tokens all went into thinking has an end that frameworks know.
    changes: dict[str, Any] = {"allow": {*options.allow, "length"}}
    if timeout is not None:
        changes["timeout"] = timeout
    if retries is not None:
        changes["retries"] = retries
    return msgspec.structs.replace(options, **changes)
