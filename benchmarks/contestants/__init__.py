"""Who takes part: one module for each, with a class ``Contestant``.

It is made with a base URL and used as an asynchronous context. Whatever of this it lacks keeps it
out of the scenarios that need it::

    async def stream(self, seen) -> None     read one chat stream, call seen() for each event
    async def ask(self) -> str               make one unary call
    async def upload(self, path) -> None     send a file
    parse(reads) -> int                      cut bytes into events, and count them
    imports, opens                           statements: the import, and making a client
    most = 1                                 how much at once it is fit for

The order of ``NAMES`` is that of the tables; ratios refer to the first and the last.
"""

from importlib import import_module
from typing import Any

NAMES = ("ours", "bare_aiohttp", "raw_protocol", "httpx_naive", "zai_sdk", "openai_default")
MODEL = "glm-4.6"
QUESTION = [{"role": "user", "content": "Say something about the world."}]


def contestant(name: str) -> Any:
    """Return the class of a contestant."""
    return import_module(f"{__name__}.{name}").Contestant
