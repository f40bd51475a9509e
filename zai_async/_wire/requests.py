"""The HTTP request that a call of an operation becomes."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

import msgspec

from zai_async._kinds import is_a
from zai_async._secrets import MaskedHeaders, Secret
from zai_async._wire.headers import HeaderSet, merged, sign_token
from zai_async._wire.keywords import misuse
from zai_async._wire.operation import Body, Operation
from zai_async.errors import ConfigurationError, InvalidFileError
from zai_async.models import CallOptions
from zai_async.models.encoding import encode
from zai_async.providers import Provider
from zai_async.uploads import MARK, BodyStream, JSONBody, Media, MultipartBody, Progress

__all__ = [
    "Request",
    "RequestFactory",
    "authorized",
    "bearer",
    "camel_case",
    "chat",
    "chat_stream",
    "conversation",
    "fill_path",
    "handwriting",
    "parsed_at_once",
    "plain_prompt",
    "recording",
    "recording_stream",
    "streamed",
    "with_files",
]

_BESIDE_THE_BODY: Final = ("options", "extra", "on_progress")
_MARK: Final = MARK.encode()
# The whole of a string: a question about such a mark may be asked.
_HANDLE: Final = re.compile(rb'"(%b[0-9a-f]{24})"' % _MARK)


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
    signed: bool = False
    """Whether ``secret_headers`` hold a short-lived token."""
    fresh: bool = False
    """Whether to open a new connection instead of taking one from the pool."""
    bare: bool = False
    """Whether nothing of a session of the caller's may be added: it goes to somebody else."""
    unpacked: bool = False
    """Whether the answer says nowhere where it ends, so that a cut one must not pass for it.

    It is asked for without packing, and unpacked with a look at its end if it is packed still.
    """
    guard: Callable[[str], bool] | None = None
    """Asked about the resolved address before anything is connected; False refuses it."""

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
        here = provider.operations
        self._exists = here is None or operation.name in here or not operation.listed
        self._path = operation.path
        """Where the operation lies below the base URL, keywords in braces."""
        if operation.name in provider.paths:
            self._path = provider.paths[operation.name]
        else:
            for family, place in provider.families.items():
                if operation.path.startswith(f"{family}/"):
                    rest = operation.path.removeprefix(f"{family}/")
                    self._path = f"{place}/{rest}".lstrip("/")
                    break
        self._renames = provider.renames.get(operation.name, {})
        self._headers = headers
        self._secrets: Mapping[str, Secret] = {}
        self._secret_query: Mapping[str, Secret] = {}
        if key is not None and provider.key_in == "header":
            self._secrets = bearer(key)
        elif key is not None and provider.key_in == "query":
            self._secret_query = {provider.key_parameter: key}
        self._usual: HeaderSet | None = None
        self._names_type = False
        # Most addresses are the same for every call, and building one takes longer than all else.
        fixed = operation.has_body and "{" not in self._path
        self._fixed_url = self._url(self._path, {}) if fixed else None

    def build(self, params: Mapping[str, Any], *, connect_timeout: float | None = None) -> Request:
        """Turn the keywords of a call into a request.

        Raises:
            TypeError: A keyword is unknown or missing.
            ConfigurationError: The operation does not exist here, or a value cannot be sent.
        """
        operation = self.operation
        keywords = operation.keywords
        known = keywords.issuperset(params) or not operation.listed
        if not known or not operation.required.issubset(params):
            raise misuse(operation, params)
        if not self._exists:
            text = f"provider {self._provider.name!r} has no operation {operation.name}"
            raise ConfigurationError(text)

        progress: Progress | None = params.get("on_progress")
        if progress is not None and not callable(progress):
            kind = type(progress).__name__
            raise ConfigurationError(
                f"{operation.name}(): on_progress must be a function, not {kind}"
            )
        path, body = self._body(params)
        sent: bytes | BodyStream | None = None
        if operation.upload is not None:
            file = body.pop("file", None)
            files = None if file is None else ("file", file)
            sent = MultipartBody(body, files, operation.upload, progress)
        elif operation.has_body:
            try:
                sent = encode(body)
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"{operation.name}(): {error}") from None
            if _MARK in sent:
                sent = with_files(operation, sent, body, progress)

        options: CallOptions | None = params.get("options")
        # One object for all plain calls, which the transport recognises.
        headers = self._usual
        if (
            headers is None
            or (options and options.headers)
            or not (sent is None or isinstance(sent, bytes))
        ):
            headers = self._header_set(sent, options)
        return Request(
            operation=operation.name,
            method=operation.method,
            url=self._fixed_url or self._url(path, body),
            headers=headers.fields,
            secret_headers=headers.secrets,
            secret_query=self._secret_query,
            body=sent,
            connect_timeout=connect_timeout,
            unpacked=operation.unpacked,
        )

    def _header_set(
        self, body: bytes | BodyStream | None, options: CallOptions | None
    ) -> HeaderSet:
        if self._usual is None:
            # Kept: the transport writes the head once for fields that are the same object.
            usual = HeaderSet.of(self.operation, self._secrets)
            self._usual = usual.over(self.operation, self._headers)
            self._names_type = any(name.lower() == "content-type" for name in self._headers)
        headers = self._usual
        if not (body is None or isinstance(body, bytes) or self._names_type):
            # A form has a boundary of its own each time.
            fields = MaskedHeaders(headers.fields)
            fields["Content-Type"] = body.content_type
            headers = headers._replace(fields=fields)
        return headers.over(self.operation, options.headers) if options else headers

    def _body(self, params: Mapping[str, Any]) -> tuple[str, Body]:
        """Return where a call goes, and the body that its keywords make in the gateway's words."""
        operation = self.operation
        body = dict(params)
        # A copy: the caller's keywords are passed on to hooks and to the next attempt.
        for name in _BESIDE_THE_BODY:
            body.pop(name, None)
        path = self._path
        if "{" in path:
            path, body = fill_path(operation, path, body)
        if operation.prepare is not None:
            body = operation.prepare(body)
        for field in operation.required:
            value = body.get(field, field)  # the path may have taken it
            if value is None or (hasattr(value, "__len__") and len(value) == 0):
                raise ConfigurationError(f"{operation.name}(): {field} must not be empty")
        if operation.name in self._provider.plain_prompts:
            body = {**body, "messages": plain_prompt(operation, body["messages"])}
        # Before "extra" is added, whose names are meant as they are.
        if self._renames:
            body = {self._renames.get(name, name): value for name, value in body.items()}
        extra: Mapping[str, Any] | None = params.get("extra")
        if extra is not None and not is_a(extra, Mapping):
            kind = type(extra).__name__
            raise ConfigurationError(f"{operation.name}(): extra must be a mapping, not {kind}")
        return path, {**body, **extra} if extra else body

    def _url(self, path: str, body: Body) -> str:
        query: Body = dict(self._provider.query)
        if not self.operation.has_body:
            query |= body
        if None in query.values():
            query = {name: value for name, value in query.items() if value is not None}
        for name, value in query.items():
            if isinstance(value, Iterable) and not isinstance(value, str):
                kind = type(cast("object", value)).__name__
                text = f"{name} must be text or a number, as the address holds it, not {kind}"
                raise ConfigurationError(f"{self.operation.name}(): {text}")
        url = f"{self._provider.base_url}/{path}"
        try:
            return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}" if query else url
        except UnicodeEncodeError:
            raise _unaddressable(self.operation) from None


def authorized(request: Request, key: Secret, now: float) -> Request:
    """Return the request with a fresh token, signed with the key; ``now`` in epoch seconds.

    Credentials of the caller's own are left alone.
    """
    if not request.signed and any(
        name.lower() == "authorization" for name in request.secret_headers
    ):
        return request
    secrets = merged(request.secret_headers, bearer(sign_token(key, now)))
    return msgspec.structs.replace(request, secret_headers=secrets, signed=True)


def bearer(token: Secret) -> Mapping[str, Secret]:
    """Return the field that a token travels in."""
    return {"Authorization": Secret(f"Bearer {token.reveal()}")}


def _unaddressable(operation: Operation[Any]) -> ConfigurationError:
    text = f"{operation.name}(): a keyword has characters that no address may"
    return ConfigurationError(text)


def fill_path(operation: Operation[Any], path: str, body: Body) -> tuple[str, Body]:
    """Move the keywords that the path names out of the body."""
    rest: Body = {}
    for name, value in body.items():
        slot = f"{{{name}}}"
        if slot not in path:
            rest[name] = value
            continue
        # A dot segment would name another operation (RFC 3986, section 5.2.4).
        if not isinstance(value, str) or value in {"", ".", ".."}:
            raise ConfigurationError(f"{operation.name}(): {name} must be an id, not {value!r}")
        try:
            path = path.replace(slot, quote(value, safe=""))
        except UnicodeEncodeError:
            raise _unaddressable(operation) from None
    return path, rest


def plain_prompt(operation: Operation[Any], messages: Any) -> str:
    """Return the text of a conversation that is one plain question."""
    match messages:
        case [{"content": str(text)}]:
            return text
        case _:
            raise ConfigurationError(f"{operation.name}(): here messages must be one plain text")


def with_files(
    operation: Operation[Any], text: bytes, body: Body, progress: Progress | None
) -> bytes | BodyStream:
    """Return a body whose files are written where their marks stand."""
    media = {each.encode(): each for each in _media(body)}
    handles = _HANDLE.findall(text)
    if unknown := {*handles} - media.keys():
        raise InvalidFileError(
            f"{operation.name}(): {unknown.pop().decode()} is the mark of a file in a history that "
            "was stored without its files: store to_dict(history) instead"
        )
    return JSONBody(text, [media[each] for each in handles], progress) if handles else text


def _media(value: object) -> Iterator[Media]:
    """Yield the files inside a body."""
    if isinstance(value, Media):
        yield value
    elif isinstance(value, Mapping):
        for each in cast("Mapping[str, object]", value).values():
            yield from _media(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in cast("Sequence[object]", value):
            yield from _media(each)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _media(getattr(value, name))


# What operations make of the keywords of a call.


def streamed(body: Body) -> Body:
    """Ask for a stream."""
    return {**body, "stream": True}


def conversation(body: Body) -> Body:
    """Turn a plain prompt into a conversation."""
    prompt = body["messages"]
    if not isinstance(prompt, str) or not prompt:
        return body
    return {**body, "messages": [{"role": "user", "content": prompt}]}


def chat(body: Body) -> Body:
    """Turn a plain prompt into a conversation, and a lone stop word into a list.

    Raises:
        ConfigurationError: The model is not a name.
    """
    if not isinstance(body["model"], str) or not body["model"]:
        raise ConfigurationError("chat.completions.create(): model must be a non-empty string")
    prompt = body["messages"]
    if isinstance(prompt, str) and prompt:
        body = {**body, "messages": [{"role": "user", "content": prompt}]}
    return {**body, "stop": [body["stop"]]} if isinstance(body.get("stop"), str) else body


def chat_stream(body: Body) -> Body:
    """Ask for a streamed chat."""
    return streamed(chat(body))


def recording(body: Body) -> Body:
    """Insist on a recording, in one of the two fields that may hold it.

    Raises:
        ConfigurationError: There is none.
    """
    if body.get("file") is None and not body.get("file_base64"):
        text = "audio.transcriptions.create(): one of file and file_base64 is needed"
        raise ConfigurationError(text)
    return body


def recording_stream(body: Body) -> Body:
    """Ask for a streamed transcription."""
    return streamed(recording(body))


def camel_case(body: Body) -> Body:
    """Name what voices are looked for by as the service does."""
    names = {"voice_name": "voiceName", "voice_type": "voiceType"}
    return {names.get(name, name): value for name, value in body.items()}


def parsed_at_once(body: Body) -> Body:
    """Choose the only parser that answers at once."""
    return {"tool_type": "prime-sync", **body}


def handwriting(body: Body) -> Body:
    """Choose the only reader of handwriting."""
    return {"tool_type": "hand_write", **body}
