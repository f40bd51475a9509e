"""Errors of the network."""

from zai_async._codes import Kind, Repeat
from zai_async.errors.root import ZaiError

__all__ = [
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "ProxyError",
    "RequestTimeoutError",
    "TLSError",
    "TransportError",
]


class TransportError(ZaiError):
    """The network failed."""

    kind: Kind = "connection"
    retryable = True
    repeat: Repeat = "short"
    request_sent = True
    """Whether the server may have received the request."""


class ConnectError(TransportError, ConnectionError):
    """No connection to the server came about; the request was not sent."""

    request_sent = False


class TLSError(ConnectError):
    """The certificate or the handshake is not good; never tried again."""

    retryable = False
    repeat: Repeat = "never"


class ProxyError(ConnectError):
    """The proxy could not be reached or refused."""

    retryable = False
    repeat: Repeat = "never"


class ConnectionLostError(TransportError, ConnectionError):
    """An open connection broke before the answer was whole."""

    stale = False
    """Whether a kept connection broke before the first byte of an answer, as idle ones do."""


class RequestTimeoutError(TransportError, TimeoutError):
    """Waiting for the first byte of the answer took too long."""

    kind: Kind = "timeout"


class ConnectTimeoutError(RequestTimeoutError):
    """Connecting took too long; the request was not sent."""

    request_sent = False
