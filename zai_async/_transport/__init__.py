"""The network as the rest of the package sees it: send a request, read pieces, close.

This room is the only one that knows aiohttp, and it imports it late: ``import zai_async`` must
not pay for a library that a command line showing its help never needs.
"""

import importlib
import os
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from zai_async._kinds import is_a
from zai_async._secrets import Secret
from zai_async._transport._forks import isolate, note_for_forks
from zai_async._transport._proxies import proxy_passwords, usable_proxy
from zai_async._wire import Request
from zai_async.errors import ConfigurationError, ConnectionLostError

if TYPE_CHECKING:
    import ssl as tls

__all__ = [
    "NetworkSettings",
    "Request",
    "Response",
    "Transport",
    "isolate",
    "note_for_forks",
    "open_transport",
    "proxy_passwords",
    "read_early",
    "trust_file",
    "usable_proxy",
]


class Response(Protocol):
    """The answer to a request, from its headers on."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields; look-up ignores case."""
        ...

    @property
    def connection_reused(self) -> bool | None:
        """Whether the connection had served an earlier request; None where unknown."""
        ...

    async def read(self) -> bytes:
        """Return the next piece of the body as soon as there is one, ``b""`` at its end.

        Raises:
            TransportError: The connection broke before the body was whole.
        """
        ...

    def at_end(self) -> bool:
        """Tell whether the whole body has been read, so that the connection is free again."""
        ...

    def close(self) -> None:
        """Drop the connection at once unless the body has been read to its end."""
        ...


class Transport(Protocol):
    """What sends requests; implement it to test an application without a socket."""

    async def send(self, request: Request) -> Response:
        """Send a request and return its answer as soon as the headers are there.

        Raises:
            TransportError: No answer came.
        """
        ...

    def close_now(self) -> None:
        """Close all connections without waiting for anything."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the network; times in seconds."""

    proxy: Secret | None = None
    """Address of a proxy for every request; it may hold a password."""
    trust_env: bool = True
    """Whether ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` count."""
    ssl: "tls.SSLContext | bool | None" = None
    """A context of the caller's, or False to verify nothing."""
    keepalive: float = 15.0
    """How long an idle connection is kept."""
    session: Any = None
    """An ``aiohttp.ClientSession`` of the caller's; used as it is and never closed here."""
    process: int = msgspec.field(default_factory=os.getpid)
    """Where they were made: a child of a fork must not use the session of its parent."""

    def __post_init__(self) -> None:
        fitting = {
            "trust_env": (is_a(self.trust_env, bool), "True or False"),
            "ssl": (
                self.ssl is None or is_a(self.ssl, bool) or hasattr(self.ssl, "wrap_bio"),
                "an SSLContext, or False",
            ),
            "session": (
                self.session is None or hasattr(self.session, "ws_connect"),
                "an aiohttp.ClientSession",
            ),
        }
        for name, (fits, words) in fitting.items():
            if not fits:
                kind = type(getattr(self, name)).__name__
                raise ConfigurationError(f"{name} must be {words}, not {kind}")


async def read_early(response: Response) -> bytes:
    """Read while it is not known yet what comes: a document says itself whether it is whole."""
    try:
        return await response.read()
    except ConnectionLostError as error:
        if not error.unclosed:
            raise
    response.close()
    return b""


def trust_file(ca_file: str) -> "tls.SSLContext":
    """Return a TLS context that trusts the certificates of a file and no others.

    Raises:
        ConfigurationError: The file cannot be read, or holds no certificates.
    """
    import ssl as tls  # noqa: PLC0415 - as above

    if not is_a(ca_file, str, PathLike):
        raise ConfigurationError(f"ca_file must be a path, not {type(ca_file).__name__}")
    try:
        return tls.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"ca_file cannot be used: {error.strerror}") from None


def open_transport(settings: NetworkSettings) -> Transport:
    """Open the transport for the running event loop."""
    # aiohttp takes longer to import than all the rest together.
    from zai_async._transport._client import ClientTransport  # noqa: PLC0415 - as above

    try:
        from zai_async._transport._direct import DirectTransport  # noqa: PLC0415 - as above
        from zai_async._transport._internals import hold  # noqa: PLC0415 - as above
    except ImportError:  # a coming aiohttp has moved what it does not document
        return ClientTransport(settings)
    importlib.import_module("anyio._backends._asyncio")  # or anyio would, in the middle of a call
    return DirectTransport(settings) if hold() else ClientTransport(settings)
