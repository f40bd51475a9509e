"""Request bodies that are sent while they are read: multipart forms, and JSON with media inside.

The length is known before the first byte is sent, wherever the length of the files is.
"""

import abc
import base64
import inspect
import mimetypes
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final, Protocol

from zai_async.errors import ConfigurationError
from zai_async.models.files import Progress
from zai_async.uploads.media import FileLimits, Media, media_type
from zai_async.uploads.sources import open_source

__all__ = ["BodyStream", "JSONBody", "MultipartBody"]

# Three quarters of 192 KiB: encoding a larger piece would hold the event loop up.
_PIECE: Final = 3 * 2**16 * 3 // 4


# The tables of the standard library alone: those of the machine would have to be read from disk.
_MIME_TYPES: Final = mimetypes.MimeTypes(())
_SUFFIXES: Final = {
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "video/mp4": ".mp4",
    "application/pdf": ".pdf",
}


class BodyStream(Protocol):
    """A body that is made while it is sent."""

    content_type: str
    size: int | None
    """Length in bytes once it is prepared; None if nobody knows it."""
    failure: Exception | None
    """What went wrong while it was made, as far as that is our own doing or the caller's."""
    sent_whole: bool
    """Whether it was taken to its end when it was last sent; before that, it is no request."""

    @property
    def replayable(self) -> bool:
        """Whether it can be sent again from its beginning, as far as that is known."""
        ...

    async def prepare(self) -> None:
        """Look at the files, and raise InvalidFileError before anything is sent."""
        ...

    def alternate(self) -> bool:
        """Write images in the other form, once, where nobody has decided on one."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class _Body(abc.ABC):
    """Counts what is sent, and keeps what goes wrong: HTTP knows it as a lost connection only."""

    size: int | None = None
    failure: Exception | None = None
    sent_whole = False

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def alternate(self) -> bool:
        """Say that there is no other form."""
        return False

    @abc.abstractmethod
    def _stream(self) -> AsyncIterator[bytes]:
        """Yield the body."""

    async def prepare(self) -> None:
        """Look at the files, and raise InvalidFileError before anything is sent."""
        self.failure = None
        self.size = await self._measure()

    @abc.abstractmethod
    async def _measure(self) -> int | None:
        """Look at the files, and return the length of the body; None if nobody knows it."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.sent_whole = False
        try:
            async for piece in self._reported():
                yield piece
            self.sent_whole = True
        except Exception as error:
            self.failure = error
            raise

    async def _reported(self) -> AsyncIterator[bytes]:
        sent = 0
        async for piece in self._stream():
            yield piece
            sent += len(piece)
            await self._report(sent)

    async def _report(self, sent: int) -> None:
        result = self._progress(sent, self.size) if self._progress is not None else None
        if inspect.isawaitable(result):
            await result


class MultipartBody(_Body):
    """A ``multipart/form-data`` body with one file at most (RFC 7578)."""

    def __init__(
        self,
        fields: Mapping[str, Any],
        file: tuple[str, Any] | None,
        limits: FileLimits,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(progress)
        self._boundary = secrets.token_hex(16)
        self._fields = b"".join(self._part(name, value) for name, value in _flat(fields))
        self._file = _Attachment(*file, limits) if file is not None else None
        self.content_type = f"multipart/form-data; boundary={self._boundary}"
        self._head = self._fields
        self._tail = f"--{self._boundary}--\r\n".encode()

    @property
    def replayable(self) -> bool:
        """Whether it can be sent again from its beginning, as far as that is known."""
        return self._file is None or self._file.source.replayable

    async def _measure(self) -> int | None:
        size: int | None = 0
        if self._file is not None:
            size, kind = await self._file.inspect()
            part = self._part(self._file.field, b"", self._file.name, kind)
            # What closes the part follows the content.
            self._head = self._fields + part.removesuffix(b"\r\n")
            self._tail = f"\r\n--{self._boundary}--\r\n".encode()
        return None if size is None else len(self._head) + size + len(self._tail)

    def _part(self, name: str, value: bytes, file: str | None = None, kind: str = "") -> bytes:
        lines = f'--{self._boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
        if file is not None:
            lines += f'; filename="{_quoted(file)}"\r\nContent-Type: {kind}'
        # A path may hold bytes that are no text.
        return lines.encode(errors="replace") + b"\r\n\r\n" + value + b"\r\n"

    async def _stream(self) -> AsyncIterator[bytes]:
        yield self._head
        if self._file is not None:
            async for piece in self._file.pieces():
                yield piece
        yield self._tail


class _Attachment:
    """The file of a form."""

    def __init__(self, field: str, given: Any, limits: FileLimits) -> None:
        name, content, kind = _unpacked(given)
        self.field = field
        self.source = open_source(content)
        self.name: str = name or self.source.name
        self._kind = kind
        self._limits = limits
        self._head = b""

    async def inspect(self) -> tuple[int | None, str]:
        """Check the file; return its size, None if nobody knows it, and its media type."""
        size, self._head = await self.source.inspect()
        self._limits.check(self.name, self._head, size)
        kind = self._kind or media_type(self._head) or _MIME_TYPES.guess_type(self.name)[0]
        if kind is not None and not PurePath(self.name).suffix:
            # The platform goes by the name where it wants to know the format.
            self.name += _SUFFIXES.get(kind, "")
        return size, kind or "application/octet-stream"

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the content."""
        return self._limits.watch(self.name, self._head, self.source.pieces(_PIECE))


def _unpacked(file: Any) -> tuple[str | None, Any, str | None]:
    """Return the name, the content and the media type of a file, as far as they are given."""
    if not _is_many(file):
        return None, file, None
    if len(file) not in {2, 3}:
        raise ConfigurationError("a file is (name, content) or (name, content, media type)")
    name, content, kind = (*file, None)[:3]
    return name, content, kind


def _flat(fields: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """Return the parts of a form: a list is repeated, None is left out."""
    flat: list[tuple[str, bytes]] = []
    for name, value in fields.items():
        values: Sequence[Any] = value if _is_many(value) else [value]
        flat += [(name, _text(name, each)) for each in values if each is not None]
    return flat


def _is_many(value: object) -> bool:
    return isinstance(value, list | tuple)


def _text(name: str, value: object) -> bytes:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name} holds characters that are no text") from None


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


class JSONBody(_Body):
    """JSON in which some strings are the base64 of files."""

    content_type = "application/json"

    def __init__(
        self, text: bytes, media: Sequence[Media], progress: Progress | None = None
    ) -> None:
        super().__init__(progress)
        self._parts: list[bytes | Media] = []
        for each in media:
            before, _, text = text.partition(each.encode())
            self._parts += [before, each]
        self._parts.append(text)

    @property
    def replayable(self) -> bool:
        """Whether it can be sent again from its beginning, as far as that is known."""
        return all(part.source.replayable for part in self._parts if isinstance(part, Media))

    def alternate(self) -> bool:
        """Write images in the other form, once, where nobody has decided on one."""
        switched = [each.alternate() for each in self._parts if isinstance(each, Media)]
        return any(switched)

    async def _measure(self) -> int | None:
        sizes = [
            len(part) if isinstance(part, bytes) else await part.prepare() for part in self._parts
        ]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    async def _stream(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            yield part.prefix
            async for piece in _base64(part.pieces(_PIECE)):
                yield piece


async def _base64(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Encode pieces of any length; only whole groups of three bytes can be encoded on their own."""
    rest = b""
    async for piece in pieces:
        whole = rest + piece
        cut = len(whole) - len(whole) % 3
        rest = whole[cut:]
        if cut:
            yield base64.b64encode(whole[:cut])
    if rest:
        yield base64.b64encode(rest)
