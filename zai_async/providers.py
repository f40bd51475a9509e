"""Gateways as data: where they are, how they want the key, and what they name differently.

Sources: https://docs.z.ai/api-reference/introduction, https://docs.z.ai/devpack/overview and
https://docs.bigmodel.cn/cn/api/introduction.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, Self, cast
from urllib.parse import SplitResult, urlsplit

import msgspec

from zai_async._kinds import is_a
from zai_async._secrets import Secret
from zai_async.errors import ConfigurationError, MissingKeyError

__all__ = [
    "BIGMODEL",
    "BIGMODEL_CODING",
    "LOWCODEAPI",
    "LOWCODEAPI_CODING",
    "PROVIDERS",
    "ZAI",
    "ZAI_CODING",
    "Provider",
    "find_keys",
    "require_usable_key",
    "resolve_provider",
    "secrets_of",
    "truto",
]

ProviderName = Literal[
    "zai",
    "zai-coding",
    "bigmodel",
    "bigmodel-coding",
    "lowcodeapi",
    "lowcodeapi-coding",
]

_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_RENAMES: Mapping[str, Mapping[str, str]] = MappingProxyType({})


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one gateway; make your own for a gateway that is not listed.

    Endpoint paths begin with a family (``paas/v4`` or ``v1``); ``families`` says where below
    ``base_url`` each family lives. Operations are named as in ``zai.<operation>``, for example
    ``"chat.completions.create"``.
    """

    name: str
    """What ``AsyncZai(provider=...)`` and hints call it."""
    base_url: str
    """Address that the families hang below, without a trailing slash."""
    families: Mapping[str, str] = MappingProxyType({"paas/v4": "paas/v4", "v1": "v1"})
    """Path prefix of each family of endpoints."""
    paths: Mapping[str, str] = _NOTHING
    """Literal path of an operation whose path follows no rule; braces hold keywords of the call."""
    operations: frozenset[str] | None = None
    """Operations that exist here; None means all."""
    key_variables: tuple[str, ...] = ("ZAI_API_KEY",)
    """Environment variables that may hold the key, first one first."""
    url_variables: tuple[str, ...] = ("ZAI_BASE_URL",)
    """Environment variables that may hold another base URL."""
    key_in: Literal["header", "query", "jwt"] = "header"
    """Whether the key travels as a bearer token, in the query, or signs a short-lived token."""
    key_parameter: str = "api_token"
    """Name of that query parameter."""
    key_prefix: str = ""
    """What every key begins with; another one, perhaps meant for another service, is not sent."""
    query: Mapping[str, str] = _NOTHING
    """Query parameters of every request; they are no secrets."""
    renames: Mapping[str, Mapping[str, str]] = _NO_RENAMES
    """For each operation, what body fields are called here; what is in ``extra`` stays as it is."""
    plain_prompts: frozenset[str] = frozenset()
    """Operations that take one plain text in place of ``messages``."""
    envelope: tuple[str, ...] = ()
    """Keys of which one may hold the actual answer."""
    statuses: Mapping[str, str] = _NOTHING
    """What the platform calls the values of a task's ``status``."""
    buffered_streams: bool = False
    """Whether streams arrive all at once, after their last token."""
    hints: Mapping[str, str] = _NOTHING
    """What to say about an error kind that has a special meaning here."""

    def has(self, operation: str) -> bool:
        """Tell whether an operation exists here."""
        return self.operations is None or operation in self.operations

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing of it can change

    def __reduce__(self) -> tuple[Any, ...]:
        fields: dict[str, Any] = {
            name: _thawed(getattr(self, name)) for name in self.__struct_fields__
        }
        return partial(type(self), **fields), ()


_ELSEWHERE = (
    "Other endpoints: provider='zai' (general balance), 'zai-coding' (Coding Plan), "
    "'bigmodel' and 'bigmodel-coding' (mainland accounts)."
)


def _thawed(value: object) -> object:
    """Return a value without the read-only views of mappings, which no pickle may hold."""
    if isinstance(value, Mapping):
        return {key: _thawed(each) for key, each in cast("Mapping[str, object]", value).items()}
    return value


def _explained(here: str, **more: str) -> Mapping[str, str]:
    """Return hints that say which endpoint refused the key or the bill, and which others exist."""
    text = f"{here} {_ELSEWHERE}"
    return MappingProxyType({"billing": text, "auth": text, **more})


ZAI = Provider(
    name="zai",
    base_url="https://api.z.ai/api",
    hints=_explained("This is the general endpoint (provider='zai')."),
)
"""The general endpoint of Z.AI, paid from the balance."""

_CODING = frozenset({"chat.completions.create", "models.list", "quota"})

# The same host and the same key format: only the path tells the plan from the balance.
ZAI_CODING = Provider(
    name="zai-coding",
    base_url="https://api.z.ai/api",
    families=MappingProxyType({"paas/v4": "coding/paas/v4"}),
    operations=_CODING,
    hints=_explained(
        "This is the Coding Plan endpoint (provider='zai-coding').",
        account="The Coding Plan may only be used from the tools that its policy lists.",
    ),
)
"""The Coding Plan endpoint of Z.AI: chat and quota only, explicit choice, never a fallback."""

BIGMODEL = Provider(
    name="bigmodel",
    base_url="https://open.bigmodel.cn/api",
    key_variables=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    url_variables=("ZHIPUAI_BASE_URL",),
    hints=_explained("This is open.bigmodel.cn (provider='bigmodel')."),
)
"""The platform for mainland accounts."""

BIGMODEL_CODING = Provider(
    name="bigmodel-coding",
    base_url="https://open.bigmodel.cn/api",
    families=MappingProxyType({"paas/v4": "coding/paas/v4"}),
    key_variables=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    url_variables=("ZHIPUAI_BASE_URL",),
    operations=_CODING,
    hints=_explained("This is the Coding Plan endpoint (provider='bigmodel-coding')."),
)
"""The Coding Plan endpoint for mainland accounts."""


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
    hints=_explained(
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
    hints=_explained(
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
        hints=_explained("This is Truto (provider=truto(...)); its token is no Z.AI key."),
    )


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
    known = PROVIDERS.get(provider) if isinstance(provider, str) else provider
    if known is None or not is_a(known, Provider):
        names = ", ".join(PROVIDERS)
        raise ConfigurationError(
            f"unknown provider {provider!r}; known are {names}, and truto(...) makes one"
        )
    if base_url is None:
        return known
    root, families = locate(checked_address(base_url), known)
    return msgspec.structs.replace(known, base_url=root, families=families)


def checked_address(base_url: str) -> str:
    """Return the URL without trailing slashes, or say what is wrong with it."""
    url = base_url.strip() if is_a(base_url, str) else ""
    parts: SplitResult | None = None
    with suppress(ValueError):
        found = urlsplit(url)
        url.encode()
        host = found.hostname or ""
        # What the resolver will be asked for. The codec is loaded from disk when it is first used,
        # which a process without a file descriptor to spare cannot do.
        labels = (host if host.isascii() else host.encode("idna").decode()).split(".")
        fine = all(0 < len(label) < 64 for label in labels[: -1 if host.endswith(".") else None])
        # Port 0 means "any" to a listener, and nothing here.
        if found.scheme in {"http", "https"} and fine and found.port != 0:
            parts = found
    if parts is None:
        raise ConfigurationError("base_url must be an absolute http:// or https:// address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError("base_url must not hold credentials, a query or a fragment")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ConfigurationError("base_url ends before /chat/completions, for example at /paas/v4")
    if "anthropic" in parts.path.split("/"):
        raise ConfigurationError("base_url names the Anthropic dialect; use .../api/paas/v4")
    return parts.geturl().rstrip("/")


def locate(url: str, provider: Provider) -> tuple[str, Mapping[str, str]]:
    """Return the root and the place of each family below it.

    A gateway with another layout than the platform's keeps it at any address. Else an address
    that ends in a chat root or in ``/api`` is one of the platform's own spellings, and anything
    else is taken to be the root of chat itself, and used as it stands.
    """
    # LowCodeAPI and Truto have paths of their own, which no suffix of an address could tell.
    if not provider.base_url.endswith("/api"):
        return url, provider.families
    # What other SDKs call the base URL ends at the root of chat.
    for suffix in _CHAT_ROOTS:
        if url.endswith(suffix):
            return url.removesuffix(suffix), {"paas/v4": suffix[1:], "v1": "v1"}
    if url.endswith("/api"):
        return url, provider.families
    if urlsplit(url).hostname == urlsplit(provider.base_url).hostname and not urlsplit(url).path:
        return f"{url}/api", provider.families
    return url, {"paas/v4": "", "v1": "" if url.endswith("/v1") else "v1"}


_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_PASTED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(authorization\s*:\s*)?bearer([\s:=]|$)", re.IGNORECASE), "begins with 'Bearer'"),
    (re.compile(r"authorization\s*:", re.IGNORECASE), "begins with the name of a header"),
    (
        re.compile(r"(export\s+)?([A-Z][A-Z0-9_]{3,}|\w*[Kk]ey)\s*="),
        "begins with the name of a variable",
    ),
    (re.compile(rf"[{_QUOTES}]|.*[{_QUOTES}]$", re.DOTALL), "is in quotes"),
    (re.compile(r"[<{$%]"), "only stands for a key"),
    (re.compile(r".*\s", re.DOTALL), "holds blanks or line ends"),
    (re.compile(r".*[,;]$", re.DOTALL), "ends with a comma or semicolon"),
)


def require_usable_key(provider: Provider, key: Secret) -> None:
    """Refuse a key that cannot be meant for this gateway, or that was copied with its surroundings.

    Raises:
        ConfigurationError: The key is no key, has another prefix, or cannot sign a token.
    """
    # The text of the key is in no variable, which error reporters would print.
    for form, what in _PASTED:
        if form.match(key.reveal()):
            raise ConfigurationError(f"the API key {what}: pass the bare key, without quotes")
    if not (key.reveal().isascii() and key.reveal().isprintable()):
        raise ConfigurationError("the API key holds characters that no header can carry")
    if not key.reveal().startswith(provider.key_prefix):
        raise ConfigurationError(
            f"a key for provider {provider.name!r} begins with {provider.key_prefix!r}"
        )
    if provider.key_in == "jwt" and not all(key.reveal().partition(".")):
        raise ConfigurationError("only a key of the form id.secret can sign a token")


def secrets_of(keys: str | Sequence[str]) -> list[Secret]:
    """Return each of the keys once."""
    several = keys if is_a(keys, Iterable) else [""]
    each = [keys] if isinstance(keys, str) else several
    # What is no text is no key either; its value stays out of messages.
    return list(dict.fromkeys(Secret(key.strip() if is_a(key, str) else "") for key in each))


def find_keys(given: list[Secret] | None, provider: Provider) -> list[Secret]:
    """Return the keys that were given, or else the one in the environment.

    Raises:
        MissingKeyError: There is none, or one of them is empty.
        ConfigurationError: One cannot be a key of this gateway.
    """
    if given is None:
        # The first variable that is set wins; an empty one counts as unset, as in shells.
        found = (Secret(os.environ.get(name, "").strip()) for name in provider.key_variables)
        given = [next(filter(None, found), Secret(""))]
    if not given or not all(given):
        names = " or ".join(provider.key_variables)
        raise MissingKeyError(f"no API key: pass api_key=... or set {names}")
    for key in given:
        require_usable_key(provider, key)
    return given
