"""Answers as the published descriptions of the gateways show them, read as what they say."""

import json

import pytest

from zai_async import AsyncZai
from zai_async.models import File, Image, ImagesResponse
from zai_async.testing import FakeReply, FakeTransport

WAV = (
    b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80>\x00\x00\x00}\x00\x00"
    b"\x02\x00\x10\x00data\x00\x00\x00\x00" + bytes(100)
)
VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello, world!\n"
SRT = "1\n00:00:00,000 --> 00:00:01,000\nHello, world!\n"
PROVIDERS = ["zai", "bigmodel", "lowcodeapi"]
KEYS = {"lowcodeapi": "at_token"}


def client(provider, reply):
    transport = FakeTransport(reply)
    return AsyncZai(api_key=KEYS.get(provider, "k.s"), provider=provider, transport=transport)


async def counted(provider, document):
    async with client(provider, FakeReply.json(document)) as zai:
        return await zai.tokenizer.count(model="glm-4.6", messages="Hello, world!")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: {"data": inner}], ids=range(2))
@pytest.mark.parametrize(
    ("document", "total", "tokens"),
    [
        (
            {"tokens": ["Hello", ",", "world", "!"], "token_count": 4},
            4,
            ["Hello", ",", "world", "!"],
        ),
        ({"token_count": 4}, 4, []),
        ({"tokens": [9707, 11, 1879]}, 3, [9707, 11, 1879]),
        ({"usage": {"prompt_tokens": 5, "total_tokens": 7}}, 7, []),
    ],
    ids=range(4),
)
async def test_tokens_are_counted_in_whichever_form_they_are_told(
    provider, wrap, document, total, tokens
):
    found = await counted(provider, wrap(document))
    assert (found.total_tokens, found.tokens) == (total, tokens)


async def transcribed(provider, reply, form):
    async with client(provider, reply) as zai:
        return await zai.audio.transcriptions.create(
            model="glm-asr-2512", file=("a.wav", WAV), response_format=form
        )


def text_reply(text, kind):
    return FakeReply(headers={"Content-Type": kind}, steps=(text.encode(),))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("form", "text", "kind"),
    [
        ("text", "Hello, world!", "text/plain; charset=utf-8"),
        ("vtt", VTT, "text/vtt"),
        ("srt", SRT, "application/x-subrip"),
        ("srt", SRT, "text/plain"),
    ],
    ids=range(4),
)
async def test_a_transcript_may_be_a_text(provider, form, text, kind):
    found = await transcribed(provider, text_reply(text, kind), form)
    assert found.text.strip() == text.strip()
    enveloped = await transcribed(provider, FakeReply.json({"data": text}), form)
    assert enveloped.text == text
    quoted = await transcribed(provider, FakeReply.json(text), form)
    assert quoted.text == text


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: {"data": inner}], ids=range(2))
async def test_a_verbose_transcript_tells_language_and_segments(provider, wrap):
    segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.5, "text": " Hello", "avg_logprob": -0.2}
    document = {
        "task": "transcribe",
        "language": "english",
        "duration": 1.5,
        "text": "Hello",
        "segments": [segment],
    }
    found = await transcribed(provider, FakeReply.json(wrap(document)), "verbose_json")
    assert (found.text, found.language, found.duration) == ("Hello", "english", 1.5)
    (piece,) = found.segments
    assert (piece.start, piece.end, piece.text) == (0.0, 1.5, " Hello")
    assert piece.extra == {"seek": 0, "avg_logprob": -0.2}
    assert found.extra == {"task": "transcribe"}


async def test_the_form_is_sent():
    transport = FakeTransport(FakeReply.json({"text": "Hello"}))
    async with AsyncZai(api_key="k.s", transport=transport) as zai:
        await zai.audio.transcriptions.create(
            model="glm-asr-2512", file=("a.wav", WAV), response_format="srt"
        )
    body = b"".join([piece async for piece in transport.requests[0].body])
    assert b'name="response_format"\r\n\r\nsrt\r\n' in body


def test_an_image_may_be_bytes():
    found = ImagesResponse.from_dict(
        json.loads('{"data": [{"b64_json": "iVBO", "revised_prompt": "A sea."}]}')
    )
    (image,) = found.data
    assert (image.b64_json, image.revised_prompt) == ("iVBO", "A sea.")
    assert image.content == b"\x89PN"
    assert Image(url="u").content is None
    assert Image(b64_json="x").content is None


@pytest.mark.parametrize("text", ["", "%%%", "x", "data:,", "data:image/png;base64,", "Ã¤"])
def test_what_cannot_be_decoded_is_no_image(text):
    assert Image(b64_json=text).content is None


@pytest.mark.parametrize(
    "text",
    ["+/+/", "-_-_", "DATA:image/png;base64,+/+/", "+/+/\n", "data:;base64,-_\n-_"],
)
def test_an_image_may_be_written_in_any_base64(text):
    assert Image(b64_json=text).content == b"\xfb\xff\xbf"
    assert Image(b64_json=text.rstrip("/_\n")).content == b"\xfb\xff"


def test_a_file_has_a_status():
    assert File.from_dict({"id": "f", "status": "processed"}).status == "processed"
