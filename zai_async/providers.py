"""Gateways as data: where they are, how they want the key, and what they name differently.

Sources: https://docs.z.ai/api-reference/introduction, https://docs.z.ai/devpack/overview and
https://docs.bigmodel.cn/cn/api/introduction.
"""

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from zai_async.errors import ConfigurationError

__all__ = [
    "BIGMODEL",
    "BIGMODEL_CODING",
    "PROVIDERS",
    "ZAI",
    "ZAI_CODING",
    "Provider",
    "resolve_provider",
]

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one gateway; make your own for a gateway that is not listed.

    Endpoint paths begin with a family (``paas/v4`` or ``v1``); ``families`` says where below
    ``base_url`` each family lives.
    """

    name: str
    """What ``AsyncZai(provider=...)`` and hints call it."""
    base_url: str
    """Address that the families hang below, without a trailing slash."""
    families: Mapping[str, str] = MappingProxyType({"paas/v4": "paas/v4", "v1": "v1"})
    """Path prefix of each family of endpoints."""
    key_variables: tuple[str, ...] = ("ZAI_API_KEY",)
    """Environment variables that may hold the key, first one first."""
    url_variables: tuple[str, ...] = ("ZAI_BASE_URL",)
    """Environment variables that may hold another base URL."""
    key_in: Literal["header", "query"] = "header"
    """Whether the key travels as a bearer token or as a query parameter."""
    key_parameter: str = "api_token"
    """Name of that query parameter."""
    operations: frozenset[str] | None = None
    """Operations that exist here; None means all."""
    hints: Mapping[str, str] = _NOTHING
    """What to say about an error kind that has a special meaning here."""


_ELSEWHERE = (
    "Other endpoints: provider='zai' (general balance), 'zai-coding' (Coding Plan), "
    "'bigmodel' and 'bigmodel-coding' (mainland accounts)."
)

ZAI = Provider(
    name="zai",
    base_url="https://api.z.ai/api",
    hints=MappingProxyType(
        {
            "billing": f"This is the general endpoint (provider='zai'). {_ELSEWHERE}",
            "auth": f"This is the general endpoint (provider='zai'). {_ELSEWHERE}",
        }
    ),
)
"""The general endpoint of Z.AI, paid from the balance."""

_CODING = frozenset({"chat.completions.create", "models.list"})

ZAI_CODING = Provider(
    name="zai-coding",
    base_url="https://api.z.ai/api",
    families=MappingProxyType({"paas/v4": "coding/paas/v4"}),
    operations=_CODING,
    hints=MappingProxyType(
        {
            "billing": f"This is the Coding Plan endpoint (provider='zai-coding'). {_ELSEWHERE}",
            "auth": f"This is the Coding Plan endpoint (provider='zai-coding'). {_ELSEWHERE}",
            "human": "The Coding Plan may only be used from the tools that its policy lists.",
        }
    ),
)
"""The Coding Plan endpoint of Z.AI: chat only, explicit choice, never a fallback."""

BIGMODEL = Provider(
    name="bigmodel",
    base_url="https://open.bigmodel.cn/api",
    key_variables=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    url_variables=("ZHIPUAI_BASE_URL",),
    hints=MappingProxyType(
        {
            "billing": f"This is open.bigmodel.cn (provider='bigmodel'). {_ELSEWHERE}",
            "auth": f"This is open.bigmodel.cn (provider='bigmodel'). {_ELSEWHERE}",
        }
    ),
)
"""The platform for mainland accounts."""

BIGMODEL_CODING = Provider(
    name="bigmodel-coding",
    base_url="https://open.bigmodel.cn/api",
    families=MappingProxyType({"paas/v4": "coding/paas/v4"}),
    key_variables=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    url_variables=("ZHIPUAI_BASE_URL",),
    operations=_CODING,
    hints=MappingProxyType(
        {
            "billing": (
                f"This is the Coding Plan endpoint (provider='bigmodel-coding'). {_ELSEWHERE}"
            ),
            "auth": f"This is the Coding Plan endpoint (provider='bigmodel-coding'). {_ELSEWHERE}",
        }
    ),
)
"""The Coding Plan endpoint for mainland accounts."""

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {provider.name: provider for provider in (ZAI, ZAI_CODING, BIGMODEL, BIGMODEL_CODING)}
)

_CHAT_ROOTS = ("/coding/paas/v4", "/paas/v4")


def resolve_provider(provider: str | Provider, base_url: str | None = None) -> Provider:
    """Return the provider of this name, moved to another base URL if one is given.

    Raises:
        ConfigurationError: The name is unknown, or the URL cannot be a base URL.
    """
    known = _by_name(provider) if isinstance(provider, str) else provider
    if base_url is None:
        return known
    root, families = _locate(_checked(base_url), known)
    return msgspec.structs.replace(known, base_url=root, families=families)


def _by_name(name: str) -> Provider:
    try:
        return PROVIDERS[name]
    except KeyError:
        known = ", ".join(PROVIDERS)
        raise ConfigurationError(f"unknown provider {name!r}; known are {known}") from None


def _checked(base_url: str) -> str:
    """Return the URL without trailing slashes, or say what is wrong with it."""
    parts = _parts(base_url.strip())
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError("base_url must not hold credentials, a query or a fragment")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ConfigurationError("base_url ends before /chat/completions, for example at /paas/v4")
    if "anthropic" in parts.path.split("/"):
        raise ConfigurationError("base_url names the Anthropic dialect; use .../api/paas/v4")
    return parts.geturl().rstrip("/")


def _parts(url: str) -> SplitResult:
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return parts
    raise ConfigurationError("base_url must be an absolute http:// or https:// address")


def _locate(url: str, provider: Provider) -> tuple[str, Mapping[str, str]]:
    """Return the root and the place of each family below it.

    An address that ends in a chat root or in ``/api`` is one of the platform's own spellings.
    Anything else is taken to be the root of chat itself, and used as it stands.
    """
    for suffix in _CHAT_ROOTS:
        if url.endswith(suffix):
            return url.removesuffix(suffix), {"paas/v4": suffix[1:], "v1": "v1"}
    if url.endswith("/api"):
        return url, provider.families
    if urlsplit(url).hostname == urlsplit(provider.base_url).hostname and not urlsplit(url).path:
        return f"{url}/api", provider.families
    return url, {"paas/v4": "", "v1": "" if url.endswith("/v1") else "v1"}
