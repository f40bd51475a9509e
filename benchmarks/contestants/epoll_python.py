"""The floor of Python: sockets, epoll and recv, with one turn of the event loop for all of them."""

import asyncio
import select
import socket

from benchmarks.contestants.raw_protocol import Contestant as Raw


class Contestant:
    only = ("step",)

    def __init__(self, url):
        self._raw = Raw(url)
        self._epoll = select.epoll()
        self._open = {}

    async def __aenter__(self):
        asyncio.get_running_loop().add_reader(self._epoll, self._read)
        return self

    async def __aexit__(self, *_):
        asyncio.get_running_loop().remove_reader(self._epoll)
        self._epoll.close()

    async def stream(self, seen):
        with socket.create_connection(self._raw.place) as sock:
            sock.sendall(self._raw.request)
            self._open[sock.fileno()] = sock.recv, seen
            self._epoll.register(sock, select.EPOLLIN)
            await asyncio.get_running_loop().create_future()

    def _read(self):
        for number, _ in self._epoll.poll(0):
            recv, seen = self._open[number]
            for _ in range(recv(2**16).count(b"data: {")):
                seen()
