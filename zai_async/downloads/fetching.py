"""Fetching a file: with no key, from http and https only, never more than allowed."""

import inspect
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit

import anyio

from zai_async._transport import Request, Response, Transport
from zai_async._version import __version__
from zai_async.downloads.naming import file_name
from zai_async.downloads.partial_file import PartialFile
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


async def _file(to: str | os.PathLike[str], name: str) -> PartialFile:
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
