"""The parser of sseclient-py, which synchronous programs use."""

from sseclient import SSEClient


class Contestant:
    longest = 1_000_000  # it takes time that grows with the square of it

    @staticmethod
    def parse(reads):
        return sum(1 for _ in SSEClient(iter(reads)).events())
