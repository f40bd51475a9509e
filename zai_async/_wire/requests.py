"""One operation of the API as data, and the HTTP request that a call of it becomes."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from zai_async._secrets import Secret
from zai_async._version import __version__
from zai_async.errors import ConfigurationError
from zai_async.models import CallOptions
from zai_async.models.tolerant import encode
from zai_async.providers import Provider

__all__ = ["Endpoint", "Request", "build_request"]

T = TypeVar("T")
Body = dict[str, Any]

_USER_AGENT = f"zai-async/{__version__}"
_BESIDE_THE_BODY = frozenset({"options", "extra"})


def _unchanged(body: Body) -> Body:
    return body


class Endpoint(Generic[T]):
    """Everything about the wire that differs between operations."""

    def __init__(
        self,
        name: str,
        path: str,
        result: type[T],
        params: type[Any],
        *,
        method: str = "POST",
        stream: bool = False,
        repeatable: bool = True,
        prepare: Callable[[Body], Body] = _unchanged,
    ) -> None:
        self.name = name
        self.path = path
        self.result = result
        self.params = params
        self.method = method
        self.stream = stream
        self.repeatable = repeatable
        """Whether the request may be sent again when nobody knows if the first one arrived."""
        self.prepare = prepare

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[T]:
        """Decode a whole body, or one event of a stream."""
        return msgspec.json.Decoder(self.result)

    @cached_property
    def keywords(self) -> frozenset[str]:
        """Return all keywords of the operation."""
        return frozenset(self.params.__required_keys__ | self.params.__optional_keys__)

    @cached_property
    def required(self) -> frozenset[str]:
        """Return the keywords that cannot be left out."""
        return frozenset(self.params.__required_keys__)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request; its secrets stay apart until a transport sends it."""

    operation: str
    method: str
    url: str
    headers: Mapping[str, str]
    secret_headers: Mapping[str, Secret] = {}
    secret_query: Mapping[str, Secret] = {}
    body: bytes | None = None
    connect_timeout: float | None = None
    """Seconds until a connection must stand; None for no limit."""
    fresh: bool = False
    """Whether to open a new connection instead of taking one from the pool."""


def build_request(
    endpoint: Endpoint[Any],
    provider: Provider,
    key: Secret | None,
    params: Mapping[str, Any],
    headers: Mapping[str, str],
) -> Request:
    """Turn the keywords of a call into a request.

    Raises:
        TypeError: A keyword is unknown or missing.
        ConfigurationError: The operation does not exist here, or a value cannot be sent.
    """
    _check_keywords(endpoint, params)
    _check_operation(endpoint, provider)
    body = {name: value for name, value in params.items() if name not in _BESIDE_THE_BODY}
    path, body = _fill_path(endpoint, body)
    body = {**endpoint.prepare(body), **params.get("extra", {})}
    url = _join(provider, path)
    fields = _merged(_headers(endpoint), headers, _own_headers(params))
    return Request(
        operation=endpoint.name,
        method=endpoint.method,
        url=url if endpoint.method == "POST" else _with_query(url, body),
        headers=fields,
        secret_headers=_secret_headers(provider, key),
        secret_query=_secret_query(provider, key),
        body=_encoded(endpoint, body),
    )


def _check_keywords(endpoint: Endpoint[Any], params: Mapping[str, Any]) -> None:
    unknown = params.keys() - endpoint.keywords
    if unknown:
        names = ", ".join(sorted(unknown))
        raise TypeError(
            f"{endpoint.name}() got an unexpected keyword: {names}; "
            "a field newer than this package goes into extra={...}"
        )
    missing = endpoint.required - params.keys()
    if missing:
        raise TypeError(f"{endpoint.name}() misses a keyword: {', '.join(sorted(missing))}")


def _check_operation(endpoint: Endpoint[Any], provider: Provider) -> None:
    if provider.operations is not None and endpoint.name not in provider.operations:
        raise ConfigurationError(f"provider {provider.name!r} has no operation {endpoint.name}")


def _fill_path(endpoint: Endpoint[Any], body: Body) -> tuple[str, Body]:
    """Move the keywords that the path names out of the body."""
    rest: Body = {}
    path = endpoint.path
    for name, value in body.items():
        slot = f"{{{name}}}"
        if slot not in path:
            rest[name] = value
            continue
        if not isinstance(value, str) or value in {"", ".", ".."}:
            raise ConfigurationError(f"{endpoint.name}(): {name} must be an id, not {value!r}")
        path = path.replace(slot, quote(value, safe=""))
    return path, rest


def _join(provider: Provider, path: str) -> str:
    for family, place in provider.families.items():
        if path.startswith(f"{family}/"):
            path = f"{place}/{path.removeprefix(f'{family}/')}"
            break
    return f"{provider.base_url}/{path.lstrip('/')}"


def _with_query(url: str, query: Body) -> str:
    present = {name: value for name, value in query.items() if value is not None}
    return f"{url}?{urlencode(present)}" if present else url


def _headers(endpoint: Endpoint[Any]) -> dict[str, str]:
    headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
    if endpoint.method == "POST":
        headers["Content-Type"] = "application/json"
    if endpoint.stream:
        # Compressed event streams arrive late and in lumps.
        headers |= {"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"}
    return headers


def _merged(*layers: Mapping[str, str]) -> dict[str, str]:
    """Merge header fields, the last one wins; names that differ in case only are the same."""
    fields = {name.lower(): (name, text) for layer in layers for name, text in layer.items()}
    return dict(fields.values())


def _own_headers(params: Mapping[str, Any]) -> Mapping[str, str]:
    options: CallOptions | None = params.get("options")
    return options.headers if options else {}


def _secret_headers(provider: Provider, key: Secret | None) -> Mapping[str, Secret]:
    if key is None or provider.key_in != "header":
        return {}
    return {"Authorization": Secret(f"Bearer {key.reveal()}")}


def _secret_query(provider: Provider, key: Secret | None) -> Mapping[str, Secret]:
    return {provider.key_parameter: key} if key and provider.key_in == "query" else {}


def _encoded(endpoint: Endpoint[Any], body: Body) -> bytes | None:
    if endpoint.method != "POST":
        return None
    try:
        return encode(body)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{endpoint.name}(): {error}") from None
