"""Who takes part: one module for each, with a class ``Contestant``.

It is made with a base URL and used as an asynchronous context. Whatever of this it lacks keeps it
out of the scenarios that need it, and a package that is not installed keeps it out of all::

    async def stream(self, seen) -> None     read one chat stream, call seen() for each event
    async def stall(self, forever) -> None   read its first event only, and await forever
    async def ask(self) -> str               make one unary call
    async def ask_many(self, calls, in_flight) -> None    make unary calls its own way
    async def upload(self, path) -> None     send a file
    parse(reads) -> int                      cut bytes into events, and count them
    imports, opens                           statements: the import, and making a client
    most = 1                                 how much at once it is fit for
    longest = 1_000_000                      how long an event it is fit for
    only = ("step",)                         the scenarios it is made for
    practice = 0                             how often it does the work before that is measured
    pid                                      the process that does it, if that is another one

The order of ``NAMES`` is that of the tables; ratios refer to ours.
"""

from importlib import import_module
from typing import Any

NAMES = (
    "ours",
    "bare_aiohttp",
    "raw_protocol",
    "raw_iterator",
    "event_loop",
    "epoll_python",
    "httpx_naive",
    "httpx_sse",
    "sseclient_py",
    "anthropic",
    "mistralai",
    "zai_sdk",
    "litellm",
    "openai_aiohttp",
    "openai_default",
    "node_openai",
    "node_eventsource_parser",
)
MODEL = "glm-4.6"
QUESTION = [{"role": "user", "content": "Say something about the world."}]


def contestant(name: str) -> Any:
    """Return the class of a contestant."""
    return import_module(f"{__name__}.{name}").Contestant


def missing(name: str) -> str:
    """Return the module that a contestant lacks, nothing if it can take part."""
    try:
        contestant(name)
    except ModuleNotFoundError as error:
        return str(error.name)
    return ""
