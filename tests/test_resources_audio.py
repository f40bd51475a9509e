"""Sound, files and documents through the emulator: real multipart bodies over real sockets."""

import io
import wave
from pathlib import Path

import pytest

from tests.test_uploads import wav
from zai_async import AsyncZai, ConfigurationError, InvalidFileError, RetryPolicy, ZaiError
from zai_async.testing import FakeReply, FakeTransport


@pytest.fixture
async def zai(zai_emulator):
    policy = RetryPolicy(retries=0)
    async with AsyncZai(api_key="test", base_url=zai_emulator.url, retry=policy) as client:
        yield client


async def pieces(*values):
    for value in values:
        yield value


def contents(path: Path):
    return {
        "path": path,
        "str": str(path),
        "bytes": path.read_bytes(),
        "file": io.BytesIO(path.read_bytes()),
        "pieces": pieces(path.read_bytes()[:100], path.read_bytes()[100:]),
        "named": ("speech.wav", path.read_bytes()),
        "typed": ("speech.wav", path.read_bytes(), "audio/wav"),
    }


@pytest.mark.parametrize("kind", contents(Path(__file__)))
async def test_every_kind_of_file_arrives_whole(zai, zai_emulator, tmp_path, kind):
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(0.5))
    zai_emulator.audio.transcribe(wav(0.5), "Grüße an alle")
    result = await zai.audio.transcriptions.create(model="glm-asr-2512", file=contents(path)[kind])
    assert result.text == "Grüße an alle"
    assert result.request_id


async def test_a_transcription_is_streamed(zai, zai_emulator):
    zai_emulator.audio.transcribe(wav(0.5), "one two three")
    seen = []
    async with zai.audio.transcriptions.stream(
        model="glm-asr-2512", file=wav(0.5), on_progress=lambda *sent: seen.append(sent)
    ) as stream:
        text = "".join([piece async for piece in stream.text])
        assert (await stream.transcription()).text == text == "one two three"
    assert seen[-1][0] == seen[-1][1]


async def test_base64_in_place_of_a_file(zai, zai_emulator):
    transport = FakeTransport(FakeReply.json({"text": "ok"}))
    async with AsyncZai(api_key="k", transport=transport) as fake:
        await fake.audio.transcriptions.create(model="m", file_base64="UklGRg==", hotwords=["a"])
    kind = transport.requests[0].headers["Content-Type"]
    assert kind.startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (b"text", InvalidFileError),
        (wav(31, rate=100), InvalidFileError),
        (b"", InvalidFileError),
        (None, ConfigurationError),
        (7, ConfigurationError),
    ],
)
async def test_what_cannot_be_transcribed_is_refused_before_anything_is_sent(
    zai, zai_emulator, file, error
):
    with pytest.raises(error):
        await zai.audio.transcriptions.create(model="glm-asr-2512", file=file)
    with pytest.raises(error):
        await zai.audio.transcriptions.stream(model="glm-asr-2512", file=file).transcription()
    assert zai_emulator.requests == []


async def test_speech_as_a_wav(zai, tmp_path):
    sound = await zai.audio.speech.create(model="glm-tts", input="hello", response_format="wav")
    with wave.open(io.BytesIO(sound.content)) as opened:
        assert opened.getframerate() == 24_000
    assert sound.content_type.startswith("audio/")
    assert sound.request_id
    assert len(sound.attempts) == 1
    assert await sound.save(tmp_path / "a.wav") == len(sound.content)


@pytest.mark.parametrize("encoding", ["base64", "hex"])
async def test_speech_is_streamed(zai, tmp_path, encoding):
    params = {"model": "glm-tts", "input": "hello"}
    pcm = (await zai.audio.speech.create(**params, response_format="pcm")).content
    async with zai.audio.speech.stream(**params, encode_format=encoding) as stream:
        assert await stream.read() == pcm
    async with zai.audio.speech.stream(**params, encode_format=encoding) as stream:
        await stream.save(tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as opened:
        assert opened.readframes(len(pcm)) == pcm


async def test_refused_speech_is_an_error_and_no_sound(zai):
    with pytest.raises(ZaiError) as caught:
        await zai.audio.speech.create(model="glm-nothing", input="hello")
    assert caught.value.code == "1211"


async def test_files_come_back_as_they_went(zai, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"custom_id":"row-0001"}\n' * 1000)
    file = await zai.files.create(file=path, purpose="batch")
    assert file.bytes == path.stat().st_size
    content = await zai.files.content(file.id)
    assert content.content == path.read_bytes()
    assert [each.id async for each in zai.files.list(purpose="batch")] == [file.id]
    assert (await zai.files.delete(file.id)).deleted


async def content_of(status, kind):
    body = b'{"error": {"code": "1211", "message": "no such model"}}'
    reply = FakeReply(status=status, headers={"Content-Type": kind}, steps=(body,))
    async with AsyncZai(api_key="test", transport=FakeTransport(reply)) as zai:
        return (await zai.files.content("f1")).content == body


async def test_a_file_may_hold_what_looks_like_an_error():
    assert await content_of(200, "application/octet-stream")


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "application/octet-stream"), (200, "application/json; charset=x")]
)
async def test_an_error_is_no_file(status, kind):
    with pytest.raises(ZaiError, match="no such model"):
        await content_of(status, kind)


async def test_handwriting_and_documents(zai, zai_emulator):
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
    words = await zai.ocr.handwriting(file=("a.png", png))
    assert words.words_result
    parsed = await zai.file_parser.parse(
        file=("a.pdf", b"%PDF-1.4"), tool_type="prime-sync", file_type="PDF"
    )
    assert parsed.content
