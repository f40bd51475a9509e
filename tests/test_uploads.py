"""Files of the caller: what they are, whether they may be sent, and the bytes that are sent."""

import base64
import email
import email.policy
import io
import itertools
import json
import struct
from pathlib import Path
from tempfile import NamedTemporaryFile, SpooledTemporaryFile

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import UploadFile

from zai_async import (
    AsyncZai,
    ConfigurationError,
    InvalidFileError,
    ZaiError,
    audio_part,
    file_part,
    image,
    video_part,
)
from zai_async.models.encoding import encode
from zai_async.uploads import MARK, FileLimits, JSONBody, Media, MultipartBody
from zai_async.uploads.media import media_type, wav_seconds
from zai_async.uploads.sources import open_source

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 24
ANY = FileLimits()


def wav(seconds, rate=8000):
    data = b"\0" * int(seconds * rate * 2)
    head = struct.pack(
        "<4sI4s4sIHHIIHH",
        b"RIFF",
        36 + len(data),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        rate,
        rate * 2,
        2,
        16,
    )
    return head + struct.pack("<4sI", b"data", len(data)) + data


async def pieces(*values):
    for value in values:
        yield value


async def sent(body):
    await body.prepare()
    return b"".join([piece async for piece in body])


# What a file is.


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (wav(0), "audio/wav"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"\xff\xf3\x90", "audio/mpeg"),
        (b"\xff\xf2\x90", "audio/mpeg"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"\x1aE\xdf\xa3", "video/x-matroska"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
        (b"hello", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_type(head, kind):
    assert media_type(head) == kind


def test_how_long_a_wav_plays():
    assert wav_seconds(wav(2.5)[:100], len(wav(2.5))) == pytest.approx(2.5)
    assert wav_seconds(PNG, 100) is None
    assert wav_seconds(b"RIFF....WAVE", 12) is None
    assert wav_seconds(b"RIFF....WAVEfmt ", 16) is None
    assert wav_seconds(b"RIFF....WAVEdata....", 20) is None


# Sources.


@pytest.mark.parametrize("length", [1, 3, 256, 10_000])
async def test_every_kind_of_file_yields_its_bytes(tmp_path, length):
    data = bytes(range(256)) * 2
    path = tmp_path / "a b.bin"
    path.write_bytes(data)
    with path.open("rb") as opened:
        for content in (
            data,
            bytearray(data),
            memoryview(data),
            path,
            str(path),
            io.BytesIO(data),
            opened,
        ):
            source = open_source(content)
            size, head = await source.inspect()
            assert (size, head[:10]) == (len(data), data[:10])
            assert source.replayable
            for _ in range(2):
                assert b"".join([piece async for piece in source.pieces(length)]) == data
    assert open_source(path).name == "a b.bin"


async def test_an_open_file_is_sent_from_where_it_stands():
    file = io.BytesIO(b"skipped" + PNG)
    file.seek(7)
    source = open_source(file)
    assert await source.inspect() == (len(PNG), PNG)
    assert b"".join([piece async for piece in source.pieces(5)]) == PNG


async def test_a_file_that_was_read_on_is_sent_from_where_it_stands_by_now():
    file = io.BytesIO(b"skipped" + PNG)
    first = open_source(file)
    file.seek(7)
    assert await open_source(file).inspect() == (len(PNG), PNG)
    assert (await first.inspect())[0] == len(PNG) + 7


class Pipe(io.RawIOBase):
    """A file that can be read once and does not know its length."""

    def __init__(self, data):
        self._inner = io.BytesIO(data)

    def readable(self):
        return True

    def read(self, size=-1):
        return self._inner.read(size)


@pytest.mark.parametrize("data", [b"x" * 10_000, b""])
async def test_what_can_be_read_once_keeps_its_head(data):
    for content in (Pipe(data), pieces(data[:100], data[100:])):
        source = open_source(content)
        size, head = await source.inspect()
        assert size is None
        assert data.startswith(head)
        assert not source.replayable
        assert b"".join([piece async for piece in source.pieces(999)]) == data


@pytest.mark.parametrize("rolled", [False, True])
async def test_an_upload_of_a_web_server_is_measured_and_sent_again(rolled):
    """Starlette's and FastAPI's files look asynchronous, and have the names of strangers."""
    data = bytes(range(256)) * 40
    with SpooledTemporaryFile(max_size=100 if rolled else 0) as file:
        file.write(b"skipped" + data)
        file.seek(7)
        source = open_source(UploadFile(file, filename="../../a b.bin"))
        assert (source.name, source.replayable) == ("a b.bin", True)
        for _ in range(2):
            assert await source.inspect() == (len(data), data[:4096])
            assert b"".join([piece async for piece in source.pieces(999)]) == data


def test_what_only_resembles_an_upload_is_a_file(tmp_path):
    with NamedTemporaryFile(suffix=".bin", dir=tmp_path) as file:  # it has a file, and no filename
        assert open_source(file).name.endswith(".bin")
    named = io.BytesIO(b"x")
    named.filename = "no file inside"
    assert open_source(named).name == "file"


def test_an_upload_without_a_name_has_that_of_any_file():
    assert open_source(UploadFile(io.BytesIO(b"x"))).name == "file"


async def test_a_file_that_is_read_by_await_is_measured_and_sent_again(tmp_path):
    data = bytes(range(256)) * 40
    (tmp_path / "a.bin").write_bytes(b"skipped" + data)
    async with await anyio.open_file(tmp_path / "a.bin", "rb") as file:
        await file.seek(7)
        source = open_source(file)
        for _ in range(2):
            assert await source.inspect() == (len(data), data[:4096])
            assert b"".join([piece async for piece in source.pieces(999)]) == data
            await file.read(5)  # whoever owns it reads on, which is not what was sent
        assert (source.name, source.replayable) == ("a.bin", True)


async def test_an_open_file_stands_where_it_stood_after_every_look_at_it(tmp_path):
    """Whoever owns it reads on, and so does whoever opens it as a second upload."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"skipped" + bytes(10_000))
    with path.open("rb") as file:
        file.seek(7)
        source = open_source(file)
        await source.inspect()
        assert file.tell() == 7
        file.seek(9)  # by its owner
        async for _ in source.pieces(4_000):
            assert file.tell() == 9
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(7)
        source = open_source(file)
        await source.inspect()
        assert await file.tell() == 7
        async for _ in source.pieces(4_000):
            assert await file.tell() == 7
        assert await open_source(file).inspect() == (10_000, bytes(4096))


class Reader:
    """What can only be read by await, such as the body of another request."""

    def __init__(self, data):
        self._inner = io.BytesIO(data)

    async def read(self, size=-1):
        return self._inner.read(size)


class Socket(Reader):
    """Knows where it stands in principle."""

    async def tell(self):
        raise io.UnsupportedOperation("underlying stream is not seekable")


@pytest.mark.parametrize("kind", [Reader, Socket])
@pytest.mark.parametrize("data", [b"x" * 10_000, b""])
async def test_what_is_read_by_await_once_keeps_its_head(kind, data):
    source = open_source(kind(data))
    for _ in range(2):
        assert await source.inspect() == (None, data[:4096])
    assert not source.replayable
    assert b"".join([piece async for piece in source.pieces(999)]) == data


async def test_text_that_is_read_by_await_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    async with await anyio.open_file(tmp_path / "a.txt") as file:
        with pytest.raises(ConfigurationError, match="binary mode"):
            await open_source(file).inspect()


async def test_the_type_is_known_however_small_the_pieces_are():
    one_by_one = pieces(b"", *[bytes([byte]) for byte in PNG], b"")
    source = open_source(one_by_one)
    _, head = await source.inspect()
    assert media_type(head) == "image/png"
    assert b"".join([piece async for piece in source.pieces(1)]) == PNG


@pytest.mark.parametrize("content", [io.StringIO("x"), 7, None, object()])
def test_what_is_no_file(content):
    with pytest.raises(ConfigurationError, match=r"binary mode|must be a path"):
        open_source(content)


async def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        await open_source(tmp_path / "nothing").inspect()


# Limits.


@pytest.mark.parametrize(
    ("limits", "data", "limit", "text"),
    [
        (
            {"types": ("audio/wav", "audio/mpeg")},
            PNG,
            "type",
            "image/png; accepted: audio/wav, aud",
        ),
        ({"types": ("audio/wav",)}, b"text", "type", "a.bin is of an unknown type; accepted: audi"),
        ({"max_bytes": 2**20}, bytes(3 * 2**19), "size", "a.bin has 1.5 MiB; at most 1 MiB"),
        ({}, b"", "size", "a.bin is empty"),
        ({"max_seconds": 1}, wav(1.5), "duration", "a.bin plays 1.5 s; at most 1 s"),
    ],
)
async def test_what_breaks_a_limit_is_refused_before_anything_is_sent(limits, data, limit, text):
    with pytest.raises(InvalidFileError, match=text) as caught:
        await MultipartBody({}, ("file", ("a.bin", data)), FileLimits(**limits)).prepare()
    assert caught.value.limit == limit


@pytest.mark.parametrize(
    ("limits", "data"), [({"max_bytes": 10}, bytes(10)), ({"max_seconds": 1}, wav(1))]
)
async def test_what_is_just_within_a_limit_is_sent(limits, data):
    assert data in await sent(MultipartBody({}, ("file", data), FileLimits(**limits)))


async def test_pieces_of_unknown_length_are_counted_while_they_are_sent():
    body = MultipartBody({}, ("file", pieces(b"x" * 6, b"x" * 6)), FileLimits(max_bytes=10))
    await body.prepare()
    assert body.size is None
    with pytest.raises(InvalidFileError) as caught:
        assert [piece async for piece in body]
    assert body.failure is caught.value


@pytest.mark.parametrize(
    "content",
    [pieces, lambda: pieces(b"", b""), lambda: Pipe(b"")],
    ids=["none", "empty", "pipe"],
)
async def test_pieces_of_nothing_are_an_empty_file(content):
    with pytest.raises(InvalidFileError, match="is empty"):
        await sent(MultipartBody({}, ("file", content()), ANY))


async def test_an_empty_piece_is_not_the_end():
    body = MultipartBody({}, ("file", pieces(b"", b"x" * 20, b"", b"y")), ANY)
    [(_, content, _)] = parse(body, await sent(body))
    assert content == b"x" * 20 + b"y"
    assert body.failure is None


@pytest.mark.parametrize(
    ("part", "limit"),
    [
        (lambda: image(pieces(PNG, *[b"\0" * 2**20] * 5)), "size"),
        (lambda: image(Pipe(PNG + b"\0" * 5 * 2**20)), "size"),
        (lambda: audio_part(pieces(wav(601, rate=100))), "duration"),
    ],
    ids=["pieces", "pipe", "sound"],
)
async def test_media_of_unknown_length_are_counted_too(part, limit):
    with pytest.raises(InvalidFileError) as caught:
        await json_of([part()])
    assert caught.value.limit == limit


# What goes wrong while a body is sent.


def bug(*_):
    raise KeyError("bug")


async def broken():
    yield PNG
    raise RuntimeError("the database is gone")


class Broken:
    """Pieces of which each reader gets those of its own."""

    def __aiter__(self):
        return broken()


@pytest.mark.parametrize(
    ("content", "progress", "kind"),
    [(PNG, bug, KeyError), (Broken(), None, RuntimeError)],
    ids=["progress", "pieces"],
)
async def test_a_body_keeps_what_went_wrong_until_it_is_prepared_again(content, progress, kind):
    media = Media(content)
    for body in (
        MultipartBody({}, ("file", content), ANY, progress),
        JSONBody(media.encode(), [media], progress),
    ):
        with pytest.raises(kind) as caught:
            await sent(body)
        assert body.failure is caught.value
        if body.replayable:
            await body.prepare()
            assert body.failure is None


@pytest.fixture
def real(zai_emulator):
    return AsyncZai(api_key="test", base_url=zai_emulator.url, trust_env=False)


async def endless(head):
    while True:
        yield head + b"\0" * 2**20


@pytest.mark.parametrize(
    ("content", "progress", "kind"),
    [
        (lambda: PNG * 9999, bug, KeyError),
        (broken, None, RuntimeError),
    ],
    ids=["progress", "pieces"],
)
async def test_what_the_caller_gets_wrong_is_no_lost_connection(real, content, progress, kind):
    """It is raised as it is, and neither sent again nor taken for a failure of the network."""
    watched = {} if progress is None else {"on_progress": progress}
    async with real as zai:
        with pytest.raises(kind) as caught:
            await zai.ocr.handwriting(file=content(), **watched)
        assert zai.usage.total.attempts == 1
        assert (await zai.ocr.handwriting(file=PNG)).text
    assert not isinstance(caught.value, ZaiError)


async def test_an_upload_of_a_web_server_is_passed_on(real):
    async with real as zai:
        upload = UploadFile(io.BytesIO(b"hello"), filename="a.txt")
        file = await zai.files.create(file=upload, purpose="agent")
    assert (file.filename, file.bytes) == ("a.txt", 5)


@pytest.mark.parametrize(
    ("work", "most"),
    [
        (lambda zai: zai.audio.transcriptions.create(model="m", file=endless(b"ID3")), "25 MiB"),
        (
            lambda zai: zai.chat.completions.create(
                model="m", messages=[{"role": "user", "content": [image(endless(PNG))]}]
            ),
            "5 MiB",
        ),
    ],
    ids=["form", "media"],
)
async def test_a_file_that_turns_out_too_large_is_no_lost_connection(real, work, most):
    async with real as zai:
        with pytest.raises(InvalidFileError, match=f"at most {most}") as caught:
            await work(zai)
        [attempt] = caught.value.attempts
        assert (attempt.error, attempt.maybe_billed) == ("InvalidFileError", False)
        assert zai.usage.total.attempts == 1


# Forms.


def parse(body, data):
    text = f"Content-Type: {body.content_type}\r\n\r\n".encode() + data
    message = email.message_from_bytes(text, policy=email.policy.HTTP)
    return [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True), part)
        for part in message.iter_parts()
    ]


async def test_a_form_is_one_that_others_can_read():
    fields = {"model": "m", "stream": True, "hotwords": ["a", "b"], "n": 1, "none": None}
    body = MultipartBody(fields, ("file", ("grüße.wav", wav(0.1))), ANY)
    data = await sent(body)
    assert body.size == len(data)
    assert not body.alternate()
    *plain, (name, content, part) = parse(body, data)
    assert [(n, v) for n, v, _ in plain] == [
        ("model", b"m"),
        ("stream", b"true"),
        ("hotwords", b"a"),
        ("hotwords", b"b"),
        ("n", b"1"),
    ]
    assert (name, content, part.get_content_type()) == ("file", wav(0.1), "audio/wav")
    assert "grüße.wav".encode() in data


@pytest.mark.parametrize("name", ['a"b.bin', "a\r\nX: y.bin", "😀.bin", "../../etc/passwd"])
async def test_names_of_files_cannot_break_the_form(name):
    body = MultipartBody({}, ("file", (name, b"x", "text/plain")), ANY)
    [(field, content, part)] = parse(body, await sent(body))
    assert (field, content, part.get_content_type()) == ("file", b"x", "text/plain")
    assert "X" not in part


async def test_the_name_of_a_file_may_be_no_text():
    """A path may hold any bytes."""
    body = MultipartBody({}, ("file", ("caf\udce9.txt", b"x")), ANY)
    [(_, content, part)] = parse(body, await sent(body))
    assert (content, part.get_filename()) == (b"x", "caf?.txt")


def test_a_field_must_be_text():
    with pytest.raises(ConfigurationError, match="purpose holds characters that are no text"):
        MultipartBody({"purpose": "a\udcff"}, None, ANY)


@pytest.mark.parametrize("file", [("a.txt",), ("a.txt", b"x", "text/plain", {}), ()])
def test_a_file_with_too_little_or_too_much_about_it(file):
    with pytest.raises(ConfigurationError, match="a file is"):
        MultipartBody({}, ("file", file), ANY)


@given(st.binary(max_size=2000), st.integers(1, 500))
async def test_forms_of_any_content(data, cut):
    body = MultipartBody({}, ("file", pieces(data[:cut] or b"x", data[cut:])), ANY)
    [(_, content, _)] = parse(body, await sent(body))
    assert content == (data[:cut] or b"x") + data[cut:]


@pytest.mark.parametrize(
    ("file", "name"),
    [(wav(0), "file.wav"), (b"ID3", "file.mp3"), (b"GIF8", "file"), (("a.b", wav(0)), "a.b")],
)
async def test_a_file_without_a_name_gets_one_that_tells_its_type(file, name):
    body = MultipartBody({}, ("file", file), ANY)
    [(_, _, part)] = parse(body, await sent(body))
    assert part.get_filename() == name


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (("a.txt", b"hello"), "text/plain"),
        (("a.txt", PNG), "image/png"),
        (("a.txt", PNG, "image/gif"), "image/gif"),
        (("a.nothing-known", b"hello"), "application/octet-stream"),
    ],
)
async def test_a_type_that_is_not_given_is_that_of_the_content_or_of_the_name(file, kind):
    body = MultipartBody({}, ("file", file), ANY)
    [(_, _, part)] = parse(body, await sent(body))
    assert part.get_content_type() == kind


async def test_progress_is_reported():
    seen = []

    async def later(count, total):
        seen.append((count, total))

    for report in (lambda count, total: seen.append((count, total)), later):
        seen.clear()
        body = MultipartBody({}, ("file", b"x" * 300_000), ANY, report)
        data = await sent(body)
        assert seen[-1] == (len(data), len(data)) == (body.size, body.size)
        assert [count for count, _ in seen] == sorted(count for count, _ in seen)
        assert len(seen) == 5
    seen.clear()
    value = {"image": Media(PNG)}
    data = await sent(JSONBody(encode(value), list(find(value)), later))
    assert seen[-1] == (len(data), len(data))


# Media in JSON.


async def json_of(value):
    text = encode(value)
    body = JSONBody(text, list(find(value)))
    data = await sent(body)
    assert body.size in {len(data), None}
    return json.loads(data), body


def find(value):
    if isinstance(value, Media):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from find(each)


@given(st.binary(min_size=1, max_size=3000), st.lists(st.integers(0, 3000), max_size=5))
async def test_base64_in_pieces_equals_base64_at_once(data, cuts):
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    parts = [data[a:b] for a, b in itertools.pairwise(edges)]
    for content in (data, pieces(*parts)):
        value, _ = await json_of({"a": [Media(content, encoding="raw"), "b"], "c": 1})
        assert value == {"a": [base64.b64encode(data).decode(), "b"], "c": 1}


def test_a_picture_is_kept_as_the_text_that_is_sent(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    data = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert [Media(each).inline() for each in (path, PNG)] == [data, data]
    with pytest.raises(TypeError, match="cannot be copied or stored"):
        Media(pieces(PNG)).inline()
    with pytest.raises(InvalidFileError, match="image/gif; accepted: image/png"):
        image(b"GIF89a")["image_url"]["url"].inline()


async def test_content_parts(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    data = "data:image/png;base64," + base64.b64encode(PNG).decode()
    value, body = await json_of(
        [image(path), image(PNG), image("https://e.org/a.png"), image(data)]
    )
    urls = [part["image_url"]["url"] for part in value]
    assert urls == [data, data, "https://e.org/a.png", data]
    assert body.replayable
    [raw], _ = await json_of([image(PNG, encoding="raw")])
    assert raw["image_url"]["url"] == base64.b64encode(PNG).decode()
    mp4 = b"\0\0\0\x18ftypmp42" + b"\0" * 16
    [video], _ = await json_of([video_part(mp4)])
    assert video["video_url"]["url"].startswith("data:video/mp4;base64,")
    [document, address], _ = await json_of([file_part(b"%PDF-1"), file_part("https://e.org/a.pdf")])
    assert document["file"]["file_data"].startswith("data:application/pdf;base64,")
    assert document["file"]["filename"] == "file"
    assert address == {"type": "file", "file": {"file_url": "https://e.org/a.pdf"}}
    sound = tmp_path / "s.mp3"
    sound.write_bytes(b"ID3" + b"\0" * 10)
    [mp3, wave], _ = await json_of([audio_part(sound), audio_part(wav(0.1))])
    assert [part["input_audio"]["format"] for part in (mp3, wave)] == ["mp3", "wav"]
    assert base64.b64decode(wave["input_audio"]["data"]) == wav(0.1)
    assert audio_part(b"x", format="flac")["input_audio"]["format"] == "flac"


@pytest.mark.parametrize(
    "part", [image(b"GIF89a"), image(PNG + b"\0" * (5 * 2**20)), audio_part(wav(601, rate=100))]
)
async def test_media_beyond_the_limits_are_refused(part):
    with pytest.raises(InvalidFileError):
        await json_of([part])


async def test_an_image_has_two_forms_where_nobody_decided():
    free, bound = (
        image(PNG)["image_url"]["url"],
        image(PNG, encoding="data_url")["image_url"]["url"],
    )
    body = JSONBody(encode([free, bound]), [free, bound])
    first = json.loads(await sent(body))
    assert body.alternate()
    second = json.loads(await sent(body))
    assert not body.alternate()
    plain = base64.b64encode(PNG).decode()
    assert second == [plain, first[1]] == [plain, f"data:image/png;base64,{plain}"]


async def test_one_file_may_stand_in_two_places():
    part = image(PNG)
    value, _ = await json_of([part, part])
    assert value[0] == value[1]
    assert MARK not in str(value)


async def test_a_form_without_a_file():
    body = MultipartBody({"model": "m"}, None, ANY)
    data = await sent(body)
    assert body.size == len(data)
    assert body.replayable
    assert [(name, content) for name, content, _ in parse(body, data)] == [("model", b"m")]


def test_a_file_in_a_message_prints_as_a_mark():
    assert str(image(Path("secret.png"))["image_url"]["url"]).startswith(MARK)
