"""Keywords that an operation does not have, and what their author may have meant."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

from zai_async._wire.operation import Operation

__all__ = ["KEYWORDS_ELSEWHERE", "KEYWORDS_OF_CLIENT", "misuse", "misused_client"]

_RELAY: Final = "; a relay that does takes it in extra={...}"

KEYWORDS_ELSEWHERE: Final[Mapping[str, str]] = {
    "api_key": "the key belongs to the client, AsyncZai(api_key=...)",
    "base_url": "the address belongs to the client, AsyncZai(base_url=...)",
    "extra_body": "body fields newer than this package are extra={...}",
    "extra_headers": "header fields are options=CallOptions(headers={...})",
    "extra_query": "no operation here takes a query of the caller's own; see zai.request()",
    "frequency_penalty": f"the platform knows no penalties{_RELAY}",
    "function_call": "functions are called tools: tool_choice=...",
    "functions": "functions are called tools: tools=[...]",
    "headers": "header fields are options=CallOptions(headers={...})",
    "logit_bias": f"the platform knows no logit_bias{_RELAY}",
    "logprobs": f"the platform returns no logprobs{_RELAY}",
    "max_completion_tokens": "it is called max_tokens here, and includes the thinking",
    "max_output_tokens": "it is called max_tokens here, and includes the thinking",
    "max_retries": "retries are options=CallOptions(retries=...)",
    "n": "the platform writes one answer for each request: call it n times",
    "parallel_tool_calls": "the model decides how many tools it calls at once",
    "presence_penalty": f"the platform knows no penalties{_RELAY}",
    "prompt": "the question goes into messages, which may be a plain string",
    "proxies": "the proxy belongs to the client, AsyncZai(proxy=...)",
    "retries": "retries are options=CallOptions(retries=...)",
    "stop_sequences": "it is called stop here",
    "stream": "stream() is a method of its own, where an operation can be streamed",
    "stream_options": "every stream tells its usage; relays that must be asked take extra={...}",
    "system": "instructions are a message with the role system",
    "timeout": "time limits are options=CallOptions(timeout=..., deadline=...)",
    "top_k": f"the platform knows top_p only{_RELAY}",
    "user": "it is called user_id here",
}
"""What to say about keywords of other SDKs; putting them into ``extra`` would do nothing."""


KEYWORDS_OF_CLIENT: Final[Mapping[str, str]] = {
    "api_key": "a client for another key is another AsyncZai(api_key=...)",
    "base_url": "a client for another address is another AsyncZai(base_url=...)",
    "custom_headers": "header fields are headers={...}",
    "deadline": "a deadline belongs to a call, options=CallOptions(deadline=...)",
    "default_headers": "header fields are headers={...}",
    "disable_token_cache": "the key itself is sent, unless auth='jwt' asks for tokens",
    "http_client": "a session of your own is session=aiohttp.ClientSession(...)",
    "max_retries": "retries are retry=RetryPolicy(retries=...)",
    "model": "the model belongs to a call",
    "organization": "the platform knows no organizations",
    "provider": "a client for another gateway is another AsyncZai(provider=...)",
    "retries": "retries are retry=RetryPolicy(retries=...)",
}
"""The same for the settings of a client."""


def misused_client(name: str, unknown: Collection[str]) -> TypeError:
    """Name the settings that a client does not have."""
    hints = [KEYWORDS_OF_CLIENT[each] for each in sorted(unknown) if each in KEYWORDS_OF_CLIENT]
    text = f"{name}() got an unexpected keyword: {', '.join(sorted(unknown))}"
    return TypeError("; ".join([text, *hints]))


def misuse(operation: Operation[Any], params: Mapping[str, Any]) -> TypeError:
    """Name the keywords that are unknown, or else those that are missing."""
    unknown = sorted(params.keys() - operation.keywords)
    if not unknown:
        names = ", ".join(sorted(operation.required - params.keys()))
        return TypeError(f"{operation.name}() misses a keyword: {names}")
    hints: list[str] = []
    for name in unknown:
        similar = get_close_matches(name, operation.keywords, 1, 0.8)
        if name in KEYWORDS_ELSEWHERE:
            hints.append(KEYWORDS_ELSEWHERE[name])
        elif similar:
            hints.append(f"did you mean {similar[0]}?")
    if len(hints) < len(unknown):
        hints.append("a field newer than this package goes into extra={...}")
    return TypeError(
        f"{operation.name}() got an unexpected keyword: {', '.join(unknown)}; {'; '.join(hints)}"
    )
