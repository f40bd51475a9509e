"""One operation of the API as data, and the HTTP request that a call of it becomes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec

from zai_async._secrets import Secret
from zai_async._version import __version__
from zai_async._wire.jwt import sign_token
from zai_async.errors import ConfigurationError
from zai_async.models import CallOptions
from zai_async.models.tolerant import encode
from zai_async.providers import Provider
from zai_async.uploads import (
    MARK,
    BodyStream,
    FileLimits,
    JSONBody,
    Media,
    MultipartBody,
    Progress,
)

__all__ = ["Endpoint", "Request", "authorized", "build_request"]

T = TypeVar("T")
Body = dict[str, Any]

_USER_AGENT = f"zai-async/{__version__}"
# Header fields of the caller's own that are kept as safe as the key; theirs wins over ours.
_SECRET_FIELDS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})
_BESIDE_THE_BODY = frozenset({"options", "extra", "on_progress"})


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
        free: bool = False,
        upload: tuple[str, FileLimits] | None = None,
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
        self.spends = method == "POST" and not free
        """Whether a call may use tokens."""
        self.upload = upload
        """The field that is a file, which makes the body a form, and what is accepted there."""
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
    body: bytes | BodyStream | None = None
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
    path, body = _fill_path(endpoint, _place(endpoint, provider), body)
    body = {**_in_dialect(endpoint, provider, body), **params.get("extra", {})}
    query = {**provider.query, **({} if endpoint.method == "POST" else body)}
    sent = _encoded(endpoint, body, params.get("on_progress"))
    fields = _merged(_headers(endpoint, sent), headers, _own_headers(params))
    own_secrets = {
        name: Secret(fields.pop(name)) for name in [*fields] if name.lower() in _SECRET_FIELDS
    }
    return Request(
        operation=endpoint.name,
        method=endpoint.method,
        url=_with_query(f"{provider.base_url}/{path}", query),
        headers=fields,
        secret_headers=_merged(_secret_headers(provider, key), own_secrets),
        secret_query=_secret_query(provider, key),
        body=sent,
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
    if not provider.has(endpoint.name):
        raise ConfigurationError(f"provider {provider.name!r} has no operation {endpoint.name}")


def _place(endpoint: Endpoint[Any], provider: Provider) -> str:
    """Return the path of an operation below the base URL, keywords in braces."""
    if endpoint.name in provider.paths:
        return provider.paths[endpoint.name]
    for family, place in provider.families.items():
        if endpoint.path.startswith(f"{family}/"):
            return f"{place}/{endpoint.path.removeprefix(f'{family}/')}".lstrip("/")
    return endpoint.path


def _fill_path(endpoint: Endpoint[Any], path: str, body: Body) -> tuple[str, Body]:
    """Move the keywords that the path names out of the body."""
    if "{" not in path:
        return path, body
    rest: Body = {}
    for name, value in body.items():
        slot = f"{{{name}}}"
        if slot not in path:
            rest[name] = value
            continue
        if not isinstance(value, str) or value in {"", ".", ".."}:
            raise ConfigurationError(f"{endpoint.name}(): {name} must be an id, not {value!r}")
        path = path.replace(slot, quote(value, safe=""))
    return path, rest


def _in_dialect(endpoint: Endpoint[Any], provider: Provider, body: Body) -> Body:
    """Return the body that the operation makes of its keywords, in the gateway's words."""
    body = endpoint.prepare(body)
    if endpoint.name in provider.plain_prompts:
        body = {**body, "messages": _plain_prompt(endpoint, body["messages"])}
    names = provider.renames.get(endpoint.name, {})
    return {names.get(name, name): value for name, value in body.items()}


def _plain_prompt(endpoint: Endpoint[Any], messages: Any) -> str:
    """Return the text of a conversation that is one plain question."""
    match messages:
        case [{"content": str(text)}]:
            return text
        case _:
            raise ConfigurationError(f"{endpoint.name}(): here messages must be one plain text")


def _with_query(url: str, query: Body) -> str:
    if not query:
        return url
    present = {name: value for name, value in query.items() if value is not None}
    mark = "&" if "?" in url else "?"
    return f"{url}{mark}{urlencode(present)}" if present else url


def _headers(endpoint: Endpoint[Any], body: bytes | BodyStream | None) -> dict[str, str]:
    headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = getattr(body, "content_type", "application/json")
    if endpoint.stream:
        # Compressed event streams arrive late and in lumps.
        headers |= {"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"}
    return headers


def _merged(*layers: Mapping[str, T]) -> dict[str, T]:
    """Merge header fields, the last one wins; names that differ in case only are the same."""
    fields = {name.lower(): (name, text) for layer in layers for name, text in layer.items()}
    return dict(fields.values())


def _own_headers(params: Mapping[str, Any]) -> Mapping[str, str]:
    options: CallOptions | None = params.get("options")
    return options.headers if options else {}


def authorized(request: Request, provider: Provider, key: Secret | None, now: float) -> Request:
    """Return the request with a fresh token, where tokens are signed; ``now`` in epoch seconds."""
    if key is None or provider.key_in != "jwt":
        return request
    return msgspec.structs.replace(request, secret_headers=_bearer(sign_token(key, now)))


def _secret_headers(provider: Provider, key: Secret | None) -> Mapping[str, Secret]:
    if key is None or provider.key_in != "header":
        return {}
    return _bearer(key)


def _bearer(token: Secret) -> Mapping[str, Secret]:
    return {"Authorization": Secret(f"Bearer {token.reveal()}")}


def _secret_query(provider: Provider, key: Secret | None) -> Mapping[str, Secret]:
    return {provider.key_parameter: key} if key and provider.key_in == "query" else {}


def _encoded(
    endpoint: Endpoint[Any], body: Body, progress: Progress | None
) -> bytes | BodyStream | None:
    if endpoint.method != "POST":
        return None
    if endpoint.upload is not None:
        return _form(body, *endpoint.upload, progress)
    try:
        text = encode(body)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{endpoint.name}(): {error}") from None
    if MARK.encode() not in text:
        return text
    return JSONBody(text, list(_media(body)), progress)


def _form(body: Body, field: str, limits: FileLimits, progress: Progress | None) -> BodyStream:
    rest = {name: value for name, value in body.items() if name != field}
    file = (field, body[field]) if body.get(field) is not None else None
    return MultipartBody(rest, file, limits, progress)


def _media(value: object) -> Iterator[Media]:
    """Yield the files inside a body, in the order in which they are written."""
    if isinstance(value, Media):
        yield value
    elif isinstance(value, Mapping):
        for each in cast("Mapping[str, object]", value).values():
            yield from _media(each)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for each in cast("Sequence[object]", value):
            yield from _media(each)
