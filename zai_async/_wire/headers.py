"""Header fields: ours, the client's, the caller's own, and the short-lived tokens among them."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from zai_async._secrets import Secret, masked
from zai_async._version import __version__
from zai_async._wire.operation import Operation
from zai_async.errors import ConfigurationError

__all__ = ["HeaderSet", "merged", "secrets_in", "sign_token", "why_unsendable"]

T = TypeVar("T")

_USER_AGENT: Final = f"zai-async/{__version__}"
# Fields of the caller's own that are kept as safe as the key; theirs wins over ours.
_SECRET: Final = re.compile(
    r"auth|key|token|secret|cookie|session|credential|passw|signature", re.IGNORECASE
)
# Fields that say how the body is sent, which is not the caller's business.
_OURS: Final = frozenset({"content-length", "transfer-encoding", "expect", "upgrade"})
# RFC 9110 section 5.6.2, token.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 section 5.5: a line end would begin another field, or another request.
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
# The lifetime that the platform's own clients use.
LIFETIME: Final = 210.0
"""Seconds that a token is good for."""


class HeaderSet(NamedTuple):
    """The header fields of a request, secrets apart."""

    fields: Mapping[str, str]
    secrets: Mapping[str, Secret]

    @classmethod
    def of(cls, operation: Operation[Any], secrets: Mapping[str, Secret]) -> "HeaderSet":
        """Return the fields that an operation sets itself, with a body of JSON if it has one."""
        headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
        if operation.has_body:
            headers["Content-Type"] = "application/json"
        if operation.stream:
            headers["Accept"] = "text/event-stream, application/json"
        if operation.stream or operation.unpacked:
            # Compressed event streams arrive late and in lumps, and a cut of what says nowhere
            # where it ends would not show.
            headers["Accept-Encoding"] = "identity"
        return cls(masked(headers), secrets)

    def over(self, operation: Operation[Any], own: Mapping[str, str]) -> "HeaderSet":
        """Return these with the caller's own fields, which win.

        Raises:
            ConfigurationError: A field cannot be sent.
        """
        # The same object again, by which the transport knows a head that it has written before.
        if not own:
            return self
        # Error reporters print the variables of this function: none of them holds a value.
        for name in own:
            problem = why_unsendable(name, own)
            if problem:
                raise ConfigurationError(f"{operation.name}(): {problem}")
        fields = merged(
            self.fields, masked({k: v for k, v in own.items() if not _SECRET.search(k)})
        )
        return HeaderSet(masked(fields), merged(self.secrets, secrets_in(own)))


def secrets_in(own: Mapping[str, str]) -> dict[str, Secret]:
    """Return those of a caller's header fields that are secrets by their names."""
    return {name: Secret(own[name]) for name in own if _SECRET.search(name)}


def merged(*layers: Mapping[str, T]) -> dict[str, T]:
    """Merge header fields, the last one wins; names that differ in case only are the same."""
    fields = {name.lower(): (name, text) for layer in layers for name, text in layer.items()}
    return dict(fields.values())


def why_unsendable(name: Any, own: Mapping[str, Any]) -> str:
    """Say why a header field cannot be sent, "" if it can."""
    if not (isinstance(name, str) and isinstance(own[name], str)):
        return "header fields must be strings"
    if not _NAME.fullmatch(name) or name.lower() in _OURS:
        return f"a header field cannot be {name!r}"
    unfit = _FORBIDDEN.search(own[name])
    return f"{name} has characters that no header may" if unfit else ""


def sign_token(key: Secret, now: float) -> Secret:
    """Return a token, so that its key, ``id.secret``, never travels; ``now`` in epoch seconds.

    It is made anew for every request: that costs less than to remember one and to notice that it
    has grown old.

    Source: https://docs.bigmodel.cn/cn/api/introduction; times are milliseconds, unlike elsewhere.
    """
    identity, _, secret = key.reveal().partition(".")
    milliseconds = round(now * 1000)
    payload = {
        "api_key": identity,
        "exp": milliseconds + round(LIFETIME * 1000),
        "timestamp": milliseconds,
    }
    signed = f"{_segment({'alg': 'HS256', 'sign_type': 'SIGN'})}.{_segment(payload)}"
    # The platform takes the text of the secret, not what it may be the base64 of.
    digest = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return Secret(f"{signed}.{_unpadded(digest)}")


def _segment(claims: dict[str, Any]) -> str:
    return _unpadded(msgspec.json.encode(claims))


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
