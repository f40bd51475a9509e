"""Secrets that cannot be shown by accident, and the redaction of text that may hold them."""

from collections.abc import Callable, Iterable
from typing import NoReturn

__all__ = ["MASK", "Secret", "redact"]

MASK = "**********"

# A shorter run of characters would tear holes into ordinary words.
_SHORTEST = 6


class Secret:
    """A string that shows up masked wherever it is printed, formatted or inspected."""

    __slots__ = ("_hash", "_reveal")

    def __init__(self, value: str) -> None:
        # Held in a closure: tools that print the attributes of an object see no text.
        self._reveal: Callable[[], str] = lambda: value
        self._hash = hash((Secret, value))

    def reveal(self) -> str:
        """Return the secret itself; call it where it is sent and nowhere else."""
        return self._reveal()

    def parts(self) -> tuple[str, ...]:
        """Return the secret and, of an ``id.secret`` key, the secret half."""
        whole = self.reveal()
        half = whole.rpartition(".")[2]
        return tuple(part for part in dict.fromkeys((whole, half)) if len(part) >= _SHORTEST)

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> NoReturn:
        msg = "secrets are not pickled; hand the key over by an environment variable"
        raise TypeError(msg)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """Mask each secret, and the secret half of each ``id.secret`` key, inside a text."""
    for secret in secrets:
        for part in secret.parts():
            text = text.replace(part, MASK)
    return text
