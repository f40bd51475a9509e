"""Which gateway is meant: by name, by record, and moved to another base URL."""

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

import msgspec

from zai_async._secrets import Secret
from zai_async.errors import ConfigurationError
from zai_async.providers.gateways import LOWCODEAPI, LOWCODEAPI_CODING
from zai_async.providers.platform import BIGMODEL, BIGMODEL_CODING, ZAI, ZAI_CODING
from zai_async.providers.provider import Provider

__all__ = ["PROVIDERS", "require_usable_key", "resolve_provider"]

_NAMED = (ZAI, ZAI_CODING, BIGMODEL, BIGMODEL_CODING, LOWCODEAPI, LOWCODEAPI_CODING)

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {provider.name: provider for provider in _NAMED}
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
        raise ConfigurationError(
            f"unknown provider {name!r}; known are {known}, and truto(...) makes one"
        ) from None


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
            url.encode()
            parts.hostname.encode("idna")
            return parts
    raise ConfigurationError("base_url must be an absolute http:// or https:// address")


def _locate(url: str, provider: Provider) -> tuple[str, Mapping[str, str]]:
    """Return the root and the place of each family below it.

    A gateway with another layout than the platform's keeps it at any address. Else an address
    that ends in a chat root or in ``/api`` is one of the platform's own spellings, and anything
    else is taken to be the root of chat itself, and used as it stands.
    """
    if not provider.base_url.endswith("/api"):
        return url, provider.families
    for suffix in _CHAT_ROOTS:
        if url.endswith(suffix):
            return url.removesuffix(suffix), {"paas/v4": suffix[1:], "v1": "v1"}
    if url.endswith("/api"):
        return url, provider.families
    if urlsplit(url).hostname == urlsplit(provider.base_url).hostname and not urlsplit(url).path:
        return f"{url}/api", provider.families
    return url, {"paas/v4": "", "v1": "" if url.endswith("/v1") else "v1"}


def require_usable_key(provider: Provider, key: Secret) -> None:
    """Refuse a key that cannot be meant for this gateway.

    Raises:
        ConfigurationError: The key has another prefix, or cannot sign a token.
    """
    text = key.reveal()
    if not text.startswith(provider.key_prefix):
        raise ConfigurationError(
            f"a key for provider {provider.name!r} begins with {provider.key_prefix!r}"
        )
    if provider.key_in == "jwt" and not all(text.partition(".")):
        raise ConfigurationError("only a key of the form id.secret can sign a token")
