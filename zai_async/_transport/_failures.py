"""Exceptions of aiohttp and of the system in our words."""

import ssl
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from zai_async._transport._pool import Note
from zai_async.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProxyError,
    RequestTimeoutError,
    ResponseError,
    TLSError,
    ZaiError,
)

__all__ = ["FOREIGN", "failure", "presentable", "translate"]

# The first match counts.
_TRANSLATION: Final[tuple[tuple[type[BaseException], type[ZaiError], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, TLSError, "the certificate is not trusted"),
    (aiohttp.ClientSSLError, TLSError, "the TLS handshake failed"),
    (aiohttp.ServerFingerprintMismatch, TLSError, "the certificate has another fingerprint"),
    (aiohttp.ClientProxyConnectionError, ProxyError, "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, ProxyError, "the proxy refused the connection"),
    (aiohttp.ConnectionTimeoutError, ConnectTimeoutError, "connecting took too long"),
    (aiohttp.ClientConnectorDNSError, ConnectError, "the host name cannot be resolved"),
    (aiohttp.ClientConnectorError, ConnectError, "the connection was refused"),
    (aiohttp.ClientResponseError, ResponseError, "the answer is not HTTP"),
    (HttpProcessingError, ResponseError, "the answer is not HTTP"),
    (aiohttp.ClientPayloadError, ConnectionLostError, "the answer broke off"),
    (ssl.SSLError, ConnectionLostError, "the TLS connection broke"),
    (TimeoutError, RequestTimeoutError, "the network took too long"),
    (aiohttp.ClientError, ConnectionLostError, "the connection broke"),
    (OSError, ConnectionLostError, "the connection broke"),
    (UnicodeError, ConnectError, "the host name cannot be resolved"),
)
_TALKATIVE: Final = (aiohttp.ClientResponseError, aiohttp.ServerTimeoutError)
FOREIGN: Final[tuple[type[BaseException], ...]] = tuple(row[0] for row in _TRANSLATION)


def translate(error: BaseException) -> ZaiError:
    """Return our word for an exception of aiohttp; addresses with secrets are not repeated."""
    ours, sentence = next(
        (ours, sentence) for foreign, ours, sentence in _TRANSLATION if isinstance(error, foreign)
    )
    detail = str(getattr(error, "strerror", None) or "")
    return ours(f"{sentence}: {detail}" if detail else sentence)


def failure(error: BaseException, note: Note) -> ZaiError:
    """Translate, and tell whether an idle connection had simply been closed by the other side."""
    ours = translate(error)
    if isinstance(ours, ConnectionLostError):
        ours.stale = note.stale
    return ours


def presentable(error: BaseException) -> BaseException | None:
    """Return what a traceback may show: some texts hold whole addresses, secrets included."""
    return None if isinstance(error, _TALKATIVE) else error
