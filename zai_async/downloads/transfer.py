"""The way of a file from the network: redirects, retries, and going on where it broke off."""

import inspect
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit

import anyio

from zai_async._clock import Clock
from zai_async._files import OutputFile
from zai_async._kinds import is_whole
from zai_async._threads import abandonable
from zai_async._transport import Request, Response, Transport
from zai_async._version import __version__
from zai_async._wire import parse_retry_after
from zai_async.downloads.names import file_name, guessed_type
from zai_async.downloads.targets import PartialFile, require_place, target_of
from zai_async.errors import (
    ConfigurationError,
    ConnectionLostError,
    LimitError,
    LocalResourceError,
    RequestTimeoutError,
    ResponseError,
    TransportError,
)
from zai_async.models import Timeout
from zai_async.models.files import Progress
from zai_async.retry import RetryPolicy

__all__ = ["download"]

T = TypeVar("T")

_TWO_GIB: Final = 2**31
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
# As it is stored: a compressed answer would say nothing about the size of the file.
_HEADERS: Final = {"User-Agent": f"zai-async/{__version__}", "Accept-Encoding": "identity"}
# A store may know a file some seconds later than the task that made it says so.
_TRIES_OF_A_MISSING_FILE: Final = 3
_BUSY: Final = frozenset({408, 425, 429})
# Of a file, and of an answer that is read whole, this much is progress, or the end.
_PROGRESS_BYTES: Final = 2**14
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)", re.ASCII)
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
_NOTICES: Final = frozenset({"application/json", "application/xml", "text/xml", "text/plain"})
_MEDIA: Final = ("image/", "video/", "audio/")
_BOM: Final = b"\xef\xbb\xbf"
_SNIFFED: Final = 64
# No picture or film begins like a page, a notice of a store, or JSON. Sound without a header may
# begin with any byte, and is told from text by those that no text has.
_TEXTUAL: Final = re.compile(rb"[<{\[][^\x00-\x08\x0e-\x1a\x1c-\x1f]*")


async def download(
    transport: Transport,
    url: str,
    to: str | os.PathLike[str],
    *,
    timeout: Timeout,  # noqa: ASYNC109 - four clocks, none of which is for the whole
    policy: RetryPolicy,
    clock: Clock,
    max_bytes: int = _TWO_GIB,
    on_progress: Progress | None = None,
    allow: Callable[[str, str], bool] | None = None,
) -> Path:
    """Fetch a file and return where it lies; see ``AsyncZai.download``."""
    if not is_web(url):
        raise ConfigurationError("only http:// and https:// addresses can be downloaded")
    if not is_whole(max_bytes) or max_bytes < 1:
        raise ConfigurationError(f"max_bytes must be a whole number above 0, not {max_bytes!r}")
    for name, function in (("on_progress", on_progress), ("allow", allow)):
        if function is not None and not callable(function):
            kind = type(function).__name__
            raise ConfigurationError(f"{name} must be a function, not {kind}")
    await abandonable(partial(require_place, to), waits=False)
    async with AsyncExitStack() as files:
        transfer = Transfer(
            transport,
            url,
            to,
            files,
            limits=timeout,
            max_bytes=max_bytes,
            on_progress=on_progress,
            allow=allow,
            now=clock.wall,
        )
        failures, last = 0, clock.monotonic()
        while True:
            before = transfer.received
            try:
                await transfer.go_on()
                break
            except (TransportError, ResponseError) as error:
                if transfer.received > before:  # it goes on, if slowly
                    failures, last = 0, clock.monotonic()
                failures += 1
                # An address that has expired answers so, too, and will for ever.
                missing = error.status_code == 404
                if missing and failures > _TRIES_OF_A_MISSING_FILE:
                    raise
                elapsed = clock.monotonic() - last
                wait = policy.decide(error, retry=failures, elapsed=elapsed, jitter=clock.random())
                if wait is None or not transfer.can_repeat:
                    raise
            await clock.sleep(wait)
    return transfer.path


class Transfer:
    """A file on its way, through as many connections as it takes."""

    def __init__(
        self,
        transport: Transport,
        url: str,
        to: str | os.PathLike[str],
        files: AsyncExitStack,
        *,
        limits: Timeout,
        max_bytes: int,
        on_progress: Progress | None,
        allow: Callable[[str, str], bool] | None,
        now: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._url = url
        self._to = to
        self._files = files
        self._limits = limits
        self._max_bytes = max_bytes
        self._on_progress = on_progress
        self._allow = allow
        self._now = now
        self._file: PartialFile | OutputFile | None = None
        self._validator: str | None = None
        self._size: int | None = None
        self.received = 0
        """Bytes of the file so far."""

    @property
    def path(self) -> Path:
        """Where the file lies when it is whole."""
        return self._file.path if self._file is not None else Path(os.fsdecode(self._to))

    @property
    def can_repeat(self) -> bool:
        """Whether another try may help: what a pipe was given cannot be taken back."""
        can_go_on = self._validator is not None
        return not self.received or isinstance(self._file, PartialFile) or can_go_on

    async def go_on(self) -> None:
        """Fetch the rest of the file.

        Raises:
            TransportError: The connection failed or broke.
            ResponseError: Something else came instead of the file.
        """
        response, address = await self.find()
        try:
            size, file = await self.begin(response, address)
            limit = self._limits.between_progress
            left, counted, head = limit, self.received, b""
            more = True
            while more:
                begun = anyio.current_time()
                piece = await within(left, response.read(), limit=limit)
                more = bool(piece)
                # A server that trickles must come to an end: only so much is progress. What the
                # disk and the caller take is not the server's.
                if left is not None:
                    left -= anyio.current_time() - begun
                if self.received + len(piece) - counted >= _PROGRESS_BYTES:
                    left, counted = limit, self.received + len(piece)
                if not self.received:
                    # A page is known by its first bytes, which may come one by one.
                    piece = head + piece
                    if more and len(piece) < _SNIFFED:
                        head = piece
                        continue
                    self._require_no_page(response, address, piece)
                if not piece:
                    break
                self.received += len(piece)
                self._require_within(self.received)
                await file.write(piece)
                result = self._on_progress(self.received, size) if self._on_progress else None
                if inspect.isawaitable(result):
                    await result
            if size is not None and self.received != size:
                text = f"the file broke off after {self.received} of {size} bytes"
                raise ConnectionLostError(text)
            if not self.received and self._named_type(address).startswith(_MEDIA):
                text = "an empty file came"
                raise ResponseError(text, retryable=True, repeat="short")
        finally:
            response.close()

    async def find(self) -> tuple[Response, str]:
        """Return the answer that is the file or the rest of it, and where it was found."""
        # From the first address each time: signed ones in between live for some minutes only.
        url = self._url
        headers = dict(_HEADERS)
        if self.received and self._validator is not None:
            # Should the file be another one by now, the whole of it comes (RFC 9110, 13.1.5).
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self._validator}
        for _ in range(1 + _MOST_REDIRECTS):
            request = Request(
                operation="download",
                method="GET",
                url=url,
                headers=headers,
                connect_timeout=self._limits.connect,
                bare=True,
                unpacked=True,
                guard=None if self._allow is None else partial(self._allow, url),
            )
            response = await within(self._limits.first_byte, self._transport.send(request))
            target = response.headers.get("Location")
            if response.status == 200 or (response.status == 206 and "Range" in headers):
                return response, url
            response.close()
            if response.status == 416 and "Range" in headers:
                # The file is shorter than it was; the next try asks for all of it.
                self._validator = None
                raise ConnectionLostError("the file has changed while it was fetched")
            if response.status not in _REDIRECTS or target is None:
                raise refusal(response, self._now())
            secure, url = url.startswith("https:"), urljoin(url, target)
            if not is_web(url):
                raise ResponseError("the file is said to lie where neither http nor https leads")
            if secure and not url.startswith("https:"):
                raise ResponseError("the file is said to lie where nothing is encrypted")
        raise ResponseError("the address redirects in circles")

    async def begin(
        self, response: Response, address: str
    ) -> tuple[int | None, PartialFile | OutputFile]:
        """Look at the headers, and return the size of the whole file, if known, and the file."""
        headers, file = response.headers, self._file
        if file is not None and response.status == 206:
            # Where it begins is the server's word: some send another part than was asked for.
            found = _RANGE.fullmatch(headers.get("Content-Range", ""))
            if found is None or int(found[1]) != self.received:
                self._validator = None
                raise ConnectionLostError("another part of the file came than the rest of it")
            size = None if found[2] == "*" else int(found[2])
            # Some look at no validator, and send the rest of what lies there by now.
            known = self._validator or ""
            another = known.startswith('"') and headers.get("ETag", known) != known
            if another or size not in {None, self._size or size}:
                self._validator = None
                raise ConnectionLostError("the rest of another file came")
            return size, file

        self._require_no_page(response, address, b"")
        # A packed answer has been unpacked by now: its length and its parts are of other bytes.
        plain = headers.get("Content-Encoding", "identity") == "identity"
        length = headers.get("Content-Length", "")
        size = int(length) if plain and length.isascii() and length.isdigit() else None
        if size is not None:
            self._require_within(size)
        self._size = size
        # A weak tag does not say that the bytes are the same.
        tag = headers.get("ETag", "")
        validator = tag if tag.startswith('"') else headers.get("Last-Modified")
        ranges = plain and headers.get("Accept-Ranges", "bytes") == "bytes"
        self._validator = validator if ranges else None
        if file is None:
            try:
                name = file_name(address, headers)
                file = await abandonable(partial(target_of, self._to, name), waits=False)
                await self._files.enter_async_context(file)
            except OSError as error:
                shortage = LocalResourceError.of_files(error)
                if shortage is None:
                    raise
                # Connections that nobody uses may be what holds the files, this one among them.
                getattr(self._transport, "close_idle", _keep_idle)()
                raise shortage from error
            self._file = file
        elif self.received:
            if not isinstance(file, PartialFile):
                raise ConnectionLostError("the rest of the file cannot be had")
            await file.restart()
        self.received = 0
        return size, file

    def _require_within(self, size: int) -> None:
        if size > self._max_bytes:
            text = f"the file is larger than {self._max_bytes} bytes"
            raise LimitError(text, limit=self._max_bytes)

    def _named_type(self, address: str) -> str:
        """Return the media type that names tell: the caller's, or that of the address."""
        names = os.fsdecode(self._to), urlsplit(address).path
        return next(filter(None, map(guessed_type, names)), "")

    def _require_no_page(self, response: Response, address: str, piece: bytes) -> None:
        """Refuse a page of an error or of a login in place of a picture, film or sound."""
        kind, wanted = media_type_of(response), self._named_type(address)
        beginning = piece[:_SNIFFED].removeprefix(_BOM).lstrip().lower()
        page = kind in _PAGES or beginning.startswith((b"<!doctype html", b"<html"))
        notice = kind in _NOTICES or bool(_TEXTUAL.fullmatch(beginning))
        media = (wanted or kind).startswith(_MEDIA) and "image/svg+xml" not in {wanted, kind}
        if (page and wanted not in _PAGES) or (media and notice):
            raise ResponseError(
                f"a page ({kind or 'of no type'}) came instead of the file",
                hint="Addresses of results are valid for some time only.",
            )


def media_type_of(response: Response) -> str:
    """Return the media type that an answer says it is."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _keep_idle() -> None:
    """Stand in where a transport of the caller's own has nothing like that."""


def is_web(url: str) -> bool:
    """Tell whether an address is one of http or https."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def refusal(response: Response, now: float) -> ResponseError:
    """Return the error for a status that is not that of a file; ``now`` in seconds since 1970."""
    status = response.status
    again = status >= 500 or status in _BUSY
    return ResponseError(
        f"HTTP {status} instead of the file",
        status_code=status,
        retryable=again,
        repeat="short" if again or status == 404 else "never",
        retry_after=parse_retry_after(response.headers, now),
        hint="Addresses of results are valid for some time only." if status < 500 else None,
    )


async def within(left: float | None, work: Awaitable[T], *, limit: float | None = None) -> T:
    """Wait for something, as long as a timeout allows; ``limit`` if it has begun before."""
    with anyio.move_on_after(left):
        return await work
    raise RequestTimeoutError(f"no data, or too little, received for {limit or left:g} s")
