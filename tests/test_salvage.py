import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.counting import calls, counted
from zai_async._protocol.salvage import END_MARK, can_belong, is_prose, salvage
from zai_async.models import ChatCompletionChunk
from zai_async.models.tolerant import decode

DECODER = msgspec.json.Decoder(ChatCompletionChunk)
# Legal text that looks like what the damage looks like.
DECOYS = [
    "plain",
    "data: {",
    "data: {}",
    'data: {"id":"decoy"}',
    "data: [DONE]",
    "\n\ndata: ",
    '"choices"',
    "\u2028\u2029\u0085\u0000",
    "\\",
    "}]}",
]


def chunk(id, text, **delta):
    delta = {"role": "assistant", "content": text, **delta}
    choices = [{"index": 0, "delta": delta}]
    return {"id": id, "created": 1, "object": "chat.completion.chunk", "choices": choices}


def frame(*args, **delta):
    return json.dumps(chunk(*args, **delta), ensure_ascii=False, separators=(",", ":")).encode()


def read(data):
    """Return the frames, and whether anything is lost."""
    frames, lost = salvage(data)
    assert data.startswith(lost)
    return frames, bool(lost) or not frames


def is_legal(data):
    try:
        DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def cuts(data):
    """Yield every proper beginning of a frame that no longer is one."""
    return (data[:place] for place in range(1, len(data)))


SECOND = frame("b", "Now")


@pytest.mark.parametrize("decoy", DECOYS)
@pytest.mark.parametrize("seam", [b"data: ", b"data:", b"\ndata: ", b"\r\ndata: "], ids=repr)
def test_the_second_generation_is_found_wherever_the_first_was_cut(decoy, seam):
    for cut in cuts(frame("a", f"x{decoy}y")):
        found = read(cut + seam + SECOND)
        assert found[1]
        assert found[0][-1] == SECOND


@pytest.mark.parametrize("decoy", DECOYS)
def test_the_second_generation_may_hold_decoys(decoy):
    second = frame("b", decoy)
    for cut in cuts(frame("a", "first")):
        assert read(cut + b"data: " + second) == ((second,), True)


def test_two_cuts_in_one_line_leave_the_third_generation():
    for cut in cuts(frame("a", "first")):
        for other in (b'{"id":"b","cho', b'{"id":', b'{"id":"b","choices":[{"delta":{"content":"x'):
            assert read(cut + b"data: " + other + b"data: " + SECOND)[0] == (SECOND,)


def test_a_cut_without_a_successor_is_lost():
    for cut in cuts(frame("a", "first")):
        assert read(cut) == ((), True)


@pytest.mark.parametrize("place", range(1, len(SECOND)))
def test_a_successor_that_is_cut_itself_is_lost_too(place):
    found = read(b'{"id":"a","created":1,"chdata: ' + SECOND[:place])
    assert found == ((), True)


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (SECOND + b"data: [DONE]", (SECOND, END_MARK)),
        (SECOND + b"data:[DONE] ", (SECOND, END_MARK)),
        (SECOND + b"[DONE]", (SECOND, END_MARK)),
        (b"data: " + SECOND, (SECOND,)),
        (b"data: [DONE]", (END_MARK,)),
        (SECOND + SECOND, (SECOND, SECOND)),
        (SECOND + b"\n" + SECOND, (SECOND, SECOND)),
        (SECOND + b" data: " + SECOND + b"data: " + SECOND, (SECOND,) * 3),
        (SECOND + b"data:", (SECOND,)),
    ],
)
def test_whole_frames_that_are_glued_are_all_kept(data, frames):
    assert read(data) == (frames, False)


def test_glued_frames_after_a_cut_are_all_kept():
    found = read(b'{"id":"a","chdata: ' + SECOND + b"data: " + SECOND + b"data: [DONE]")
    assert found == ((SECOND, SECOND, END_MARK), True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"data:",
        b"hello",
        b"[1, 2]",
        b"[DONE] " + SECOND,
        SECOND + b"[DONE] and more",
        SECOND + b"rubbish",
        SECOND.replace(b"Now", b"\xff"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=range(11),
)
def test_what_holds_no_frame_is_lost(data):
    assert read(data) == ((), True)


def test_bytes_that_are_no_text_spoil_only_the_frame_they_are_in():
    assert read(b'{"id":"\xff\xfedata: ' + SECOND) == ((SECOND,), True)


@pytest.mark.parametrize(
    "rubbish", [b'{"id":"\xff', b'{"id":"\xff"}', b'{"a":' * 100_000, b"{" * 9]
)
def test_neither_do_they_hide_what_follows(rubbish):
    found = read(b'{"iddata: ' + rubbish + b"data: " + SECOND)
    assert found == ((SECOND,), True)


def test_a_frame_of_unknown_shape_is_still_a_frame():
    odd = b'{"id":1,"choices":"none"}'
    assert read(odd + b"data: " + SECOND) == ((odd, SECOND), False)


def test_the_search_gives_up_after_many_seams():
    assert read(b"data: {" * 63 + b"data: " + SECOND) == ((SECOND,), True)
    assert read(b"data: {" * 64 + b"data: " + SECOND) == ((), True)


def test_the_search_gives_up_after_so_many_bytes():
    begun, large = b"data: {" * 3, b"x" * 2**21
    assert read(begun + large[:1000] + b"data: " + SECOND) == ((SECOND,), True)
    assert read(begun + large + b"data: " + SECOND) == ((), True)


@pytest.mark.parametrize("piece", [b"{}", b"data:", b"data: {", b"{", b" ", b"[DONE]", b"{}data: "])
def test_large_rubbish_is_read_in_linear_time(piece):
    module, counter = counted(salvage.__module__)
    counts = []
    for size in (10_000, 80_000):
        before = counter.work
        found = module.salvage(piece * (size // len(piece)))
        counts.append(counter.work - before)
        assert len(found.frames) <= size // 2
    assert counts[1] < 10 * counts[0]


def test_many_short_frames_are_not_looked_for_to_the_end():
    """A few bytes would cost as much as a whole frame of an answer, several million times."""
    few, more = b"{}" * 2_000, b"{}" * 16_000
    # A finaliser of another test may come in between.
    assert calls(lambda: read(more)) <= calls(lambda: read(few)) + 50
    # One for each 64 bytes, and 64 of any size.
    assert read(b"{}" * 66) == ((b"{}",) * 66, False)
    assert read(b"{}" * 67) == ((), True)
    assert read(SECOND * 3_000) == ((SECOND,) * 3_000, False)


@given(
    st.lists(
        st.sampled_from([SECOND, b"data: ", b"data:", b"[DONE]", b"{}", b"\n", b'{"id":', b'"}'])
        | st.binary(max_size=5)
        | st.integers(1, len(SECOND)).map(lambda place: SECOND[:place]),
        max_size=12,
    )
)
def test_salvaged_frames_can_be_read_and_stand_in_the_damaged_one_in_order(pieces):
    data = b"".join(pieces)
    found = read(data)
    rest = data
    for part in found[0]:
        rest = rest[rest.index(part) + len(part) :]
        assert part == END_MARK or isinstance(decode(DECODER, part), ChatCompletionChunk)
    assert all(part != END_MARK for part, _ in pairwise(found[0]))


@given(st.sampled_from(DECOYS), st.sampled_from(DECOYS), st.data())
def test_no_cut_mixes_two_generations(first, second, data):
    whole, follower = frame("a", first), frame("b", second)
    place = data.draw(st.integers(1, len(whole) - 1))
    found = read(whole[:place] + b"data: " + follower)
    generations = {decode(DECODER, part).id for part in found[0] if part != END_MARK}
    assert "a" not in generations
    assert "b" in generations


@pytest.mark.parametrize(
    ("lost", "may_be"),
    [
        (b'{"id":"20260102030405aa","cre', True),
        (b' { "id" : "20260102030405aa"', True),
        (b'{"id":"20260102030405bb","cre', False),
        (b'{"id":"20260102030405aaa"', False),
        (b'{"id":"20260102030405"', False),
        (b'{"id":"20260102030405a', True),
        (b'{"id":"20260102030405b', False),
        (b'{"id":"', True),
        (b"{", True),
        (b"data: ", True),
        (b"dat", True),
        (b"", True),
        (b'{"choices":[{"id":"another"', True),
        (b'"content":"x"}}]}', True),
        (b"upstream timed out", False),
        (b'{"id":"other"data:{"id":"20260102030405aa"', True),
        (b'{"id":"other"\n{"id":"20260102030405aa"', True),
        (b'{"id":"other","a":1\ndata: {"id":"third"', False),
        (b'{"id":"\xff', True),
    ],
)
def test_what_was_lost_tells_of_which_answer_it_can_be(lost, may_be):
    assert can_belong(lost, "20260102030405aa") is may_be


def test_of_an_answer_without_id_everything_can_be():
    for lost in (b'{"choices":[', b'{"id":"a', b'{"id":"a"', b'{"id":"a","b":1'):
        assert can_belong(lost, "")


@pytest.mark.parametrize("text", [b"upstream timed out", b": ping", b"", b"d", b"data"])
def test_prose_is_what_was_never_meant_to_be_json(text):
    assert is_prose(text) is not b"data: {".startswith(text)


@given(st.text())
def test_a_legal_frame_is_returned_unchanged(text):
    data = frame("a", text)
    assert is_legal(data)
    assert read(data) == ((data,), False)
