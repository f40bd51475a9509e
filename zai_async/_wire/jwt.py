"""Short-lived tokens signed with an ``id.secret`` key, which then never travels itself.

Source: https://docs.bigmodel.cn/cn/api/introduction; times are milliseconds, unlike elsewhere.
"""

import base64
import hashlib
import hmac
from typing import Any, Final

import msgspec

from zai_async._secrets import Secret

__all__ = ["sign_token"]

LIFETIME: Final = 210.0
"""Seconds that a token is good for."""


def sign_token(key: Secret, now: float) -> Secret:
    """Return a token for a key of the form ``id.secret``; ``now`` in seconds since the epoch.

    It is made anew for every request: that costs less than to remember one and to notice that it
    has grown old.
    """
    identity, _, secret = key.reveal().partition(".")
    milliseconds = round(now * 1000)
    payload = {
        "api_key": identity,
        "exp": milliseconds + round(LIFETIME * 1000),
        "timestamp": milliseconds,
    }
    signed = f"{_segment({'alg': 'HS256', 'sign_type': 'SIGN'})}.{_segment(payload)}"
    digest = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return Secret(f"{signed}.{_unpadded(digest)}")


def _segment(claims: dict[str, Any]) -> str:
    return _unpadded(msgspec.json.encode(claims))


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
