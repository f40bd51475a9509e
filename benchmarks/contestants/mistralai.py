"""The parser inside the SDK of Mistral AI."""

import httpx
from mistralai.client.utils.eventstreaming import stream_events


class Contestant:
    longest = 200_000  # it takes time that grows with the square of it

    @staticmethod
    def parse(reads):
        response = httpx.Response(200, content=iter(reads))
        return sum(1 for _ in stream_events(response, lambda event: event))
