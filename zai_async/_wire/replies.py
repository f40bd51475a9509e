"""From the bytes of an answer to its struct, or to the error that it reports."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from zai_async._secrets import Secret
from zai_async._wire.endpoints import Endpoint
from zai_async._wire.envelopes import open_envelope
from zai_async._wire.faults import error_in_body, not_the_api
from zai_async.models import Reply
from zai_async.models.tolerant import decode
from zai_async.providers import ZAI, Provider

__all__ = ["parse_reply"]

T = TypeVar("T")


def parse_reply(
    endpoint: Endpoint[T],
    data: bytes,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    secrets: Iterable[Secret] = (),
    provider: Provider = ZAI,
) -> T:
    """Return the decoded answer of an operation; ``now`` in seconds since the epoch.

    Raises:
        APIError: The body reports an error, whatever the status says.
        ResponseError: The body is not an answer of the API.
    """
    data = open_envelope(provider, endpoint.result, data)
    error = error_in_body(data, status=status, headers=headers, now=now, secrets=secrets)
    if error is not None:
        raise error
    try:
        result = decode(endpoint.decoder, data)
    except msgspec.DecodeError:
        raise not_the_api(data, status=status, headers=headers, secrets=secrets) from None
    if isinstance(result, Reply) and result.request_id is None:
        result.request_id = headers.get("X-Log-Id")
    return result
