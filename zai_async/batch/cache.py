"""A directory of answers that several runs share, one file for each request."""

import os
import secrets
from pathlib import Path
from typing import Any

import msgspec

from zai_async._files import naming
from zai_async._threads import to_the_end
from zai_async._wire import Operation
from zai_async.batch.keys import canonical_digest

__all__ = ["AnswerCache"]


class AnswerCache:
    """Answers by what was asked for, and where; only whole, good ones are kept.

    A file appears under its name when it is whole. One that cannot be read is a miss.
    """

    def __init__(self, directory: str | os.PathLike[str], base_url: str) -> None:
        self._directory = Path(directory)
        self._base_url = base_url
        self.failures = 0
        """How many answers could not be kept."""

    def _path(self, digest: bytes) -> Path:
        name = canonical_digest(self._base_url, digest.hex()).hex()
        return self._directory / name[:2] / f"{name[2:]}.json"

    async def get(self, operation: Operation[Any], digest: bytes) -> tuple[bytes, Any] | None:
        """Return an answer, as JSON and decoded; None if there is none."""

        def read() -> tuple[bytes, Any] | None:
            try:
                body = self._path(digest).read_bytes()
                return body, operation.decoder.decode(body)
            except (OSError, msgspec.DecodeError, UnicodeError):
                return None

        return await to_the_end(read)

    async def put(self, digest: bytes, body: bytes) -> None:
        """Keep an answer.

        Raises OSError if it cannot be written.
        """

        def write() -> None:
            path = self._path(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{secrets.token_hex(8)}.part")
            try:
                with naming(part):
                    part.write_bytes(body)
                part.replace(path)
            except OSError:
                # Half an answer would take what room is left, for ever.
                part.unlink(missing_ok=True)
                raise

        try:
            await to_the_end(write)
        except OSError:
            self.failures += 1
            raise
