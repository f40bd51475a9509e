"""Gateways of other companies in front of the platform, each with a dialect of its own."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from zai_async.errors import ConfigurationError
from zai_async.providers.platform import explained
from zai_async.providers.provider import Provider

__all__ = ["LOWCODEAPI", "LOWCODEAPI_CODING", "truto"]

# Aliases follow no rule: some have /api, some have not. None of them is to be computed.
_LOWCODEAPI_PATHS = {
    "chat.completions.create": "api/paas/v4/chat/completions",
    "videos.submit": "api/paas/v4/videos/generations",
    "tasks.result": "api/paas/v4/async-result/id?id={id}",
    "images.generate": "api/paas/v4/generate/image",
    "audio.transcriptions.create": "api/paas/v4/audio/transcriptions",
    "tokenizer.count": "paas/v4/tokenizer",
    "web_search.create": "paas/v4/web_search",
    "reader.read": "paas/v4/reader",
    "files.create": "api/paas/v4/files",
    "agents.invoke": "v1/agents",
    "agents.result": "api/v1/agents/async-result",
    "agents.conversation": "api/v1/agents/conversation",
}

LOWCODEAPI = Provider(
    name="lowcodeapi",
    base_url="https://api.lowcodeapi.com/zai",
    paths=MappingProxyType(_LOWCODEAPI_PATHS),
    operations=frozenset(_LOWCODEAPI_PATHS),
    key_variables=("LOWCODEAPI_API_TOKEN",),
    url_variables=("LOWCODEAPI_BASE_URL",),
    key_in="query",
    key_parameter="api_token",
    key_prefix="at_",
    renames=MappingProxyType(
        {
            "tokenizer.count": {"messages": "input"},
            "web_search.create": {"search_query": "query", "count": "max_results"},
            "agents.result": {"async_id": "task_id"},
        }
    ),
    plain_prompts=frozenset({"tokenizer.count"}),
    # Its documentation says "data", its server says "result".
    envelope=("data", "result"),
    statuses=MappingProxyType(
        {"processing": "PROCESSING", "completed": "SUCCESS", "failed": "FAIL"}
    ),
    buffered_streams=True,
    hints=explained(
        "This is LowCodeAPI (provider='lowcodeapi'); its token is no Z.AI key, and the Z.AI key is "
        "kept in its console."
    ),
)
"""LowCodeAPI: an alias for each operation, the token in the query, streams in one piece."""

_LOWCODEAPI_CODING_PATHS = {"chat.completions.create": "api/coding/paas/v4/chat/completions"}

LOWCODEAPI_CODING = msgspec.structs.replace(
    LOWCODEAPI,
    name="lowcodeapi-coding",
    paths=MappingProxyType(_LOWCODEAPI_CODING_PATHS),
    operations=frozenset(_LOWCODEAPI_CODING_PATHS),
    hints=explained(
        "This is the Coding Plan endpoint at LowCodeAPI (provider='lowcodeapi-coding'); its token "
        "is no Z.AI key."
    ),
)
"""The Coding Plan endpoint through LowCodeAPI: chat only, explicit choice."""


_FAMILIES = ("paas/v4", "v1", "monitor")


def truto(integrated_account_id: str, *, resources: Mapping[str, str] | None = None) -> Provider:
    """Describe Truto, which forwards to the Z.AI account that was integrated under this id.

    Every operation takes its path at the platform, below ``custom/``. An operation named in
    ``resources`` takes ``proxy/`` and that resource instead, for example
    ``{"tasks.result": "async_results/{id}"}``: Truto does not publish the names, its console
    shows them.

    Raises:
        ConfigurationError: The id is empty.
    """
    if not integrated_account_id:
        raise ConfigurationError("integrated_account_id must not be empty")
    paths = {name: f"proxy/{resource}" for name, resource in (resources or {}).items()}
    return Provider(
        name="truto",
        base_url="https://api.truto.one",
        families=MappingProxyType({name: f"custom/{name}" for name in _FAMILIES}),
        paths=MappingProxyType(paths),
        key_variables=("TRUTO_API_TOKEN",),
        url_variables=("TRUTO_BASE_URL",),
        query=MappingProxyType({"integrated_account_id": integrated_account_id}),
        envelope=("result",),
        hints=explained("This is Truto (provider=truto(...)); its token is no Z.AI key."),
    )
