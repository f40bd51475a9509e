"""Characters that a server has cut in two."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat_wire import DONE, FIRST, body, chunk, client, frame, last, stream, texts
from tests.counting import counted
from zai_async._protocol.salvage import SurrogateJoiner


def ascii_frame(text, key="content"):
    value = chunk({key: text})
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def utf16_pieces(text, cuts):
    """Cut a text where a server that counts in UTF-16 does."""
    units = text.encode("utf-16-le", "surrogatepass")
    edges = sorted({0, *(2 * cut for cut in cuts if 2 * cut < len(units)), len(units)})
    pieces = [units[a:b] for a, b in itertools.pairwise(edges)]
    return [piece.decode("utf-16-le", "surrogatepass") for piece in pieces]


@given(st.text('a😀世🌍\\"', max_size=20), st.lists(st.integers(0, 40), max_size=8))
async def test_no_cut_in_utf16_breaks_a_character(text, cuts):
    pieces = utf16_pieces("x" + text, cuts)
    wire = b"".join(map(ascii_frame, pieces)) + frame(last()) + DONE
    async with client(wire) as zai, stream(zai) as answer:
        assert "".join([piece async for piece in answer.text]) == "x" + text


async def test_thinking_is_joined_too():
    halves = [ascii_frame(half, "reasoning_content") for half in ("a\ud83d", "\ude00b")]
    wire = b"".join(halves) + body([*texts("A"), last()])
    async with client(wire) as zai, stream(zai) as answer:
        assert (await answer.completion()).thinking == "a😀b"


@pytest.mark.parametrize("codes", [[0xDE00], [0x61, 0xD83D], [0xD83D], [0xD83D, 0x61]])
async def test_half_a_character_without_the_other_is_no_text(codes):
    text = "".join(map(chr, codes))
    wire = ascii_frame("A") + ascii_frame(text) + body([*texts("B"), last()])
    async with client(wire) as zai, stream(zai) as answer:
        said = (await answer.completion()).text
    assert said.encode()
    assert (said[0], said[-1]) == ("A", "B")


def test_an_escaped_backslash_is_no_half():
    data = json.dumps({"id": FIRST, "a": "\\ud83d"}).encode()
    assert SurrogateJoiner().join(data) == data


@pytest.mark.parametrize(
    "piece", [b'\\\\ud83d",', b"\\", b'"', b"[]", b'"\\\\\\\\\\ud83d"'], ids=repr
)
def test_halves_are_looked_for_in_linear_time(piece):
    module, counter = counted(SurrogateJoiner.__module__)
    counts = []
    for number in (1_000, 8_000):
        before, data = counter.work, piece * number
        module.SurrogateJoiner().join(data)
        counts.append(counter.work - before)
    assert counts[1] < 10 * counts[0]


@pytest.mark.parametrize("backslashes", range(1, 6))
def test_half_a_character_is_told_from_an_escaped_backslash_before_its_letters(backslashes):
    data = b'{"id":"\\\\ud83d","a":"' + b"\\" * backslashes + b'ud83d"}'
    kept = SurrogateJoiner().join(data)
    assert len(data) - len(kept) == (6 if backslashes % 2 else 0)


def test_one_half_makes_one_character():
    joiner = SurrogateJoiner()
    assert joiner.join(rb'{"a":"x\ud83d"}') == b'{"a":"x"}'
    two = rb'{"a":"\ude00","b":"\ude00"}'
    assert joiner.join(two) == rb'{"a":"\ud83d\ude00","b":"\ude00"}'
