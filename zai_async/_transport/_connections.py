"""What is known about the connection of a request, and sockets that notice a silent network."""

import socket
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["USED_CONNECTIONS", "keepalive_socket"]

# NAT gateways forget silent connections after some minutes, and models think for longer.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}


USED_CONNECTIONS: ContextVar[list[Any] | None] = ContextVar("zai_async_connections", default=None)
"""Where the pool writes down which connection the request of this context got."""


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that asks silent networks whether they are still there."""
    family, kind, protocol, *_ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock
