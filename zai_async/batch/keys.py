"""What a row is called: its own id, or the hash of what it asks; and which of them are done."""

import hashlib
from typing import Final

import msgspec

__all__ = ["KeyIndex", "KeyState", "canonical_digest", "digest_of"]

_RECORD: Final = 24
"""Bytes of a key: 16 of its digest, 8 of where its line is and what is known about it."""
_BUCKETS: Final = 2**14
_FAILED, _DONE, _SEEN = 1, 2, 4
_FLAGS: Final = 3
"""Bits below the position."""

_sorted: Final = msgspec.json.Encoder(order="sorted")


class KeyState(msgspec.Struct, frozen=True):
    """What is known about a key."""

    done: bool
    failed: bool
    seen: bool
    """Whether this run has read a row with this key."""
    position: int
    """Where its last line begins in the output."""


class KeyIndex:
    """The keys of an output and of a run: 24 bytes each, where a set of strings takes 100.

    A false match would be a row that silently is never bought: 128 bits of the digest are kept.
    """

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]
        self.done = self.failed = 0

    def _find(self, digest: bytes) -> tuple[bytearray, int]:
        # Buckets keep the search short: find() in one array of a million keys would be slow.
        bucket = self._buckets[int.from_bytes(digest[:2], "big") & (_BUCKETS - 1)]
        place = bucket.find(digest)
        while place >= 0 and place % _RECORD:  # it lies across two records
            place = bucket.find(digest, place + 1)
        return bucket, place

    def get(self, digest: bytes) -> KeyState | None:
        """Return what is known about a key, None if it is new."""
        bucket, place = self._find(digest)
        if place < 0:
            return None
        value = int.from_bytes(bucket[place + 16 : place + _RECORD], "little")
        return KeyState(
            bool(value & _DONE), bool(value & _FAILED), bool(value & _SEEN), value >> _FLAGS
        )

    def see(self, digest: bytes) -> KeyState | None:
        """Note that a row with this key was read; return what was known before, None if new."""
        bucket, place = self._find(digest)
        if place < 0:
            bucket += digest + _SEEN.to_bytes(8, "little")
            return None
        value = int.from_bytes(bucket[place + 16 : place + _RECORD], "little")
        bucket[place + 16] |= _SEEN
        return KeyState(
            bool(value & _DONE), bool(value & _FAILED), bool(value & _SEEN), value >> _FLAGS
        )

    def record(self, digest: bytes, position: int, *, failed: bool) -> None:
        """Note the last line of a key."""
        bucket, place = self._find(digest)
        before = 0
        if place < 0:
            place = len(bucket)
            bucket += digest + bytes(8)
        else:
            before = bucket[place + 16]
        self.failed += failed - bool(before & _FAILED)
        self.done += (not failed) - bool(before & _DONE)
        value = position << _FLAGS | (before & _SEEN) | (_FAILED if failed else _DONE)
        bucket[place + 16 : place + _RECORD] = value.to_bytes(8, "little")


def digest_of(key: str) -> bytes:
    """Return the 16 bytes under which a key is known."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def canonical_digest(operation: str, body: object) -> bytes:
    """Return the hash of a request, in which the order of fields and white space do not count."""
    return hashlib.sha256(operation.encode() + b"\n" + _sorted.encode(body)).digest()[:16]
