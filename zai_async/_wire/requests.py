"""The HTTP request that a call of an operation becomes."""

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

import msgspec

from zai_async._secrets import Secret
from zai_async._wire.headers import HeaderSet, fields_for, sign_token
from zai_async._wire.operation import Operation
from zai_async._wire.preparation import Body
from zai_async.errors import ConfigurationError
from zai_async.models import CallOptions
from zai_async.models.encoding import encode
from zai_async.providers import Provider
from zai_async.uploads import MARK, BodyStream, FileLimits, JSONBody, Media, MultipartBody, Progress

__all__ = ["Request", "RequestFactory", "authorized"]

_BESIDE_THE_BODY: Final = frozenset({"options", "extra", "on_progress"})
_MARK: Final = MARK.encode()


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

    def __repr__(self) -> str:
        # What people ask is nobody else's business, and may be megabytes.
        return f"<Request {self.operation}: {self.method} {self.url}>"


class RequestFactory:
    """Makes the requests of one operation of a client; what they share is made once.

    Args:
        headers: The client's own header fields.
    """

    def __init__(
        self,
        operation: Operation[Any],
        provider: Provider,
        key: Secret | None,
        headers: Mapping[str, str],
    ) -> None:
        self.operation = operation
        self._provider = provider
        self._exists = provider.has(operation.name)
        self._path = _place(operation, provider)
        self._renames = provider.renames.get(operation.name, {})
        self._plain = operation.name in provider.plain_prompts
        self._headers = headers
        self._secrets = _secret_headers(provider, key)
        self._secret_query = _secret_query(provider, key)
        self._usual: HeaderSet | None = None
        fixed = operation.method == "POST" and "{" not in self._path
        self._fixed_url = self._url(self._path, {}) if fixed else None

    def build(self, params: Mapping[str, Any], *, connect_timeout: float | None = None) -> Request:
        """Turn the keywords of a call into a request.

        Raises:
            TypeError: A keyword is unknown or missing.
            ConfigurationError: The operation does not exist here, or a value cannot be sent.
        """
        operation = self.operation
        _check_keywords(operation, params)
        self._require_operation()
        body = {name: value for name, value in params.items() if name not in _BESIDE_THE_BODY}
        url, body = self._addressed(body, params.get("extra"))
        sent = _encoded(operation, body, params.get("on_progress"))
        headers = self._header_set(sent, params.get("options"))
        return Request(
            operation=operation.name,
            method=operation.method,
            url=url,
            headers=headers.fields,
            secret_headers=headers.secrets,
            secret_query=self._secret_query,
            body=sent,
            connect_timeout=connect_timeout,
        )

    def _require_operation(self) -> None:
        if not self._exists:
            text = f"provider {self._provider.name!r} has no operation {self.operation.name}"
            raise ConfigurationError(text)

    def _addressed(self, body: Body, extra: Mapping[str, Any] | None) -> tuple[str, Body]:
        """Return where a body goes, and what is left of it."""
        try:
            path, body = _fill_path(self.operation, self._path, body)
            body = self._in_dialect(body)
            if extra:
                body = {**body, **extra}
            return self._fixed_url or self._url(path, body), body
        except UnicodeEncodeError:
            text = f"{self.operation.name}(): a keyword has characters that no address may"
            raise ConfigurationError(text) from None

    def _in_dialect(self, body: Body) -> Body:
        """Return the body that the operation makes of its keywords, in the gateway's words."""
        body = self.operation.prepare(body)
        for field in self.operation.required:
            if _is_empty(body.get(field, field)):  # the path may have taken it
                raise ConfigurationError(f"{self.operation.name}(): {field} must not be empty")
        if self._plain:
            body = {**body, "messages": _plain_prompt(self.operation, body["messages"])}
        if not self._renames:
            return body
        return {self._renames.get(name, name): value for name, value in body.items()}

    def _url(self, path: str, body: Body) -> str:
        query = {} if self.operation.method == "POST" else body
        return _with_query(f"{self._provider.base_url}/{path}", {**self._provider.query, **query})

    def _header_set(
        self, body: bytes | BodyStream | None, options: CallOptions | None
    ) -> HeaderSet:
        own: Mapping[str, str] = options.headers if options else {}
        if own or not (body is None or isinstance(body, bytes)):
            return self._header_set_of(body).over(self.operation, own)
        if self._usual is None:
            self._usual = self._header_set_of(body)
        return self._usual

    def _header_set_of(self, body: bytes | BodyStream | None) -> HeaderSet:
        ours = HeaderSet(fields_for(self.operation, body), self._secrets)
        return ours.over(self.operation, self._headers)


def _check_keywords(operation: Operation[Any], params: Mapping[str, Any]) -> None:
    if not operation.keywords.issuperset(params):
        names = ", ".join(sorted(params.keys() - operation.keywords))
        raise TypeError(
            f"{operation.name}() got an unexpected keyword: {names}; "
            "a field newer than this package goes into extra={...}"
        )
    if not operation.required.issubset(params):
        names = ", ".join(sorted(operation.required - params.keys()))
        raise TypeError(f"{operation.name}() misses a keyword: {names}")


def _place(operation: Operation[Any], provider: Provider) -> str:
    """Return the path of an operation below the base URL, keywords in braces."""
    if operation.name in provider.paths:
        return provider.paths[operation.name]
    for family, place in provider.families.items():
        if operation.path.startswith(f"{family}/"):
            return f"{place}/{operation.path.removeprefix(f'{family}/')}".lstrip("/")
    return operation.path


def _fill_path(operation: Operation[Any], path: str, body: Body) -> tuple[str, Body]:
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
            raise ConfigurationError(f"{operation.name}(): {name} must be an id, not {value!r}")
        path = path.replace(slot, quote(value, safe=""))
    return path, rest


def _is_empty(value: object) -> bool:
    if isinstance(value, str | list):  # asking for Sized is slow
        return not value
    return value is None or (isinstance(value, Sized) and not len(value))


def _plain_prompt(operation: Operation[Any], messages: Any) -> str:
    """Return the text of a conversation that is one plain question."""
    match messages:
        case [{"content": str(text)}]:
            return text
        case _:
            raise ConfigurationError(f"{operation.name}(): here messages must be one plain text")


def _with_query(url: str, query: Body) -> str:
    if not query:
        return url
    present = {name: value for name, value in query.items() if value is not None}
    mark = "&" if "?" in url else "?"
    return f"{url}{mark}{urlencode(present)}" if present else url


def authorized(request: Request, key: Secret, now: float) -> Request:
    """Return the request with a fresh token, signed with the key; ``now`` in epoch seconds."""
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
    operation: Operation[Any], body: Body, progress: Progress | None
) -> bytes | BodyStream | None:
    if operation.method != "POST":
        return None
    if operation.upload is not None:
        return _form(body, operation.upload, progress)
    try:
        text = encode(body)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{operation.name}(): {error}") from None
    if _MARK not in text:
        return text
    return JSONBody(text, list(_media(body)), progress)


def _form(body: Body, limits: FileLimits, progress: Progress | None) -> BodyStream:
    rest = {name: value for name, value in body.items() if name != "file"}
    file = ("file", body["file"]) if body.get("file") is not None else None
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
