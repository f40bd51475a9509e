"""A recording of any length, read piece by piece as the platform takes them."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import PurePath
from typing import Final

from zai_async._secrets import one_line
from zai_async._threads import abandonable
from zai_async.errors import InvalidFileError
from zai_async.models.files import FileInput
from zai_async.recordings.cutting import Cutter, Piece
from zai_async.recordings.ffmpeg import decoded
from zai_async.uploads.bodies import unpacked
from zai_async.uploads.sources import open_source
from zai_async.uploads.waves import WaveReader

__all__ = ["Recording"]

_READ: Final = 2**18
_MAX_SECONDS: Final = 30
_MAX_BYTES: Final = 25 * 2**20


class Recording:
    """A recording of the caller's, in pieces of at most 30 seconds and 25 MiB.

    Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
    """

    def __init__(self, file: FileInput) -> None:
        name, content, _ = unpacked(file)
        self._source = open_source(content)
        self.name = name or self._source.name
        self._cutter = Cutter(one_line(self.name), _MAX_SECONDS, _MAX_BYTES)

    @property
    def seconds(self) -> float | None:
        """How long it plays, known with the first piece; None where the file does not tell."""
        return self._cutter.seconds

    def part_name(self, piece: Piece) -> str:
        """Return what a piece is called when it is sent."""
        return f"{PurePath(self.name).stem}-{piece.number}.wav"

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Yield the pieces in order, reading no further than is asked for.

        Raises:
            InvalidFileError: It is no recording, or none that can be read on this machine.
        """
        size, head = await self._source.inspect()
        if not head:
            raise InvalidFileError(f"{one_line(self.name)} is empty", limit="size")
        reading = self._source.pieces(_READ)
        try:
            WaveReader(one_line(self.name)).feed(head)
        except InvalidFileError as error:
            program = await abandonable(partial(shutil.which, "ffmpeg"))
            if program is None:
                error.hint = "Where ffmpeg is installed, it is used for what is no plain WAV."
                raise
            reading = decoded(self._source, size, program)
        async with aclosing(reading):
            async for data in reading:
                # Measuring sound takes milliseconds, which the event loop is not held up for.
                for piece in await abandonable(partial(self._cutter.feed, data)):
                    yield piece
        for piece in await abandonable(self._cutter.end):
            yield piece
