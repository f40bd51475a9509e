"""Ports for the servers of other programs, which are told where to listen."""

import itertools
import os
import socket
from typing import Final

_PORTS: Final = range(10_000, 30_000)
# Workers begin apart from each other.
_places = itertools.count(os.getpid() * 61)


def free_port() -> int:
    """Return a port of loopback that stays free until the program listens at it.

    Those that the system chooses for whoever asks for any, connections included, are above: one of
    them would now and then be that of another test's server by then.
    """
    while True:
        port = _PORTS[next(_places) % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # taken
        return port
