r"""Characters that a server has cut in two.

Servers that count in UTF-16 may end one event with the first half of an emoji, written as
``\ud83d``, and begin the next one with ``\ude00``. Neither half is a character.
"""

import re
from typing import Final

__all__ = ["Halves"]

# At the end of a string, and not after an odd number of backslashes.
_FIRST: Final = re.compile(rb'(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})(?=")')
_SECOND: Final = re.compile(rb'(?<=")(?=\\u[dD][c-fC-F][0-9a-fA-F]{2})')


class Halves:
    """Keeps a first half back until the event with the second one comes."""

    def __init__(self) -> None:
        self._held = b""

    def join(self, data: bytes) -> bytes:
        """Return an event with the half before put in, and a half at its own end taken out."""
        held, self._held = self._held, b""
        if held:
            data = _SECOND.sub(lambda _: held, data, count=1)
        first = _FIRST.search(data)
        if first is None:
            return data
        self._held = first[1]
        return data[: first.start(1)] + data[first.end(1) :]
