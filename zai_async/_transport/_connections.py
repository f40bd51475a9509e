"""What is known about the connection of a request, and sockets that notice a silent network."""

import socket
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["CONNECTION_INFO", "ConnectionInfo", "keepalive_socket"]

# NAT gateways forget silent connections after some minutes, and models think for longer.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}


class ConnectionInfo:
    """What is known about the connection of one request."""

    __slots__ = ("_connection", "reused")

    def __init__(self) -> None:
        self._connection: Any = None
        self.reused: bool | None = None

    def take(self, connection: Any) -> None:
        """Write down which connection the request got."""
        self._connection, self.reused = connection, connection.reused

    @property
    def stale(self) -> bool:
        """Whether the connection had been used before, and has answered nothing since."""
        return bool(self.reused) and self._connection is not None and not self._connection.head


CONNECTION_INFO: ContextVar[ConnectionInfo | None] = ContextVar(
    "zai_async_connection_info", default=None
)


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that asks silent networks whether they are still there."""
    family, kind, protocol, *_ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock
