"""Request bodies that are sent while they are read: multipart forms, and JSON with media inside.

The length is known before the first byte is sent, wherever the length of the files is.
"""

import abc
import base64
import inspect
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Final, Protocol, cast

from zai_async._files import media_types
from zai_async._secrets import one_line
from zai_async.errors import ConfigurationError, InvalidFileError
from zai_async.models.encoding import encode
from zai_async.models.files import Progress
from zai_async.uploads.media import Encoding, FileLimits, Media, media_type
from zai_async.uploads.sources import Source, open_source

__all__ = ["BodyStream", "JSONBody", "MultipartBody"]

# Three quarters of 192 KiB: encoding a larger piece would hold the event loop up.
_PIECE: Final = 3 * 2**16 * 3 // 4

_SUFFIXES: Final = {
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "video/mp4": ".mp4",
    "application/pdf": ".pdf",
}


# A type, and parameters without line breaks (RFC 9110, section 8.3.1).
_MEDIA_TYPE: Final = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:[ \t]*;[ \t]*[^\x00-\x1f\x7f]*)?", re.ASCII
)
_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class BodyStream(Protocol):
    """A body that is made while it is sent."""

    content_type: str
    size: int | None
    """Length in bytes once it is prepared; None if nobody knows it."""

    @property
    def failure(self) -> Exception | None:
        """What went wrong while it was made, as far as that is our own doing or the caller's."""
        ...

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

    async def aclose(self) -> None:
        """Read no more of the files."""
        ...


class FilePart:
    """One file in one request: what was found when it was looked at, and its bytes."""

    head: bytes
    """How it begins, once it was inspected."""

    def __init__(self, source: Source, limits: FileLimits, name: str) -> None:
        self.source = source
        self.name = name
        # A name may hold what no terminal or log takes.
        self._shown = one_line(name)
        self.size: int | None = None
        self._limits = limits
        self._reading: AsyncGenerator[bytes, None] | None = None

    async def inspect(self) -> None:
        """Look at the file, and raise InvalidFileError if it must not be sent."""
        self.size, self.head = await self.source.inspect()
        self._limits.check(self._shown, self.head, self.size)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the content; raise if it is not what was announced, which is known by now only."""
        received = 0
        self._reading = self.source.pieces(_PIECE)
        async for piece in self._reading:
            received += len(piece)
            if self.size is None:
                if piece:
                    self._limits.check(self._shown, self.head, received)
            elif received > self.size:
                break
            if piece:
                yield piece
        if self.size is None:
            self._limits.check(self._shown, self.head, received)
        elif received != self.size:
            # Something else than promised: the server would wait for the rest, or take a part
            # for the whole.
            there = "more" if received > self.size else f"{received}"
            await self.aclose()  # whoever asked for the pieces may not come back
            raise InvalidFileError(
                f"{self._shown} has changed while it was sent: {self.size} bytes were announced, "
                f"{there} were there",
                limit="size",
            )

    async def aclose(self) -> None:
        """Read no more."""
        reading, self._reading = self._reading, None
        if reading is not None:
            # While it waits for a thread, it is being cancelled, and ends by itself.
            with suppress(RuntimeError):
                await reading.aclose()


class CountedBody(abc.ABC):
    """Counts what is sent, and keeps what goes wrong: HTTP knows it as a lost connection only."""

    size: int | None = None
    failure: Exception | None = None
    sent_whole = False
    _parts: Sequence[bytes | FilePart] = ()
    _progress: Progress | None = None

    @property
    def replayable(self) -> bool:
        """Whether it can be sent again from its beginning, as far as that is known."""
        return all(isinstance(part, bytes) or part.source.replayable for part in self._parts)

    @abc.abstractmethod
    def alternate(self) -> bool:
        """Write images in the other form, once, where nobody has decided on one."""

    @abc.abstractmethod
    def _stream(self) -> AsyncIterator[bytes]:
        """Yield the body."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.sent_whole, sent = False, 0
        try:
            async for piece in self._stream():
                yield piece
                sent += len(piece)
                result = self._progress(sent, self.size) if self._progress is not None else None
                if inspect.isawaitable(result):
                    await result
            self.sent_whole = True
        except Exception as error:
            self.failure = error
            raise

    async def aclose(self) -> None:
        """Read no more: whoever sends has stopped in the middle."""
        for part in self._parts:
            if isinstance(part, FilePart):
                await part.aclose()


class MultipartBody(CountedBody):
    """A ``multipart/form-data`` body with one file at most (RFC 7578)."""

    def __init__(
        self,
        fields: Mapping[str, Any],
        file: tuple[str, Any] | None,
        limits: FileLimits,
        progress: Progress | None = None,
    ) -> None:
        # Random, so that no file holds it by chance or by design.
        self._boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={self._boundary}"
        self._fields = b""
        for name, value in fields.items():
            # A list is repeated, None is left out.
            several = isinstance(value, list | tuple)
            values = cast("Sequence[Any]", value) if several else (value,)
            for each in values:
                if each is not None:
                    self._fields += self._head(name) + form_value(name, each) + b"\r\n"
        self._before, self._after = self._fields, f"--{self._boundary}--\r\n".encode()
        self._file: FilePart | None = None
        if file is not None:
            self._field, given = file
            called, content, self._kind = unpacked(given)
            source = open_source(content)
            self._file = FilePart(source, limits, called or source.name)
            self._parts = [self._file]
        self._progress = progress

    def alternate(self) -> bool:
        """Say that there is no other form."""
        return False

    async def prepare(self) -> None:
        """Look at the file, and raise InvalidFileError before anything is sent."""
        self.failure = None
        size: int | None = 0
        if (file := self._file) is not None:
            await file.inspect()
            guessed = media_types().guess_type(file.name)[0]
            kind = self._kind or media_type(file.head) or guessed
            if kind is not None and not PurePath(file.name).suffix:
                # The platform goes by the name where it wants to know the format.
                file.name += _SUFFIXES.get(kind, "")
            head = self._head(self._field, file.name, kind or "application/octet-stream")
            self._before = self._fields + head
            # What closes the part follows the content.
            self._after = f"\r\n--{self._boundary}--\r\n".encode()
            size = file.size
        self.size = None if size is None else len(self._before) + size + len(self._after)

    def _head(self, name: str, file: str | None = None, kind: str = "") -> bytes:
        """Return what comes before the content of a part."""
        names = [f'name="{name.translate(_ESCAPES)}"']
        if file is not None:
            names.append(f'filename="{file.translate(_ESCAPES)}"')
        lines = f"--{self._boundary}\r\nContent-Disposition: form-data; {'; '.join(names)}\r\n"
        lines += f"Content-Type: {kind}\r\n\r\n" if kind else "\r\n"
        # A path may hold bytes that are no text.
        return lines.encode(errors="replace")

    async def _stream(self) -> AsyncIterator[bytes]:
        yield self._before
        if self._file is not None:
            async for piece in self._file.pieces():
                yield piece
        yield self._after


def unpacked(file: Any) -> tuple[str | None, Any, str | None]:
    """Return the name, the content and the media type of a file, as far as they are given.

    Raises:
        ConfigurationError: The tuple has another length, or its name or type cannot be sent.
    """
    if not isinstance(file, list | tuple):
        return None, file, None
    given = [*cast("Sequence[Any]", file), None]
    if len(given) not in {3, 4}:
        raise ConfigurationError("a file is (name, content) or (name, content, media type)")
    name, content, kind = given[:3]
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(f"the name of a file must be text, not {type(name).__name__}")
    # Anything else would add lines to the head of its part.
    if kind is not None and not (isinstance(kind, str) and _MEDIA_TYPE.fullmatch(kind)):
        raise ConfigurationError(f"{kind!r} is not a media type such as 'audio/wav'")
    return name, content, kind


def form_value(name: str, value: object) -> bytes:
    """Return a field of a form: text and numbers as they are, anything else as JSON.

    Raises:
        ConfigurationError: It holds what JSON does not know, or characters that are no text.
    """
    try:
        if isinstance(value, str):
            return value.encode()
        return encode(value)
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name} holds characters that are no text") from None
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}: {error}") from None


class JSONBody(CountedBody):
    """JSON in which some strings are the base64 of files."""

    content_type = "application/json"

    def __init__(
        self, text: bytes, media: Sequence[Media], progress: Progress | None = None
    ) -> None:
        self._encodings: dict[FilePart, Encoding] = {}
        self._media: dict[FilePart, Media] = {}
        self._prefixes: dict[FilePart, bytes] = {}
        parts: list[bytes | FilePart] = []
        for each in media:
            before, _, text = text.partition(each.encode())
            part = FilePart(each.source, each.limits, each.source.name)
            self._encodings[part], self._media[part] = each.encoding, each
            parts += [before, part]
        self._parts = [*parts, text]
        self._progress = progress

    def alternate(self) -> bool:
        """Write images in the other form, once, where nobody has decided on one."""
        # For this request alone: another may have the same picture on its way.
        free = [part for part, encoding in self._encodings.items() if encoding == "auto"]
        self._encodings.update(dict.fromkeys(free, "raw"))
        return bool(free)

    async def prepare(self) -> None:
        """Look at the files, and raise InvalidFileError before anything is sent."""
        self.failure = None
        sizes: list[int | None] = []
        for part in self._parts:
            if isinstance(part, bytes):
                sizes.append(len(part))
                continue
            await part.inspect()
            prefix = self._media[part].prefix(part.head, self._encodings[part]).encode()
            self._prefixes[part] = prefix
            sizes.append(None if part.size is None else len(prefix) + (part.size + 2) // 3 * 4)
        known = [size for size in sizes if size is not None]
        self.size = sum(known) if len(known) == len(sizes) else None

    async def _stream(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            yield self._prefixes[part]
            # Only whole groups of three bytes can be encoded on their own.
            rest = b""
            async for piece in part.pieces():
                whole = rest + piece
                cut = len(whole) - len(whole) % 3
                rest = whole[cut:]
                if cut:
                    yield base64.b64encode(whole[:cut])
            if rest:
                yield base64.b64encode(rest)
