"""Answers that are packed although they say nowhere where they end: a cut must not pass for it."""

import gzip
import random
import zlib
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import client
from tests.fault_server import FaultServer, answer
from tests.test_transport_answers import held_at_most
from tests.ways import send_by
from zai_async import ConnectionLostError, LimitError, ResponseError
from zai_async._transport._codings import Unpacker

# Sound, more than one step of it, of which a third can be packed away.
SOUND = random.Random(1).randbytes(50_000) + bytes(25_000)
STEP = 2**16


def deflated(data, bits):
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "zlib": partial(deflated, bits=15),
    "deflate": partial(deflated, bits=-15),
}


def coding_of(kind):
    return "gzip" if kind == "gzip" else "deflate"


def unpacked(kind, *pieces):
    """Return what pieces are unpacked to, and whether they are whole."""
    unpacker, steps = Unpacker(coding_of(kind)), []
    for piece in (*pieces, b""):
        unpacker.feed(piece)
        while step := unpacker.take():
            assert len(step) <= STEP
            steps.append(step)
    return b"".join(steps), unpacker.is_whole


BYTES = st.binary(max_size=300) | st.integers(0, 300_000).map(bytes)


@given(st.sampled_from([*PACKERS]), st.lists(BYTES, min_size=1, max_size=4), st.data())
def test_any_data_come_back_however_they_are_cut(kind, members, data):
    packed = b"".join(map(PACKERS[kind], members))
    edges = sorted(data.draw(st.lists(st.integers(0, len(packed)), max_size=4)))
    pieces = [packed[a:b] for a, b in zip([0, *edges], [*edges, len(packed)], strict=True)]
    assert unpacked(kind, *filter(None, pieces)) == (b"".join(members), True)


@given(st.sampled_from([*PACKERS]), BYTES, st.data())
def test_no_beginning_passes_for_the_whole(kind, whole, data):
    packed = PACKERS[kind](whole)
    cut = data.draw(st.integers(1, len(packed) - 1))
    received, is_whole = unpacked(kind, packed[:cut])
    assert not is_whole
    assert whole.startswith(received)


def test_no_data_are_whole():
    assert [unpacked(kind) for kind in PACKERS] == [(b"", True)] * 3


@pytest.mark.parametrize("plain", [b"R", b"RIFF", b"\x1f\x8c", bytes(100_000)])
def test_what_does_not_begin_as_gzip_is_as_it_is(plain):
    unpacker = Unpacker("gzip")
    unpacker.feed(plain[:1])
    unpacker.feed(plain[1:])
    assert (unpacker.take(), unpacker.take(), unpacker.is_whole) == (plain, b"", True)


def test_a_beginning_of_gzip_is_none_of_anything_else():
    assert unpacked("gzip", b"\x1f") == (b"", False)


# Calls


@pytest.fixture(params=["direct", "client", "public"])
def way(request, monkeypatch):
    send_by(request.param, monkeypatch)


async def content(zai, *_):
    return (await zai.files.content("f")).content


async def speech(zai, *_):
    return (await zai.audio.speech.create(model="glm-tts", input="Hello", voice="a")).content


async def text(zai, *_):
    reply = await zai.audio.transcriptions.create(file_base64="UklGRg==", model="glm-asr-2512")
    return reply.text.encode()


async def own(zai, *_):
    return await zai.request("GET", "new/thing", into=bytes)


async def download(zai, url, directory):
    return (await zai.download(f"{url}/sound.wav", directory)).read_bytes()


def answered(packed, coding="gzip", kind="audio/wav"):
    wire = answer(packed, f"Content-Encoding: {coding}")
    return [wire.replace(b"application/json", kind.encode())]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("call", [content, speech, text, own, download])
async def test_a_cut_answer_is_not_taken_for_the_whole(call, tmp_path):
    sound, kind = SOUND, "audio/wav"
    if call is text:
        sound, kind = b"One, two, three. " * 1000 + b"Four.", "text/plain"
    packed = gzip.compress(sound)
    script = (answered(each, kind=kind) for each in (packed, packed[:-50]))
    async with FaultServer(*script) as server, client(server.url) as zai:
        assert await call(zai, server.url, tmp_path) == sound
        with pytest.raises(ConnectionLostError, match="broke off: the gzip data end early"):
            await call(zai, server.url, tmp_path)
        assert {seen.header("Accept-Encoding") for seen in server.requests} == {"identity"}
    assert len([*tmp_path.iterdir()]) == (call is download)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", [*PACKERS])
async def test_what_was_not_asked_for_is_unpacked_all_the_same(kind):
    script = answered(PACKERS[kind](SOUND), coding_of(kind))
    async with FaultServer(script) as server, client(server.url) as zai:
        assert await content(zai) == await content(zai) == SOUND
        assert server.connections in {1, 2}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("call", [content, download])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_what_was_unpacked_on_the_way_is_taken_as_it_is(call, coding, tmp_path):
    async with FaultServer(answered(SOUND, coding)) as server, client(server.url) as zai:
        assert await call(zai, server.url, tmp_path) == SOUND


@pytest.mark.parametrize("call", [content, download])
@pytest.mark.parametrize("coding", ["br", "zstd"])
async def test_a_coding_whose_end_nobody_sees_is_refused(call, coding, tmp_path):
    async with FaultServer(answered(SOUND, coding)) as server, client(server.url) as zai:
        with pytest.raises(ResponseError, match=f"packed as '{coding}', which was not asked for"):
            await call(zai, server.url, tmp_path)


@pytest.mark.usefixtures("way")
async def test_damage_is_told_from_another_coding():
    packed = gzip.compress(SOUND)
    damaged = packed[:-8] + bytes(8)  # where the checksum is
    script = answered(damaged), answered(packed[:10] + b"\xff" * 50)
    async with FaultServer(*script) as server, client(server.url) as zai:
        with pytest.raises(ConnectionLostError, match="the gzip data are damaged"):
            await content(zai)
        with pytest.raises(ResponseError, match="said to be 'gzip', and is not"):
            await content(zai)


async def test_a_limit_counts_what_is_unpacked():
    """64 MiB of zeros in 64 KiB, of which no more is ever here than the limit and a step."""
    bomb = gzip.compress(bytes(2**26))
    async with (
        FaultServer(answered(bomb)) as server,
        client(server.url, max_response_bytes=2**20) as zai,
    ):
        with pytest.raises(LimitError) as caught, held_at_most(8 * 2**20):
            await content(zai)
    assert caught.value.limit == 2**20
