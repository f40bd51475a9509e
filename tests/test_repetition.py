"""Degenerate answers are noticed within two kilobytes, and what only looks like one is not."""

import base64
import inspect
import json
import random
import textwrap

import pytest

from tests.calls import client
from zai_async import CallOptions, RepetitionError, RepetitionGuard, streams
from zai_async._protocol.repetition import RepetitionDetector
from zai_async.models import ChatCompletionChunk, ChunkChoice, ChunkFunction, ChunkToolCall, Delta
from zai_async.streams import reader

GUARDED = CallOptions(repetition=RepetitionGuard())
RANDOM = random.Random(7)
PROSE = inspect.getdoc(RepetitionGuard) + "\n" + inspect.getsource(streams) * 2
WORDS = PROSE.split()

HARMLESS = {
    "code": inspect.getsource(reader),
    "base64": base64.b64encode(RANDOM.randbytes(6000)).decode(),
    "prose": " ".join(RANDOM.choice(WORDS) for _ in range(3000)),
    "log": "\n".join(f"12:00:{n % 60:02} INFO worker {n} has done its work" for n in range(300)),
    "table": "\n".join(f"| row {n} | {n * n} | {'x' * (n % 7)} |" for n in range(300)),
    "json": json.dumps([{"id": n, "ok": True, "name": "the same"} for n in range(300)], indent=2),
    "art": "\n".join(" " * (40 - n) + "*" * (2 * n + 1) for n in range(40)) * 2,
    "short loop": "ha" * 400 + PROSE,
}


def chunk(**delta):
    return ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(**delta))])


def fed(text, size=7, guard=None):
    """Return the unit that is found, and after how many characters."""
    detector = RepetitionDetector(guard or RepetitionGuard())
    for start in range(0, len(text), size):
        unit = detector.find(chunk(content=text[start : start + size]))
        if unit is not None:
            return unit, start + size
    return None, len(text)


@pytest.mark.parametrize("period", [1, 2, 3, 7, 10, 50, 127, 199, 200])
@pytest.mark.parametrize("size", [1, 9, 300])
def test_loops_are_found_within_two_kilobytes(period, size):
    letters = "".join(chr(0x4E00 + n) for n in RANDOM.sample(range(2000), period))
    unit, read = fed(PROSE[:700] + letters * 4000, size)
    assert (len(unit), unit in letters * 2) == (period, True)
    assert read - 700 <= 2000


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_looks_alike_is_left_alone(name):
    assert fed(HARMLESS[name])[0] is None


def test_longer_units_need_another_guard():
    phrase = textwrap.shorten(PROSE, 280, placeholder="")
    assert fed(phrase * 40)[0] is None
    unit, _ = fed(phrase * 40, guard=RepetitionGuard(chars=2400, max_unit=600))
    assert len(unit) == len(phrase)


@pytest.mark.parametrize(("chars", "unit"), [(20, 4), (20, 5), (24, 6), (64, 16)])
def test_a_guard_may_be_small(chars, unit):
    found, read = fed("abcd" * 100, 4, RepetitionGuard(chars=chars, max_unit=unit))
    assert (found in "abcdabc", read) == (True, 256)


@pytest.mark.parametrize(("chars", "unit"), [(1400, 0), (100, 26), (10, -1)])
def test_guard_that_would_see_anything_is_refused(chars, unit):
    with pytest.raises(ValueError, match="max_unit"):
        RepetitionGuard(chars=chars, max_unit=unit)


def test_kinds_of_text_are_watched_apart():
    detector = RepetitionDetector(RepetitionGuard())
    call = ChunkToolCall(index=0, function=ChunkFunction(arguments="!" * 300))
    silent = [ChunkToolCall(index=1), ChunkToolCall(index=1, function=ChunkFunction(name="f"))]
    for _ in range(4):  # not enough of each kind
        assert detector.find(chunk(content="!" * 300)) is None
        assert detector.find(chunk(reasoning_content="!" * 300)) is None
        assert detector.find(chunk(tool_calls=[call, *silent])) is None
    assert detector.find(chunk(tool_calls=[call])) == "!"
    assert detector.find(chunk(reasoning_content="!" * 300)) == "!"


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url) as zai:
        yield zai


async def test_stream_is_ended_with_what_it_repeats(zai, zai_emulator):
    zai_emulator.chat.reply("Well. " + "I see. " * 5000)
    stream = zai.chat.completions.stream(model="glm-5.3", messages="Hi", options=GUARDED)
    async with stream:
        with pytest.raises(RepetitionError, match="repeats itself") as caught:
            await stream.completion()
    error = caught.value
    assert sorted(error.unit) == sorted("I see. ")
    assert len(error.partial.text) < 2100
    assert error.outcome == stream.outcome == "repetition"
    assert error.attempts


async def test_outcome_may_be_allowed(zai, zai_emulator):
    zai_emulator.chat.reply(thinking="hm " * 3000)
    options = CallOptions(repetition=RepetitionGuard(), allow={"repetition"})
    async with zai.chat.completions.stream(model="glm-5.3", messages="Hi", options=options) as it:
        events = [event async for event in it.events]
    assert events[-1].outcome == it.outcome == "repetition"


async def test_guarded_stream_that_is_fine_is_read_as_always(zai, zai_emulator):
    zai_emulator.chat.reply(PROSE)
    async with zai.chat.completions.stream(model="glm-5.3", messages="x", options=GUARDED) as it:
        assert "".join([text async for text in it.text]) == PROSE
    assert it.outcome == "completed"
