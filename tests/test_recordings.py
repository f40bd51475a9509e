"""Recordings of any length: cut where it is quiet, transcribed in parts, joined in order."""

import asyncio
import io
import json
import os
import pickle
import shlex
import shutil
import struct
import sys
import tempfile
import textwrap
from contextlib import aclosing

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import client, give_up_a_read
from tests.counting import calls
from zai_async import (
    BadRequestError,
    ConfigurationError,
    InvalidFileError,
    RateLimitError,
    StreamConsumedError,
    TranscriptionIncompleteError,
)
from zai_async.models import TranscribedPart, Transcription
from zai_async.recordings import Recording, transcribe
from zai_async.recordings.cutting import Cutter
from zai_async.recordings.joining import separator
from zai_async.uploads.media import wav_seconds
from zai_async.uploads.waves import WaveFormat, WaveReader

MODEL = "glm-asr-2512"
RATE = 2000
FORM = WaveFormat(RATE)


def sound(seconds: float, level: int, form: WaveFormat = FORM) -> bytes:
    """Return frames of a hum as loud as this, of 16 bits as far as there are so many."""
    shift = 8 * form.width - 16
    values = [level, level // 2, -level, -level // 2]
    if form.width == 1:
        period = [bytes([(value >> 8) + 128]) for value in values]
    else:
        period = [(value << shift).to_bytes(form.width, "little", signed=True) for value in values]
    frames = b"".join(sample * form.channels for sample in period)
    return frames * (int(seconds * form.rate) // len(period))


def wave(frames: bytes, form: WaveFormat = FORM) -> bytes:
    return form.header(len(frames)) + frames


def meeting(*sentences: float, pause: float = 1.0, form: WaveFormat = FORM) -> bytes:
    """Return a WAV of sentences that are so long, each with a pause after it."""
    said = [sound(each, 12_000, form) + sound(pause, 200, form) for each in sentences]
    return wave(b"".join(said), form)


# Cut at 25, at 51 and at 77 seconds, or a little before.
MEETING = meeting(24.5, 25, 25, 4)
PARTS = [(0, 25.35), (25.35, 51.36), (51.36, 77.35), (77.35, 82.5)]


def cut(data: bytes, size: int = 2**16, seconds: float = 30, most: int = 2**20):
    cutter = Cutter("talk.wav", seconds, most)
    pieces = []
    for start in range(0, len(data), size):
        pieces += cutter.feed(data[start : start + size])
    return pieces + cutter.end()


def test_cuts_are_in_the_pauses():
    pieces = cut(MEETING)
    assert [(piece.number, piece.start, piece.end) for piece in pieces] == [
        (number, *times) for number, times in enumerate(PARTS)
    ]


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_kind_of_frame_is_cut_in_its_pauses_and_none_is_lost(width, channels):
    form = WaveFormat(RATE, channels, width)
    data = meeting(20, 22, 21, form=form)
    pieces = cut(data, size=10_001)
    assert [round(piece.end) for piece in pieces] == [21, 44, 66]
    assert b"".join(piece.wave[44:] for piece in pieces) == data[44:]
    for piece in pieces:
        reader = WaveReader("piece")
        assert reader.feed(piece.wave) == piece.wave[44:]
        assert reader.format == form
        assert wav_seconds(piece.wave, len(piece.wave)) == pytest.approx(piece.end - piece.start)


def test_a_speaker_in_one_channel_is_heard():
    """Samples are left out where there are many, and the quiet channel must not be all of them."""
    form = WaveFormat(32_000, 2)
    left = [bytes(2) + frame for frame in (b"\0\x40", b"\0\xc0")]
    talk = b"".join(left) * 16_000
    data = wave(talk * 24 + bytes(len(talk)) + talk * 20, form)
    assert round(cut(data, most=2**25)[0].end) == 25


def test_without_a_pause_pieces_are_as_long_as_they_may_be():
    pieces = cut(wave(sound(95, 9000)))
    assert [round(piece.end) for piece in pieces] == [30, 60, 90, 95]
    assert all(piece.end - piece.start <= 30 for piece in pieces)


def test_last_piece_is_not_the_rest_of_a_word():
    for seconds in (30.05, 30.4, 30.9, 31.05):
        first, last = cut(wave(sound(seconds, 9000)))
        assert first.end <= 30
        assert last.end - last.start >= 0.4


def test_pieces_are_within_the_bytes_too():
    pieces = cut(MEETING, most=44 + 2 * RATE * 10)
    assert max(len(piece.wave) for piece in pieces) <= 44 + 2 * RATE * 10
    assert b"".join(piece.wave[44:] for piece in pieces) == MEETING[44:]
    # A piece of half a second, of the largest frames there can be.
    form = WaveFormat(1000, 32, 4)
    data = wave(sound(5, 9000, form), form)
    pieces = cut(data, most=44 + form.frame * 500)
    assert b"".join(piece.wave[44:] for piece in pieces) == data[44:]
    assert max(piece.end - piece.start for piece in pieces) <= 0.5


@given(st.data())
def test_pieces_do_not_depend_on_how_the_file_is_read(data):
    levels = data.draw(st.lists(st.integers(0, 20_000), min_size=1, max_size=120))
    frames = b"".join(sound(0.1, level, WaveFormat(1000)) for level in levels)
    recording = wave(frames, WaveFormat(1000))
    sizes = data.draw(st.integers(1, 5000))
    pieces = cut(recording, size=sizes, seconds=2)
    assert pieces == cut(recording, size=len(recording), seconds=2)
    assert b"".join(piece.wave[44:] for piece in pieces) == frames
    assert max(piece.end - piece.start for piece in pieces) <= 2


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def fmt(tag=1, *, channels=1, rate=8000, frame=2, bits=16, more=b""):
    fields = (tag, channels, rate, rate * frame, frame, bits)
    return chunk(b"fmt ", struct.pack("<HHIIHH", *fields) + more)


def riff(*chunks: bytes) -> bytes:
    return b"RIFF\0\0\0\0WAVE" + b"".join(chunks)


PCM_GUID = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
FRAMES = chunk(b"data", b"frames")


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("data", "form"),
    [
        (riff(fmt(), FRAMES), WaveFormat(8000)),
        (riff(chunk(b"LIST", b"odd"), fmt(), chunk(b"fact", b"1234"), FRAMES), WaveFormat(8000)),
        (riff(fmt(), FRAMES, chunk(b"LIST", b"a title")), WaveFormat(8000)),
        (riff(fmt(0xFFFE, more=PCM_GUID), FRAMES), WaveFormat(8000)),
        (riff(fmt(0xFFFE, more=PCM_GUID[:10]), FRAMES), WaveFormat(8000)),
        (riff(fmt(channels=2, frame=6, bits=20), FRAMES), WaveFormat(8000, 2, 3)),
        (riff(fmt(), b"data\0\0\0\0frames"), WaveFormat(8000)),
        (riff(fmt(), b"data\xff\xff\xff\xffframes"), WaveFormat(8000)),
        (riff(fmt(), b"data\xdb\xff\xff\xffframes"), WaveFormat(8000)),
    ],
)
def test_a_header_is_read(data, form, size):
    reader = WaveReader("x")
    got = b"".join(reader.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert (reader.end(), got) == (form, b"frames")
    assert reader.size == (6 if b"data\x06" in data else None)


def test_a_single_byte_of_sound_is_no_unknown_length():
    reader = WaveReader("x")
    assert reader.feed(riff(fmt(), chunk(b"data", b"a"), chunk(b"LIST", b"title"))) == b"a"
    assert reader.size == 1


@pytest.mark.parametrize(
    ("size", "known"),
    [(0, False), (1, True), (2**32 - 2**12 - 1, True), (2**32 - 2**12, False)],
)
def test_a_length_is_believed_up_to_what_stands_for_an_unknown_one(size, known):
    reader = WaveReader("x")
    assert reader.feed(riff(fmt(), struct.pack("<4sI", b"data", size), b"a")) == b"a"
    assert reader.size == (size if known else None)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"rate": 1_000}, {"rate": 999}),
        ({"rate": 400_000}, {"rate": 400_001}),
        ({"channels": 1, "frame": 2}, {"channels": 0, "frame": 2}),
        ({"channels": 32, "frame": 64}, {"channels": 33, "frame": 66}),
        ({"frame": 1, "bits": 8}, {"channels": 0, "frame": 1, "bits": 8}),
        ({"frame": 1, "bits": 8}, {"frame": 0, "bits": 0}),
        ({"frame": 4, "bits": 32}, {"frame": 5, "bits": 40}),
    ],
)
def test_what_a_recording_may_be_has_bounds(inside, outside):
    read_whole(riff(fmt(**inside), FRAMES))
    with pytest.raises(InvalidFileError, match="which no recording has"):
        read_whole(riff(fmt(**outside), FRAMES))


def test_the_head_of_a_sound_has_its_least_and_its_most():
    whole = fmt()[8:]
    read_whole(riff(chunk(b"fmt ", whole), FRAMES))
    with pytest.raises(InvalidFileError, match="does not say what its frames are"):
        read_whole(riff(chunk(b"fmt ", whole[:15]), FRAMES))
    # The tag proper of the extended form, which ends after 26 bytes.
    read_whole(riff(fmt(0xFFFE, more=PCM_GUID[:10]), FRAMES))
    with pytest.raises(InvalidFileError, match="compressed"):
        read_whole(riff(fmt(0xFFFE, more=PCM_GUID[:9]), FRAMES))
    for size, ends in ((2**22, "ends before its sound"), (2**22 + 1, "holds no sound among")):
        with pytest.raises(InvalidFileError, match=ends):
            read_whole(riff(chunk(b"id3 ", bytes(2**22)))[:size])


def read_whole(data):
    reader = WaveReader("x")
    reader.feed(data)
    reader.end()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"ID3 and more bytes", "x is no WAV"),
        (b"RIFF1234AVI ", "x is no WAV"),
        (b"RIFF1234AVI LIST", "x is no WAV"),
        (b"RI", "x ends before its sound"),
        (riff(FRAMES), "x does not say what its frames are"),
        (riff(chunk(b"fmt ", b"short"), FRAMES), "x does not say what its frames are"),
        (riff(fmt(3, bits=32, frame=4), FRAMES), "x holds compressed sound"),
        (riff(fmt(0xFFFE), FRAMES), "x holds compressed sound"),
        (riff(fmt(channels=0), FRAMES), "x has 0 channels of 16 bits at 8000 Hz"),
        (riff(fmt(rate=5), FRAMES), "at 5 Hz, which no recording has"),
        (riff(fmt(frame=3), FRAMES), "x has 1 channels"),
        (riff(fmt(bits=40, frame=5), FRAMES), "x has 1 channels of 40 bits"),
        (riff(chunk(b"id3 ", bytes(2**22))), "x holds no sound among its first bytes"),
    ],
)
def test_what_is_no_sound_is_refused(data, reason):
    with pytest.raises(InvalidFileError, match=reason) as caught:
        read_whole(data)
    assert caught.value.limit == "type"


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        ("", "Hello", ""),
        ("Hello", "", ""),
        ("Hello.", "How", " "),
        ("Hello. ", "How", ""),
        ("Hello.", " How", ""),
        ("你好。", "今天", ""),
        ("好", "now", ""),
        ("안녕", "오늘", " "),
    ],
)
def test_spaces_stand_where_the_script_has_them(before, after, between):
    assert separator(before, after) == between


# Through the client.


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url) as zai:
        yield zai


def hear(zai, data=MEETING, **params):
    fields = {"model": MODEL, "file": ("talk.wav", data), "split": "silence"} | params
    return zai.audio.transcriptions.create(**fields)


def write(zai, data=MEETING, **params):
    fields = {"model": MODEL, "file": ("talk.wav", data), "split": "silence"} | params
    return zai.audio.transcriptions.stream(**fields)


def expected(parts=PARTS):
    return " ".join(f"This recording is {end - start:.1f} seconds long." for start, end in parts)


async def test_a_meeting_is_one_transcription(zai, zai_emulator):
    told = []
    heard = await hear(
        zai, request_id="request", on_part=lambda part, whole: told.append((part.number, whole))
    )
    assert heard.text == expected()
    assert heard.duration == pytest.approx(82.5)
    assert [(each.id, each.start, each.end) for each in heard.segments] == [
        (number, *times) for number, times in enumerate(PARTS)
    ]
    assert heard.segments[0].text == "This recording is 25.4 seconds long."
    assert len(heard.attempts) == len(zai_emulator.requests) == 4
    assert told == [(number, 82.5) for number in range(4)]
    bodies = [request.body for request in zai_emulator.requests]
    assert all(any(b"request-%d" % number in body for body in bodies) for number in range(4))
    assert all(any(b'"talk-%d.wav"' % number in body for body in bodies) for number in range(4))


async def test_progress_may_be_a_coroutine_function(zai):
    parts = []

    async def note(part, whole):
        await asyncio.sleep(0)
        parts.append(part.number)

    await hear(zai, on_part=note)
    assert parts == [0, 1, 2, 3]


async def pieces_of(data, first=1000):
    yield data[:first]
    yield data[first:]


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "file", "pieces", "small pieces"])
async def test_every_kind_of_file_is_split(zai, tmp_path, kind):
    path = tmp_path / "talk.wav"
    path.write_bytes(MEETING)
    file = {
        "path": path,
        "str": str(path),
        "bytes": MEETING,
        "file": io.BytesIO(MEETING),
        "pieces": pieces_of(MEETING),
        "small pieces": pieces_of(MEETING, 20),
    }[kind]
    assert (await hear(zai, file=file)).text == expected()


async def test_a_short_recording_is_one_request(zai, zai_emulator):
    heard = await hear(zai, wave(sound(5, 9000)), response_format="text")
    assert heard.text.strip() == "This recording is 5.0 seconds long."
    assert len(zai_emulator.requests) == 1


async def test_sentences_of_parts_have_the_times_of_the_whole(zai):
    heard = await hear(zai, response_format="verbose_json")
    assert heard.language
    starts = [each.start for each in heard.segments]
    assert starts == sorted(starts)
    assert [each.id for each in heard.segments] == list(range(len(heard.segments)))
    assert heard.segments[-1].end == pytest.approx(82.5, abs=0.2)
    assert heard.duration == pytest.approx(82.5)


async def test_stream_hands_out_the_text_in_order(zai, zai_emulator):
    async with write(zai) as stream:
        pieces = [piece async for piece in stream.text]
        whole = await stream.transcription()
    assert "".join(pieces) == whole.text == expected()
    assert len(pieces) > 8
    assert stream.seconds == pytest.approx(82.5)
    assert [(part.start, part.end) for part in stream.parts] == PARTS
    assert len(zai_emulator.requests) == 4


async def test_stream_can_be_read_as_events(zai):
    async with write(zai) as stream:
        kinds = [event.type async for event in stream]
    assert kinds.count("transcript.text.done") == 4
    async with write(zai) as other:
        assert (await other.transcription()).text == expected()
    with pytest.raises(StreamConsumedError):
        async with stream:
            pass


async def test_a_read_that_is_given_up_does_not_end_a_stream(zai):
    async with write(zai) as stream:
        await give_up_a_read(aiter(stream))
        pieces = [await anext(stream.text)]
        await give_up_a_read(stream.text)
        assert (await stream.transcription()).text == expected()
    assert expected().startswith(pieces[0])


async def test_what_was_cut_is_no_transcription(zai, zai_emulator):
    async with write(zai) as stream:
        await anext(stream.text)
    with pytest.raises(StreamConsumedError):
        await stream.transcription()
    zai_emulator.fault(status=400, path="audio", times=None)
    async with write(zai) as failed:
        with pytest.raises(BadRequestError):
            await failed.transcription()
        with pytest.raises(StreamConsumedError):
            await failed.transcription()


async def test_stream_is_read_inside_of_its_context(zai, zai_emulator):
    with pytest.raises(StreamConsumedError):
        await write(zai).transcription()
    assert not zai_emulator.requests


async def test_stream_that_is_left_early_sends_nothing_more(zai, zai_emulator):
    zai_emulator.fault(hang=True, times=None, path="audio")
    async with write(zai):
        await zai_emulator.wait_requests(4)
    assert len(zai_emulator.requests) == 4
    await zai_emulator.wait_disconnected(4)


async def test_a_failed_part_is_named_and_the_others_are_kept(zai, zai_emulator):
    parts = []
    await hear(zai, on_part=lambda part, whole: parts.append(part))
    zai_emulator.fault(status=400, code="1210", path="audio")
    with pytest.raises(
        TranscriptionIncompleteError, match=r"talk\.wav was not transcribed from 51\.4 to 77\.3 s"
    ) as caught:
        await hear(zai, finished=[parts[0], parts[1], parts[3]])
    assert isinstance(caught.value.__cause__, BadRequestError)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.start, error.end) == PARTS[2]
    assert error.finished == [parts[0], parts[1], parts[3]]
    assert error.partial.text == expected([*PARTS[:2], PARTS[3]])
    assert not error.retryable
    # What is finished may be kept as JSON in the meantime.
    stored = [json.loads(json.dumps(part.to_dict())) for part in error.finished]
    finished = [TranscribedPart.from_dict(each) for each in stored]
    before = len(zai_emulator.requests)
    assert (await hear(zai, finished=finished)).text == expected()
    async with write(zai, finished=finished) as stream:
        assert "".join([piece async for piece in stream.text]) == expected()
    assert len(zai_emulator.requests) == before + 2


async def test_where_nothing_is_finished_the_error_is_that_of_the_part(zai, zai_emulator):
    zai_emulator.fault(status=400, code="1210", path="audio", times=None)
    with pytest.raises(BadRequestError):
        await hear(zai)
    with pytest.raises(BadRequestError):
        async with write(zai) as stream:
            await stream.transcription()


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"split": "words"}, "only way to split"),
        ({"split": None, "on_part": print}, "only way to split"),
        ({"file": None}, "must be given as a file"),
        ({"file": 7}, "a file must be"),
        ({"response_format": "srt"}, "json, text, verbose_json"),
        ({"on_progress": print}, "bytes of a single request"),
        ({"file": b""}, "file is empty"),
        ({"file": wave(b"")}, "file holds no sound"),
    ],
)
async def test_what_cannot_be_split_is_refused_before_anything_is_sent(
    zai, zai_emulator, params, reason
):
    with pytest.raises(ConfigurationError, match=reason):
        await hear(zai, **params)
    assert not zai_emulator.requests


async def test_unknown_parameters_are_refused_as_in_any_call(zai, zai_emulator):
    with pytest.raises(TypeError):
        await hear(zai, voice="loud")
    assert not zai_emulator.requests


# The order in which parts are heard, which is decided here and not by a server.


class Hearing:
    """A service that answers when it is told to."""

    def __init__(self):
        self.begun = []
        self.gates = [asyncio.Event() for _ in range(40)]
        self.counted = [asyncio.Event() for _ in range(40)]
        self.failures = {}

    async def __call__(self, file, number):
        self.begun.append(number)
        self.counted[len(self.begun)].set()
        await self.gates[number].wait()
        if number in self.failures:
            raise self.failures[number]
        return Transcription(text=f"{number}")

    async def until_begun(self, count):
        await self.counted[count].wait()

    def run(self, told=None, data=MEETING):
        def on_part(part, whole):
            told.append(part.number)

        recording = Recording(("talk.wav", data))
        return asyncio.create_task(
            transcribe(recording, self, (), None if told is None else on_part)
        )


async def test_parts_are_told_in_order_whichever_is_done_first():
    hearing, told = Hearing(), []
    task = hearing.run(told)
    await hearing.until_begun(4)
    for number in (3, 1, 2):
        hearing.gates[number].set()
    await asyncio.sleep(0)
    assert told == []
    hearing.gates[0].set()
    assert (await task).text == "0 1 2 3"
    assert told == [0, 1, 2, 3]


async def test_only_so_many_parts_are_in_memory():
    hearing = Hearing()
    task = hearing.run(data=wave(sound(0.5, 9000) * 2 * 400))
    await hearing.until_begun(8)
    for gate in hearing.gates[:7]:
        gate.set()
    await hearing.until_begun(14)
    assert sorted(hearing.begun) == list(range(14))
    for gate in hearing.gates:
        gate.set()
    assert (await task).text == " ".join(str(number) for number in range(14))


async def test_after_a_failure_parts_under_way_are_heard_and_no_other_is_begun():
    hearing = Hearing()
    hearing.failures = {2: RateLimitError("busy", retryable=True, retry_after=3)}
    task = hearing.run(data=wave(sound(0.5, 9000) * 2 * 400))
    await hearing.until_begun(8)
    hearing.gates[2].set()
    await asyncio.sleep(0)
    for gate in hearing.gates:
        gate.set()
    with pytest.raises(TranscriptionIncompleteError) as caught:
        await task
    assert sorted(hearing.begun) == list(range(8))
    assert [part.number for part in caught.value.finished] == [0, 1, 3, 4, 5, 6, 7]
    assert caught.value.retryable
    assert caught.value.retry_after == 3


async def test_first_of_several_failures_in_the_order_of_the_recording_is_told():
    hearing = Hearing()
    hearing.failures = {1: RateLimitError("second"), 3: RateLimitError("last")}
    task = hearing.run()
    await hearing.until_begun(4)
    for number in (3, 1, 0, 2):
        hearing.gates[number].set()
        await asyncio.sleep(0)
    with pytest.raises(TranscriptionIncompleteError, match="second"):
        await task


async def test_a_fault_of_ours_is_raised_as_it_is():
    hearing = Hearing()
    hearing.failures = {1: LookupError("bug")}
    for gate in hearing.gates:
        gate.set()
    with pytest.raises(LookupError, match="bug"):
        await hearing.run()


async def test_what_the_progress_raises_ends_the_call():
    hearing = Hearing()
    hearing.gates[0].set()

    def on_part(part, whole):
        raise LookupError("bug")

    with pytest.raises(LookupError, match="bug"):
        await transcribe(Recording(MEETING), hearing, (), on_part)


async def test_cancelling_the_call_ends_all_parts():
    hearing = Hearing()
    task = hearing.run()
    await hearing.until_begun(4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_was_heard_before_the_file_broke_off_is_kept():
    async def breaks_off():
        yield MEETING[: 2 * RATE * 40]
        await hearing.until_begun(1)
        raise InvalidFileError("the disk is gone")

    hearing = Hearing()
    hearing.gates[0].set()
    with pytest.raises(
        TranscriptionIncompleteError, match=r"from 25\.4 to 82\.5 s: the disk"
    ) as got:
        await transcribe(Recording(breaks_off()), hearing, (), None)
    assert [part.number for part in got.value.finished] == [0]


async def test_where_the_length_is_not_told_the_end_of_a_failure_is_not_either():
    async def breaks_off():
        yield FORM.header(2**32 - 37) + MEETING[44 : 2 * RATE * 40]
        await hearing.until_begun(1)
        raise InvalidFileError("the disk is gone")

    hearing = Hearing()
    hearing.gates[0].set()
    with pytest.raises(TranscriptionIncompleteError, match=r"from 25\.4 to 25\.4 s"):
        await transcribe(Recording(breaks_off()), hearing, (), None)


def test_cutting_is_linear():
    once, often = wave(sound(70, 9000)), wave(sound(560, 9000))
    assert calls(lambda: cut(often)) < 10 * calls(lambda: cut(once))


# What is no WAV, by way of ffmpeg. Programs that behave like it stand in for it: a machine that
# runs these tests need not have it, and what it decodes is its own business.


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Install a program called ffmpeg, of this source, which knows what it was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(source):
        script = folder / "program.py"
        script.write_text(f"import sys\n{textwrap.dedent(source)}")
        path = folder / "ffmpeg"
        # By way of a shell: the line after "#!" can name no interpreter with a space in its path.
        command = shlex.join([sys.executable, "-IS", str(script)])
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)
        return path

    return install


# The sound follows the head of an imaginary format.
DECODES = """
path = sys.argv[sys.argv.index("-i") + 1].removeprefix("file:")
with open(path, "rb") as file:
    sys.stdout.buffer.write(file.read().removeprefix(b"ID3"))
"""
MP3 = b"ID3" + MEETING


@pytest.mark.parametrize("kind", ["path", "bytes", "pieces"])
async def test_what_is_no_wav_is_decoded_by_ffmpeg(zai, tmp_path, program, kind):
    program(DECODES)
    path = tmp_path / "-talk:1.mp3"
    path.write_bytes(MP3)
    file = {"path": path, "bytes": MP3, "pieces": pieces_of(MP3)}[kind]
    before = set(os.listdir(tempfile.gettempdir()))
    assert (await hear(zai, file=file)).text == expected()
    assert not [
        name
        for name in set(os.listdir(tempfile.gettempdir())) - before
        if name.startswith("zai-async")
    ]


async def test_ffmpeg_may_read_nothing_but_the_file(program, tmp_path):
    """A playlist would have it read other files and addresses."""
    seen = tmp_path / "seen"
    program(f"open({str(seen)!r}, 'w').write(' '.join(sys.argv[1:])); sys.exit(1)")
    with pytest.raises(InvalidFileError):
        await transcribe(Recording(MP3), Hearing(), (), None)
    given = seen.read_text()
    assert "-protocol_whitelist file,pipe -format_whitelist " in given
    assert "hls" not in given
    assert " -i file:/" in given


async def test_what_ffmpeg_cannot_read_is_an_invalid_file(program, tmp_path):
    program(
        """
        print(sys.argv[sys.argv.index("-i") + 1] + ": Invalid data\\x1b found", file=sys.stderr)
        print("Conversion failed!", file=sys.stderr)
        sys.exit(69)
        """
    )
    path = tmp_path / "talk.mp3"
    path.write_bytes(MP3)
    with pytest.raises(InvalidFileError) as caught:
        await transcribe(Recording(path), Hearing(), (), None)
    assert str(tmp_path) not in str(caught.value)
    assert "talk.mp3: ffmpeg cannot read it: " in str(caught.value)
    assert "Invalid data\\x1b found" in str(caught.value)


async def test_leaving_early_ends_ffmpeg(program):
    program(
        f"""
        sys.stdout.buffer.write(bytes.fromhex({FORM.header(2**32 - 37).hex()!r}))
        while True:
            sys.stdout.buffer.write(bytes(2**16))
        """
    )
    async with aclosing(Recording(MP3).pieces()) as pieces:
        assert (await anext(pieces)).number == 0
    hearing = Hearing()
    task = asyncio.create_task(transcribe(Recording(MP3), hearing, (), None))
    await hearing.until_begun(8)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_without_ffmpeg_only_wav_is_split(program, zai, zai_emulator):
    with pytest.raises(InvalidFileError, match=r"talk\.wav is no WAV.*Where ffmpeg is installed"):
        await hear(zai, MP3)
    assert not zai_emulator.requests


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
async def test_real_ffmpeg_decodes_what_it_knows(zai, tmp_path):
    source, target = tmp_path / "talk.wav", tmp_path / "talk.flac"
    source.write_bytes(meeting(24.5, 25, 4, form=WaveFormat(16_000)))
    made = await anyio.run_process(["ffmpeg", "-v", "error", "-i", str(source), str(target)])
    assert made.returncode == 0
    for file in (target, target.read_bytes()):
        heard = await hear(zai, file=file)
        ends = [part.end for part in heard.segments]
        assert ends == pytest.approx([25.35, 51.36, 56.5], abs=0.02)
        assert heard.text.startswith(expected(PARTS[:2]))
    playlist = tmp_path / "talk.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n")
    with pytest.raises(InvalidFileError, match="ffmpeg cannot read it"):
        await hear(zai, file=playlist)
