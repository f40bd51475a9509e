"""Files of the caller that cannot be read: one typed error, and nothing is sent."""

import io
from pathlib import Path

import pytest

from zai_async import AsyncZai, ConfigurationError, InvalidFileError, image
from zai_async._threads import abandonable
from zai_async.uploads import FileLimits, JSONBody, Media, MultipartBody
from zai_async.uploads.sources import ThreadedFile, open_source

ANY = FileLimits()
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


class BytesPath:
    """A path that is one of bytes, as os.scandir(b".") makes them."""

    def __init__(self, path):
        self._path = path

    def __fspath__(self):
        return self._path


class Answers:
    """A file whose read() gives something else than bytes."""

    name = "answers.bin"

    def __init__(self, answer):
        self._answer = answer

    def read(self, size=-1):
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


class AwaitedAnswers(Answers):
    async def read(self, size=-1):
        return super().read(size)


class Measured(AwaitedAnswers):
    """One that says where it stands."""

    async def tell(self):
        return 0

    async def seek(self, offset, whence=0):
        return 9


class Growing(Measured):
    """A file to which others write faster than it is read."""

    reads = 0

    async def read(self, size=-1):
        self.reads += 1
        assert self.reads < 10, "it is read on and on"
        return b"12345"


async def pieces(*values):
    for value in values:
        yield value


def closed(file):
    file.close()
    return file


class ClosedAwaited(AwaitedAnswers):
    closed = True


UNREADABLE = {
    "U+0000": lambda at: "\0",
    "U+0000 inside": lambda at: Path("a\0b"),
    "half of a pair": lambda at: "a\ud800b",
    "absent": lambda at: at / "absent",
    "absent bytes": lambda at: BytesPath(b"/absent/\xff"),
    "directory": lambda at: at,
    "too long": lambda at: "x" * 5000,
    "of many parts": lambda at: "x/" * 5000,
    "below a file": lambda at: Path(__file__) / "x",
    "closed": lambda at: closed((at / "new").open("w+b")),
    "closed bytes": lambda at: closed(io.BytesIO(b"x")),
    "closed awaited": lambda at: ClosedAwaited(b""),
    "for writing": lambda at: (at / "new").open("wb"),
    "text": lambda at: Answers("text"),
    "nothing": lambda at: Answers(None),
    "a number": lambda at: Answers(7),
    "awaited text": lambda at: AwaitedAnswers("text"),
    "awaited nothing": lambda at: AwaitedAnswers(None),
    "measured text": lambda at: Measured("text"),
    "text pieces": lambda at: pieces(b"abc", "abc"),
    "number pieces": lambda at: pieces(5),
    "no pieces": lambda at: pieces(b"abc", None),
}


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_a_file_that_cannot_be_read_is_refused_before_anything_is_sent(
    kind, tmp_path, zai_emulator
):
    content = UNREADABLE[kind](tmp_path)
    async with AsyncZai(api_key="test", base_url=zai_emulator.url, trust_env=False) as zai:
        with pytest.raises(ConfigurationError) as caught:
            await zai.files.create(file=content, purpose="agent")
    assert not zai_emulator.requests
    str(caught.value).encode()  # whoever prints it can
    getattr(content, "close", bool)()


@pytest.mark.parametrize("piece", ["text", None, 5])
async def test_what_is_no_bytes_half_way_is_told_as_such(piece):
    for body in (
        MultipartBody({}, ("file", pieces(PNG, piece)), ANY),
        body_of(Media(pieces(PNG, piece))),
    ):
        await body.prepare()
        with pytest.raises(InvalidFileError, match="must give bytes, not"):
            _ = [piece async for piece in body]


def body_of(media):
    return JSONBody(b'"' + media.encode() + b'"', [media])


async def test_all_that_holds_bytes_is_sent():
    for content, expected in (
        (pieces(bytearray(PNG), memoryview(b"ab"), memoryview(b"1234").cast("H")), PNG + b"ab1234"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (Answers(b""), b""),
        (AwaitedAnswers(bytearray()), b""),
    ):
        source = open_source(content)
        await source.inspect()
        assert b"".join([piece async for piece in source.pieces(100)]) == expected


async def test_a_file_that_has_gone_after_it_was_looked_at_is_told_as_such(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    body = MultipartBody({}, ("file", path), ANY)
    await body.prepare()
    path.unlink()
    with pytest.raises(InvalidFileError, match="No such file"):
        _ = [piece async for piece in body]


async def test_an_open_file_that_is_closed_while_it_is_sent_is_told_as_such():
    file = io.BytesIO(b"abc")
    body = MultipartBody({}, ("file", ("a.bin", file)), ANY)
    await body.prepare()
    file.close()
    with pytest.raises(InvalidFileError, match="file: I/O operation on closed file"):
        _ = [piece async for piece in body]


@pytest.mark.parametrize("error", [StopIteration("over"), SystemExit(3)])
async def test_whatever_a_thread_raises_ends_the_wait_for_it(error):
    def work():
        raise error

    with pytest.raises((RuntimeError, SystemExit)) as caught:
        await abandonable(work)
    assert error in {caught.value, caught.value.__cause__}


async def test_a_media_handle_of_no_path_is_refused_where_it_is_made():
    with pytest.raises(InvalidFileError, match="no file can be called so"):
        image("a\0b")


async def test_a_body_that_is_left_half_way_closes_its_file(tmp_path, monkeypatch):
    """At once, and not when the garbage collector finds it."""
    path, closed = tmp_path / "a.bin", []
    path.write_bytes(bytes(2**20))
    close = ThreadedFile.close
    monkeypatch.setattr(ThreadedFile, "close", lambda self: (closed.append(self), close(self)))
    body = MultipartBody({}, ("file", path), ANY)
    await body.prepare()
    looked_at = len(closed)
    pieces = aiter(body)
    for _ in range(2):
        await anext(pieces)
    await body.aclose()
    assert len(closed) == looked_at + 1
    await pieces.aclose()


@pytest.mark.parametrize("name", ["a\ud800b", "a\nb", "a\x1b[31mb", "a\0b"])
async def test_what_is_said_of_a_file_can_be_printed(name):
    body = MultipartBody({}, ("file", (name, b"")), ANY)
    with pytest.raises(InvalidFileError, match="is empty") as caught:
        await body.prepare()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("size", "there"), [(2, "2"), (9, "more")])
async def test_what_has_changed_says_how(tmp_path, size, there):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abcd")
    body = MultipartBody({}, ("file", path), ANY)
    await body.prepare()
    path.write_bytes(bytes(size))
    with pytest.raises(InvalidFileError, match=f"4 bytes were announced, {there} were there"):
        _ = [piece async for piece in body]


async def test_a_file_that_grows_without_end_is_not_read_to_its_end():
    body = MultipartBody({}, ("file", Growing(b"")), ANY)
    await body.prepare()
    with pytest.raises(InvalidFileError, match="9 bytes were announced, more were there"):
        _ = [piece async for piece in body]
