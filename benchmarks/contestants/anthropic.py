"""The parser inside anthropic-python."""

from anthropic._streaming import SSEDecoder


class Contestant:
    longest = 1_000_000  # it takes time that grows with the square of it

    @staticmethod
    def parse(reads):
        return sum(1 for _ in SSEDecoder().iter_bytes(iter(reads)))
