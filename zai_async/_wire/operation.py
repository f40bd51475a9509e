"""One operation of the API as data."""

from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import msgspec

from zai_async._kinds import is_a
from zai_async._outcomes import Judge, accept
from zai_async.errors import ConfigurationError
from zai_async.models import CallParams
from zai_async.uploads import FileLimits

__all__ = ["Body", "Operation", "unlisted"]

T = TypeVar("T")
Body = dict[str, Any]

_METHODS: Final = ("POST", "GET", "DELETE", "PUT", "PATCH")


class Operation(Generic[T]):
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
        submits: bool = False,
        upload: FileLimits | None = None,
        prepare: Callable[[Body], Body] | None = None,
        essential: str = "",
        judge: Judge = accept,
        bare_text: str | None = None,
        listed: bool = True,
        raw_of: "Operation[T] | None" = None,
    ) -> None:
        self.name = name
        self.path = path
        self.result = result
        self.params = params
        self.method = method
        self.stream = stream
        self.repeatable = repeatable
        """Whether a request that may have arrived may be sent again."""
        # RFC 9110 gives bodies of GET and DELETE no meaning: their keywords go into the query.
        self.has_body = method in {"POST", "PUT", "PATCH"}
        self.spends = method == "POST" and not free
        """Whether a call may use tokens."""
        self.submits = submits
        """Whether the answer is only the name of work that goes on without it."""
        self.upload = upload
        """What is accepted as ``file``, which makes the body a form."""
        self.prepare = prepare
        """What is made of the keywords before they are sent."""
        self.keywords = frozenset(params.__required_keys__ | params.__optional_keys__)
        self.required = frozenset(params.__required_keys__)
        """The keywords that cannot be left out."""
        self.essential = tuple(essential.split())
        """Dotted names of fields; an answer with none of them is that of another service."""
        self.contents = tuple(map(attrgetter, self.essential))
        self.judge = judge
        """Returns the outcome of a decoded answer, or raises what is wrong with it."""
        self.bare_text = bare_text
        """The field that an answer fills which is a text and no JSON."""
        self.unpacked = result is bytes or bare_text is not None
        """Whether an answer may be one that says nowhere where it ends, unlike JSON and events."""
        self.listed = listed
        """Whether its keywords, and the gateways that have it, are known."""
        self.raw_of = raw_of
        """The operation of which this is the variant whose body is JSON already."""

    # Made when first used: building all of them takes longer than importing the package.
    @cached_property
    def decoder(self) -> msgspec.json.Decoder[T]:
        """Decode a whole body, or one event of a stream."""
        return msgspec.json.Decoder(self.result)


def unlisted(method: str, path: str, result: type[T]) -> Operation[T]:
    """Return an operation of which nothing is known but how to send it.

    It may be sent again although it may have arrived only where HTTP says so (RFC 9110,
    section 9.2.2).

    Raises:
        ConfigurationError: The method is unknown, or the path is none.
    """
    if str(method).upper() not in _METHODS:
        known = ", ".join(_METHODS)
        raise ConfigurationError(f"request(): method must be one of {known}, not {method!r}")
    if not is_a(path, str):
        raise ConfigurationError(f"request(): path must be a path, not {path!r}")
    steps = path.strip("/").split("/")
    legal = path.isascii() and path.isprintable() and not {" ", "#"} & {*path}
    if not legal or {"", ".."} & {*steps} or path.startswith("//"):
        raise ConfigurationError(f"request(): path must be a path, not {path!r}")

    path, method = path.lstrip("/"), method.upper()
    # Nearly all operations are of one family; the root of the others is written out.
    if path.startswith("api/"):
        path = path.removeprefix("api/")
    elif not path.startswith(("paas/", "v1/")):
        path = f"paas/v4/{path}"
    idempotent = method not in {"POST", "PATCH"}
    return Operation(
        "request", path, result, CallParams, method=method, repeatable=idempotent, listed=False
    )
