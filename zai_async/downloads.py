"""Files that results point to: streamed to disk, there when they are whole and not before.

They are fetched with no key, from http and https only, and never more of them than is allowed.
"""

import inspect
import mimetypes
import os
import re
import secrets
from collections.abc import Awaitable, Mapping
from contextlib import ExitStack
from email.message import Message
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import anyio

from zai_async._threads import to_the_end
from zai_async._transport import Request, Response, Transport
from zai_async._version import __version__
from zai_async.errors import (
    ConfigurationError,
    ConnectionLostError,
    LimitError,
    RequestTimeoutError,
    ResponseError,
)
from zai_async.models import Timeout
from zai_async.models.files import Progress

__all__ = ["download"]

T = TypeVar("T")

_TWO_GIB: Final = 2**31
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
# As it is stored: a compressed answer would say nothing about the size of the file.
_HEADERS: Final = {"User-Agent": f"zai-async/{__version__}", "Accept-Encoding": "identity"}

# The tables of the standard library alone: those of the machine would have to be read from disk.
_KINDS: Final = mimetypes.MimeTypes(())
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
# Bytes: file systems take 255, and a number may follow.
_LONGEST: Final = 200
_LONGEST_SUFFIX: Final = 40


async def download(
    transport: Transport,
    url: str,
    to: str | os.PathLike[str],
    *,
    timeout: Timeout,  # noqa: ASYNC109 - four clocks, none of which is for the whole
    max_bytes: int = _TWO_GIB,
    on_progress: Progress | None = None,
) -> Path:
    """Fetch a file and return where it lies; see ``AsyncZai.download``."""
    _require_web(url)
    response, address = await _open(transport, url, timeout)
    try:
        size = _size(response, max_bytes)
        async with await _file(to, file_name(address, response.headers)) as file:
            received = 0
            while piece := await _within(timeout.between_progress, response.read()):
                received += len(piece)
                _require_within(received, max_bytes)
                await file.write(piece)
                await _report(on_progress, received, size)
            _require_whole(received, size)
    finally:
        response.close()
    return file.path


def _require_web(url: str) -> None:
    if not _is_web(url):
        raise ConfigurationError("only http:// and https:// addresses can be downloaded")


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


async def _open(transport: Transport, url: str, timeout: Timeout) -> tuple[Response, str]:  # noqa: ASYNC109
    """Return the answer that is the file, and the address where it was found."""
    for _ in range(1 + _MOST_REDIRECTS):
        response = await _within(timeout.first_byte, _sent(transport, url, timeout))
        target = response.headers.get("Location")
        if response.status == 200:
            return response, url
        response.close()
        if response.status not in _REDIRECTS or target is None:
            raise _refusal(response.status)
        url = urljoin(url, target)
        if not _is_web(url):
            raise ResponseError("the file is said to lie where neither http nor https leads")
    raise ResponseError("the address redirects in circles")


def _sent(transport: Transport, url: str, timeout: Timeout) -> Awaitable[Response]:
    request = Request(
        operation="download",
        method="GET",
        url=url,
        headers=_HEADERS,
        bare=True,
        connect_timeout=timeout.connect,
    )
    return transport.send(request)


def _refusal(status: int) -> ResponseError:
    return ResponseError(
        f"HTTP {status} instead of the file",
        status_code=status,
        retryable=status >= 500 or status == 429,
        hint="Addresses of results are valid for some time only." if status < 500 else None,
    )


async def _within(limit: float | None, work: Awaitable[T]) -> T:
    with anyio.move_on_after(limit):
        return await work
    raise RequestTimeoutError(f"nothing came for {limit:g} s")


def _size(response: Response, max_bytes: int) -> int | None:
    """Return the announced size of the file, None if it is not known."""
    length = response.headers.get("Content-Length", "")
    if response.headers.get("Content-Encoding", "identity") != "identity" or not length.isdigit():
        return None
    _require_within(int(length), max_bytes)
    return int(length)


def _require_within(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise LimitError(f"the file is larger than {max_bytes} bytes", limit=max_bytes)


def _require_whole(received: int, size: int | None) -> None:
    if size is not None and received != size:
        raise ConnectionLostError(f"the file broke off after {received} of {size} bytes")


async def _file(to: str | os.PathLike[str], name: str) -> "PartialFile":
    """Return the file to be: in a directory under a name of its own, or as the caller names it."""
    path = anyio.Path(to)
    if os.fspath(to).endswith(("/", os.sep)):
        await path.mkdir(parents=True, exist_ok=True)
    if await path.is_dir():
        # The name is the server's choice, which may be that of something dear.
        return PartialFile(Path(path / name), replaces=False)
    return PartialFile(Path(path))


async def _report(on_progress: Progress | None, received: int, size: int | None) -> None:
    result = on_progress(received, size) if on_progress is not None else None
    if inspect.isawaitable(result):
        await result


def file_name(url: str, headers: Mapping[str, str]) -> str:
    """Name a file as the server does, or after its address, with a suffix in any case."""
    name = _safe(_announced(headers)) or _safe(unquote(urlsplit(url).path)) or "download"
    stem, _, suffix = name.rpartition(".")
    suffix = f".{_cut(suffix, _LONGEST_SUFFIX)}" if stem else _suffix(headers)
    return _cut(stem or name, _LONGEST - len(suffix.encode())) + suffix


def _cut(name: str, most: int) -> str:
    """Return the beginning of a name, in so many bytes at most."""
    return name.encode()[:most].decode(errors="ignore")


def _announced(headers: Mapping[str, str]) -> str:
    message = Message()
    message["Content-Disposition"] = _one_line(headers.get("Content-Disposition", ""))
    return message.get_filename("")


def _one_line(field: str) -> str:
    return "".join(field.splitlines())


def _safe(name: str) -> str:
    """Return the last part of a path, without what some file system cannot hold."""
    last = re.split(r"[/\\]", name)[-1]
    name = _UNSAFE.sub("_", last).strip(" .")
    return f"_{name}" if _RESERVED.fullmatch(name.partition(".")[0]) else name


def _suffix(headers: Mapping[str, str]) -> str:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return _KINDS.guess_extension(kind) or ""


class PartialFile:
    """Write to a file beside the wanted one, which takes its name when the block ends well.

    What has that name already is replaced, or else the new file gets a number.
    """

    def __init__(self, target: Path, *, replaces: bool = True) -> None:
        self.path = target
        """Where the file lies, once the block has ended."""
        self._replaces = replaces
        self._part = target.with_name(f".{secrets.token_hex(8)}.part")
        self._files = ExitStack()
        self._file: BinaryIO

    async def __aenter__(self) -> Self:
        try:
            await to_the_end(self._open)
        except BaseException:
            await to_the_end(self._drop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await to_the_end(self._keep if kind is None else self._drop)

    async def write(self, piece: bytes) -> None:
        """Append a piece."""
        await to_the_end(partial(self._file.write, piece))

    def _open(self) -> None:
        self._file = self._files.enter_context(self._part.open("xb"))

    def _keep(self) -> None:
        try:
            self._files.close()
            self._name()
        except BaseException:
            self._drop()
            raise

    def _name(self) -> None:
        if self._replaces:
            self._part.replace(self.path)
        else:
            self.path = _renamed(self._part, self.path)

    def _drop(self) -> None:
        try:
            self._files.close()
        finally:
            self._part.unlink(missing_ok=True)


def _renamed(path: Path, wanted: Path) -> Path:
    """Rename a file to image.png or, as far as these are taken, image-2.png, image-3.png ..."""
    name, number = wanted, 1
    while not _rename_to_new(path, name):
        number += 1
        name = wanted.with_stem(f"{wanted.stem}-{number}")
    return name


def _rename_to_new(path: Path, name: Path) -> bool:
    """Rename a file unless the name is taken, whoever else wants it at the same moment."""
    try:
        os.link(path, name)
    except FileExistsError:
        return False
    except OSError:
        return _reserve_and_rename(path, name)
    path.unlink()
    return True


def _reserve_and_rename(path: Path, name: Path) -> bool:
    """Do the same in a file system that has no links."""
    try:
        name.open("xb").close()
    except FileExistsError:
        return False
    path.replace(name)
    return True
