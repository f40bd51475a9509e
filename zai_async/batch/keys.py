"""What a row is called: its own id, or the hash of what it asks; and which of them are done."""

import hashlib
from typing import Final

import msgspec

__all__ = ["KeyIndex", "KeyState", "canonical_digest", "digest_of"]

_BUCKETS: Final = 2**13
_FIRST, _LAST = 2, 15
_KNOWN: Final = _LAST - _FIRST
"""Bytes that are kept of a digest; those before them say which bucket it is in."""
_POSITION: Final = 8
"""Bytes that say where a line is."""
_FAILED, _DONE, _SEEN = 1, 2, 4
_FLAGS: Final = 7
"""Bits of the first byte that is kept which say what is known, instead of what the digest has."""

_sorted: Final = msgspec.json.Encoder(order="sorted")


class KeyState(msgspec.Struct, frozen=True):
    """What is known about a key."""

    done: bool
    failed: bool
    seen: bool
    """Whether this run has read a row with this key."""
    position: int
    """Where its last line begins in the output; 0 where the index keeps no positions."""


class KeyIndex:
    """The keys of an output and of a run: 13 bytes each, where a set of strings takes 100.

    A false match would be a row that silently is never bought: 114 bits of a digest are kept, 13 of
    them by the bucket. Among a billion keys two are mistaken for each other once in 10^16 runs.

    Args:
        positions: Whether to keep where lines are, which takes another 8 bytes.
    """

    def __init__(self, *, positions: bool = True) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]
        self._record = _KNOWN + _POSITION * positions
        self.done = self.failed = 0

    def _find(self, digest: bytes) -> tuple[bytearray, int]:
        # Buckets keep the search short: find() in one array of a million keys would be slow.
        bucket = self._buckets[(digest[0] << 8 | digest[1]) % _BUCKETS]
        rest = digest[_FIRST + 1 : _LAST]
        place = bucket.find(rest)
        # It may lie across two records, or belong to a digest that differs in the byte before.
        while place >= 0 and (
            place % self._record != 1 or (bucket[place - 1] ^ digest[_FIRST]) > _FLAGS
        ):
            place = bucket.find(rest, place + 1)
        return bucket, place - 1 if place > 0 else -1

    def _add(self, digest: bytes) -> tuple[bytearray, int]:
        """Note a key of which nothing is known, and return where it is."""
        number = (digest[0] << 8 | digest[1]) % _BUCKETS
        place = len(self._buckets[number])
        record = digest[_FIRST:_LAST] + bytes(self._record - _KNOWN)
        # Made anew and not appended to: appending sets an eighth aside for more.
        bucket = self._buckets[number] = self._buckets[number] + record
        bucket[place] &= ~_FLAGS
        return bucket, place

    def _state(self, bucket: bytearray, place: int) -> KeyState:
        flags = bucket[place]
        position = bucket[place + _KNOWN : place + self._record]
        return KeyState(
            bool(flags & _DONE),
            bool(flags & _FAILED),
            bool(flags & _SEEN),
            int.from_bytes(position, "little"),
        )

    def get(self, digest: bytes) -> KeyState | None:
        """Return what is known about a key, None if it is new."""
        bucket, place = self._find(digest)
        return None if place < 0 else self._state(bucket, place)

    def see(self, digest: bytes) -> KeyState | None:
        """Note that a row with this key was read; return what was known before, None if new."""
        bucket, place = self._find(digest)
        if place < 0:
            bucket, place = self._add(digest)
            bucket[place] |= _SEEN
            return None
        before = self._state(bucket, place)
        bucket[place] |= _SEEN
        return before

    def record(self, digest: bytes, position: int, *, failed: bool) -> None:
        """Note the last line of a key."""
        bucket, place = self._find(digest)
        if place < 0:
            bucket, place = self._add(digest)
        before = bucket[place]
        self.failed += failed - bool(before & _FAILED)
        self.done += (not failed) - bool(before & _DONE)
        bucket[place] = before & ~(_FAILED | _DONE) | (_FAILED if failed else _DONE)
        if self._record > _KNOWN:
            place += _KNOWN
            bucket[place : place + _POSITION] = position.to_bytes(_POSITION, "little")


def digest_of(key: str) -> bytes:
    """Return the 16 bytes under which a key is known."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def canonical_digest(operation: str, body: object) -> bytes:
    """Return the hash of a request, in which the order of fields and white space do not count."""
    return hashlib.sha256(operation.encode() + b"\n" + _sorted.encode(body)).digest()[:16]
