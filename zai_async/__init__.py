"""The asyncio client for the Z.AI platform."""

from zai_async._version import __version__
from zai_async.client import AsyncZai

__all__ = ["AsyncZai", "__version__"]
