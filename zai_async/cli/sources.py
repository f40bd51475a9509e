"""Files on the command line: a path, or an address that the platform fetches itself."""

from typing import Final

from zai_async.cli.arguments import text
from zai_async.uploads import Media

__all__ = ["media"]

_ADDRESSES: Final = ("http://", "https://", "data:")


def media(word: str) -> str:
    """Return what stands for a file in a request; a path is read when the request is sent."""
    return text(word) if word.startswith(_ADDRESSES) else Media(word, encoding="auto")
