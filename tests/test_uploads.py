"""Files of the caller: what they are, whether they may be sent, and the bytes that are sent."""

import base64
import email
import email.policy
import io
import itertools
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async import ConfigurationError, InvalidFileError, audio_part, file_part, image, video_part
from zai_async.models.tolerant import encode
from zai_async.uploads import MARK, FileLimits, JSONBody, Media, MultipartBody
from zai_async.uploads.kinds import media_type, wav_seconds
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


# Sources.


@pytest.mark.parametrize("length", [1, 3, 4096, 10_000])
async def test_every_kind_of_file_yields_its_bytes(tmp_path, length):
    data = bytes(range(256)) * 20
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


@pytest.mark.parametrize("content", [io.StringIO("x"), 7, None, object()])
def test_what_is_no_file(content):
    with pytest.raises(ConfigurationError, match=r"binary mode|must be a path"):
        open_source(content)


async def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        await open_source(tmp_path / "nothing").inspect()


# Limits.


@pytest.mark.parametrize(
    ("limits", "data", "limit"),
    [
        (FileLimits(types=("audio/wav",)), PNG, "type"),
        (FileLimits(types=("audio/wav",)), b"text", "type"),
        (FileLimits(max_bytes=10), PNG, "size"),
        (FileLimits(), b"", "size"),
        (FileLimits(max_seconds=1), wav(1.5), "duration"),
    ],
)
async def test_what_breaks_a_limit_is_refused_before_anything_is_sent(limits, data, limit):
    with pytest.raises(InvalidFileError) as caught:
        await MultipartBody({}, ("file", ("a.bin", data)), limits).prepare()
    assert caught.value.limit == limit
    assert "a.bin" in str(caught.value)


async def test_pieces_of_unknown_length_are_counted_while_they_are_sent():
    body = MultipartBody({}, ("file", pieces(b"x" * 6, b"x" * 6)), FileLimits(max_bytes=10))
    await body.prepare()
    assert body.size is None
    with pytest.raises(InvalidFileError):
        assert [piece async for piece in body]


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
