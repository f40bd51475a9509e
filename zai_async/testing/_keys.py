"""Keys: the only one that is accepted, as it is or as a token signed with it."""

from __future__ import annotations

import binascii
import hmac
import time
from base64 import urlsafe_b64decode
from typing import Literal

import msgspec
from msgspec import Struct

from zai_async.testing._refusal import Refusal

Access = Literal["bearer", "key", "open"]


class _Header(Struct):
    alg: Literal["HS256"]
    sign_type: Literal["SIGN"]


class _Claims(Struct):
    api_key: str
    exp: int
    timestamp: int


class Keys:
    """Check ``Authorization``.

    Without a key of its own it accepts every key that does not begin with ``bad``. A key
    ``id.secret`` may also come as a JWT made from it (RFC 7519): header ``alg`` HS256 and
    ``sign_type`` SIGN, claims ``api_key`` (the id), ``exp`` and ``timestamp``, both in
    milliseconds. An expired token is refused with 1003, one that is signed with another secret
    with 1004, one that is not a token with 1002.
    """

    def __init__(self, api_key: str | None) -> None:
        self._api_key = api_key

    def check(self, authorization: str, access: Access) -> None:
        """Raise ``Refusal`` with 1000 to 1004 for a key that is missing or wrong."""
        if access == "open":
            return
        scheme, _, key = authorization.partition(" ")
        if not scheme:
            raise Refusal("1001")
        if access == "key" and not key:
            scheme, key = "Bearer", scheme
        if scheme != "Bearer" or not key:
            raise Refusal("1000")
        self._check_key(key)

    def _check_key(self, key: str) -> None:
        own = self._api_key
        if key == own:
            return
        if own is not None and key.count(".") == 2:
            _check_token(key, *own.partition(".")[::2])
        elif own is not None or key.startswith("bad"):
            raise Refusal("1000")


def _check_token(token: str, id: str, secret: str) -> None:
    signed, _, signature = token.rpartition(".")
    try:
        header, claims = (_unpacked(part) for part in signed.split("."))
        msgspec.json.decode(header, type=_Header)
        read = msgspec.json.decode(claims, type=_Claims)
        given = _unpacked(signature)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise Refusal("1002") from error
    right = hmac.digest(secret.encode(), signed.encode(), "sha256")
    if read.api_key != id or not hmac.compare_digest(given, right):
        raise Refusal("1004")
    if read.exp < time.time() * 1000:
        raise Refusal("1003")


def _unpacked(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
