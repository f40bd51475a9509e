"""The parser inside anthropic-python."""

from anthropic._streaming import SSEDecoder


class Contestant:
    @staticmethod
    def parse(reads):
        return sum(1 for _ in SSEDecoder().iter_bytes(iter(reads)))
