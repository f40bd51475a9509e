"""Text that comes in many small pieces."""

from typing import Final

__all__ = ["ChunkedText", "beyond"]

_CHUNK: Final = 32


class ChunkedText(list[str]):
    """Pieces of a text, joined a chunk at a time: each for itself takes 60 bytes more."""

    _chunks = 0

    def pack(self) -> None:
        """Join what has come since the last chunk, if that is another one."""
        if len(self) - self._chunks >= _CHUNK:
            self[self._chunks :] = ["".join(self[self._chunks :])]
            self._chunks += 1

    def whole(self) -> str:
        """Return the whole text; it is joined once, until more of it comes."""
        # Megabytes take as long as a turn of the loop may, and several want to see them.
        text = "".join(self)
        if len(self) > 1:
            self[:] = [text]
            self._chunks = 1
        return text


def beyond(known: str, whole: str) -> str | None:
    """Return what a whole text adds to its pieces so far; None if it says something else."""
    if whole.startswith(known):
        return whole.removeprefix(known)
    return "" if whole.split() == known.split() else None
