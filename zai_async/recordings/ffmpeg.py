"""What is no WAV becomes one by ffmpeg, a program that is used where it is installed."""

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from typing import Final, cast

import anyio
from anyio.abc import ByteReceiveStream

from zai_async._files import OutputFile, file_path
from zai_async._secrets import one_line
from zai_async._threads import to_the_end
from zai_async.errors import InvalidFileError
from zai_async.uploads.sources import Source

__all__ = ["decoded"]

_PIECE: Final = 2**18
# Playlists name other files and addresses, and would have them read; these hold their sound
# themselves.
_CONTAINERS: Final = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpegts,ogg,w64,wav"
_INPUT: Final = f"-nostdin -v error -protocol_whitelist file,pipe -format_whitelist {_CONTAINERS}"
# What speech recognition works with: a channel of 16 bits at 16 kHz.
_OUTPUT: Final = "-map 0:a:0 -vn -ac 1 -ar 16000 -c:a pcm_s16le -f wav pipe:1"


@asynccontextmanager
async def temporary_folder() -> AsyncGenerator[Path]:
    """Make a folder, and remove it with what is in it."""
    folder = await to_the_end(partial(tempfile.mkdtemp, prefix="zai-async-"))
    try:
        yield Path(folder)
    finally:
        with anyio.CancelScope(shield=True):
            await to_the_end(partial(shutil.rmtree, folder, ignore_errors=True))


async def decoded(source: Source, size: int | None, program: str) -> AsyncGenerator[bytes, None]:
    """Yield the sound of a file of any kind as WAV, while ffmpeg decodes it.

    ``size`` is what was found when the file was inspected. Closing the generator ends ffmpeg.

    Raises:
        InvalidFileError: ffmpeg cannot read it.
    """
    async with temporary_folder() as folder:
        if size is not None and isinstance(source.content, str | os.PathLike):
            path = file_path(cast("str", source.content))
        else:
            # Some containers have their contents at the end: they cannot come through a pipe.
            path = folder / "recording"
            async with OutputFile(path) as file, aclosing(source.pieces(_PIECE)) as given:
                async for piece in given:
                    await file.write(piece)
        # A file and no pipe: what complains much would wait for somebody who reads it.
        log = folder / "log"
        # With a scheme, no name is taken for an option or for another address.
        read = ["-i", f"file:{path.absolute()}"]
        with await to_the_end(partial(log.open, "wb", buffering=0)) as complaints:
            process = await anyio.open_process(
                [program, *_INPUT.split(), *read, *_OUTPUT.split()],
                stdin=DEVNULL,
                stderr=complaints,
            )
        try:
            # While nobody reads it waits, because its pipe is full.
            async for piece in cast("ByteReceiveStream", process.stdout):
                yield piece
            if await process.wait() != 0:
                said = (await to_the_end(log.read_bytes)).decode(errors="replace").strip()
                # The first line is about the file, what follows about what ffmpeg did then. The
                # path may be that of the copy, which the caller has never seen.
                reason = said.split("\n")[0].replace(str(path.absolute()), source.name)
                text = f"{source.name}: ffmpeg cannot read it: {reason}"
                raise InvalidFileError(one_line(text))
        finally:
            # Left early, it would decode the rest into a pipe that nobody reads.
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()
