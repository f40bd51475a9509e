"""What goes wrong on the network, in the words of this package and without its secrets.

aiohttp's exceptions hold addresses and headers, and the frames that raised them hold the rest of
the request as local variables, which error trackers send away. So nothing of theirs is handed on:
an error of ours says the reason, and its cause is at most the plain error of the socket.
"""

import errno
import os
import re
import socket
import ssl
from typing import Any, Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from zai_async._codes import STATUSES, UNKNOWN_STATUS, Repeat
from zai_async._secrets import without_frames
from zai_async.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    LocalResourceError,
    ProxyError,
    RequestTimeoutError,
    ResponseError,
    TLSError,
    TransportError,
    ZaiError,
)

__all__ = [
    "AIOHTTP_ERRORS",
    "UNPACKABLE",
    "CutBodyError",
    "behind_proxy",
    "presentable",
    "reason_of",
    "translate",
]


class CutBodyError(aiohttp.ClientPayloadError):
    """A body without a length was to end with its connection, which was cut instead of closed."""

    message = "the connection was cut before it was said to be whole"


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
    # Damage before the headers are whole: whatever answers does not speak HTTP.
    (aiohttp.ClientResponseError, ResponseError, "the answer is not valid HTTP"),
    (HttpProcessingError, ResponseError, "the answer is not valid HTTP"),
    # Damage after them: a proxy or the network spoilt an answer that had begun well.
    (aiohttp.ClientPayloadError, ConnectionLostError, "the answer broke off"),
    (ssl.SSLError, ConnectionLostError, "the TLS connection broke"),
    (TimeoutError, RequestTimeoutError, "the network took too long"),
    (aiohttp.InvalidURL, ConnectError, "the address is invalid"),
    (aiohttp.ClientError, ConnectionLostError, "the connection broke"),
    (OSError, ConnectionLostError, "the connection broke"),
    (UnicodeError, ConnectError, "the host name cannot be resolved"),
)
AIOHTTP_ERRORS: Final[tuple[type[BaseException], ...]] = tuple(row[0] for row in _TRANSLATION)

UNPACKABLE: Final = "Can not decode"
"""How aiohttp begins to say that bytes are not of the coding that was named."""
# aiohttp quotes the bytes it stumbled over, which may echo the request.
_QUOTED: Final = re.compile(r"\s+(?:when reading )?b?['\"].*", re.DOTALL)
_SOCKS_PACKAGES: Final = frozenset({"aiohttp_socks", "python_socks"})
_FILES: Final = LocalResourceError.files_hint
_PORTS: Final = "No local port is free, or this machine has no address of that kind (IPv6)."
_MEMORY: Final = "The system has no memory left for another connection."
_LOCAL: Final = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EADDRNOTAVAIL: _PORTS,
    errno.ENOBUFS: _MEMORY,
    errno.ENOMEM: _MEMORY,
}
# What getaddrinfo() says where it could not even open a socket or a file.
_LOCAL_NAMES: Final = frozenset({socket.EAI_SYSTEM, socket.EAI_MEMORY})


def translate(error: BaseException, *, stale: bool = False) -> ZaiError:
    """Return our error for one of aiohttp's or of the system.

    Args:
        error: What was raised.
        stale: Whether it befell a kept connection before the first byte of the answer.
    """
    plain = system_error(error)
    hint = shortage_hint(plain)
    ours, sentence = next(
        (row[1:] for row in _TRANSLATION if isinstance(error, row[0])),
        (ConnectionLostError, "the connection broke"),
    )
    number = None if plain is None else plain.errno
    if type(error) is aiohttp.ClientConnectorError and number != errno.ECONNREFUSED:
        sentence = "no connection came about"
    if hint is not None and not issubclass(ours, TLSError):
        ours, sentence = LocalResourceError, "this machine cannot open another connection"
    reason = reason_of(error, plain)
    if ours is ResponseError and reason.startswith(UNPACKABLE):
        sentence = "the answer cannot be unpacked"
    repeat = repeat_behind_proxy(error) if ours is ProxyError else None
    translated = ours(
        f"{sentence}: {reason}" if reason else sentence,
        hint=hint or (STATUSES[407].hint if getattr(error, "status", 0) == 407 else None),
        retryable=repeat and repeat != "never",
        repeat=repeat,
    )
    if isinstance(translated, ConnectionLostError):
        translated.stale = stale
        translated.unclosed = isinstance(error, CutBodyError)
    # Set by hand: `raise ... from` inside an except block would keep the original as context.
    translated.__cause__ = plain
    return translated


def behind_proxy(failure: BaseException, hint: str | None, *, unsent: bool) -> BaseException:
    """Return a failure with the proxy in its hint, or as its own: of what was never passed on."""
    if not isinstance(failure, TransportError | ResponseError):
        return failure
    error = failure
    # It answered CONNECT with nothing, or with no HTTP.
    if unsent and isinstance(failure, ConnectionLostError | ResponseError):
        text = f"the proxy opened no connection: {failure.message}"
        error = ProxyError(text, retryable=failure.retryable, repeat=failure.repeat)
        error.__cause__ = failure.__cause__
    # What seems to be the server's fault is often that of who stands before it.
    error.hint = failure.hint or hint
    return error


def repeat_behind_proxy(error: BaseException) -> Repeat:
    """Tell when to connect through a proxy again that could not be reached, or refused to."""
    if not isinstance(error, aiohttp.ClientHttpProxyError):
        return "short"  # as of a server
    meaning = STATUSES.get(error.status) or UNKNOWN_STATUS.get(error.status // 100)
    # Nobody has seen the request, so that no status asks for more patience than this.
    return "short" if meaning is not None and meaning.repeat != "never" else "never"


def reason_of(error: BaseException, plain: BaseException | None) -> str:
    """Return why, in the words of the parser or of the system, without what was received."""
    if plain is not None:
        return str(getattr(plain, "strerror", None) or plain)
    # A body that broke keeps what the parser said as its cause.
    said: Any = getattr(error, "message", None) or getattr(error.__cause__, "message", None)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"HTTP {error.status}"
    if not isinstance(said, str):
        return ""
    return " ".join(_QUOTED.sub("", said).split()).rstrip(":")


def presentable(error: BaseException, body: object, *, stale: bool) -> BaseException:
    """Return what may be raised instead of an exception that came through aiohttp.

    Its frames are taken off: they hold the headers. Raise the result outside of the except block.
    """
    own: BaseException | None = getattr(body, "failure", None)
    if own is not None:
        # The body could not be made: nothing is wrong with the network. The frames of who made
        # it help; those of aiohttp, which called it, come first and do not.
        return without_frames(own, "aiohttp.", "zai_async._transport.")
    if type(error).__module__.partition(".")[0] in _SOCKS_PACKAGES:
        return ProxyError(f"the proxy failed: {error}")
    if isinstance(error, AIOHTTP_ERRORS):
        return translate(error, stale=stale)
    if type(error) is RuntimeError and "start new thread" in str(error):
        # One to look up a name in, which happens before anything is sent.
        return LocalResourceError.of_threads()
    # Neither the network's nor ours: cancelled, or a fault. Where it came from is all that is kept.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None and isinstance(error, Exception) and not isinstance(error, ZaiError):
        code = trace.tb_frame.f_code
        error.add_note(f"raised in {code.co_qualname}, {code.co_filename}:{trace.tb_lineno}")
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def system_error(error: BaseException) -> OSError | None:
    """Return the error of the system behind one of aiohttp's, fresh: without frames."""
    found: Any = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
    if found is None and isinstance(error, OSError):
        found = error
    if not isinstance(found, OSError):
        return None
    if isinstance(found, socket.gaierror | ssl.SSLError):
        text = str(getattr(found, "verify_message", None) or found.strerror or found)
        return type(found)(found.errno, text) if found.errno is not None else None
    if isinstance(found, aiohttp.ClientError) or found.strerror is None:
        # The text would be aiohttp's, with the whole address in it.
        return OSError(found.errno, os.strerror(found.errno)) if found.errno else None
    return OSError(found.errno, found.strerror)


def shortage_hint(plain: OSError | None) -> str | None:
    """Return what helps where this machine, not the network, has run out of something."""
    if isinstance(plain, socket.gaierror):
        return _FILES if plain.errno in _LOCAL_NAMES else None
    return _LOCAL.get(plain.errno or 0) if plain is not None else None
