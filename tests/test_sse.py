"""`zai_async._protocol.sse` against the slow reference, under every kind of cut."""

import itertools
import random
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from types import ModuleType

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.counting import Counter, counted
from tests.effort import sample, times
from tests.sse_reference import BOM, Dispatched, Interpretation, split_lines
from zai_async._protocol import sse
from zai_async._protocol.sse import Event, SSEParser
from zai_async.errors import EventTooLargeError, LimitError
from zai_async.models import counting as values
from zai_async.models.counting import counted_values

STREAMS = {
    "empty": b"",
    "chat": b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
    "chat, no space": b'data:{"a":1}\n\ndata:[DONE]\n\n',
    "chat, CRLF": b'data: {"a":1}\r\n\r\ndata: [DONE]\r\n\r\n',
    "chat, CR": b'data: {"a":1}\r\rdata: [DONE]\r\r',
    "mixed line ends": b"data: a\r\ndata: b\rdata: c\n\r\n\rdata: d\n\r",
    "BOM": BOM + b"data: a\n\ndata: b\n\n",
    "two BOMs": BOM + BOM + b"data: a\n\ndata: b\n\n",
    "half a BOM": BOM[:2] + b"data: a\n\ndata: b\n\n",
    "BOM after a blank line": b"\n" + BOM + b"data: a\n\ndata: b\n\n",
    "BOM and CR": BOM + b"\r\ndata: a\r\r",
    "comments": b": ping\n\n:\n\ndata: a\n: within\ndata: b\n\n",
    "comments between chat frames": b"data: a\n\n: ping\n\ndata: b\n\n",
    "many data lines": b"data: a\ndata\ndata:\ndata: b\n\n",
    "empty data": b"data\n\ndata:\n\ndata: \n\n",
    "only one space": b"data:  a\n\ndata: \tb \n\n",
    "error event": b'event: error\ndata: {"error":{"code":"1302"}}\n\ndata: x\n\n',
    "type without data": b"event: lost\n\ndata: a\n\n",
    "empty type": b"event: a\nevent:\ndata: x\n\n",
    "id persists": b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
    "id without data": b"id: 7\n\ndata: a\n\n",
    "id with NUL": b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
    "id unfinished": b"id: 1\ndata: a\n\nid: 2\ndata: b\n",
    "retry": b"retry: 10\n\nretry: 1x\n\nretry: +5\n\nretry:\n\nretry: 0020\n\n",
    "retry unfinished": b"retry: 10\ndata: a\nretry: 20",
    "retry in other digits": "retry: ١٢\ndata: a\n\nretry: ²\n\n".encode(),
    "unknown fields": b"Data: a\n data: b\ndatab: c\ndata : d\ndata: e\nfoo\n\n",
    "no event stream": b'{"code":500,"msg":"404 NOT_FOUND","success":false}',
    "decoy": b'data: {"content":"data: {\\"a\\":1}"}\n\ndata: data: x\n\n',
    "UTF-8": "event: 事\nid: é\ndata: 你好 🎉\n\n".encode(),
    "broken UTF-8": b"event: \xff\nid: \xe4\xbd\ndata: \xf0\x9f\n\n",
    "not line ends": "data: a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\n\n".encode() + b"data: \x85\n\n",
    "blank lines": b"\n\n\ndata: a\n\n\n\ndata: b\n\n\n",
    "last blank line left out": b"data: a\n\ndata: [DONE]\n",
    "last line end left out": b"data: a\n\nid: 1\ndata: [DONE]",
    "last field cut off": b"data: a\nevent: err",
    "last data line cut off": b"data: a\ndat",
}

# Small, so that random strings of them hit the corners of the grammar.
TOKENS = [
    *(b"data: {}\n\n", b"data: x\n\n", b"data: x\r\n\r\n", b"data: \n\n"),
    *(b"data", b"data:", b"data: ", b"event: ", b"id: ", b"id", b"retry: ", b"foo"),
    *(b"\n", b"\n", b"\n\n", b"\r", b"\r", b"\r\n", b"\r\n\r\n"),
    *(b":", b" ", b"a", b"7", b"\0", b"\xff", "é\u2028".encode(), BOM, BOM[:1], BOM[1:]),
]


def seen(events: Iterable[Event]) -> list[Dispatched]:
    return [Dispatched(event.data, event.event, event.id) for event in events]


def cut(stream: bytes, *positions: int) -> list[bytes]:
    return [stream[i:j] for i, j in itertools.pairwise([0, *positions, len(stream)])]


def pieces_of(stream: bytes, size: int) -> list[bytes]:
    return [stream[i : i + size] for i in range(0, len(stream), size)]


def random_cut(stream: bytes, rng: random.Random) -> list[bytes]:
    return cut(stream, *sorted(rng.choices(range(len(stream) + 1), k=rng.randrange(6))))


def pending_of(stream: bytes) -> list[Dispatched]:
    """What `close()` has to give, in the reference's terms: one blank line more."""
    lines, cut_off = split_lines(stream)
    if cut_off.startswith(b"data:"):
        lines = [*lines, cut_off]
    completed = Interpretation(BOM + b"".join(line + b"\n" for line in [*lines, b""]))
    return completed.events[len(Interpretation(stream).events) :]


def check(pieces: list[bytes]) -> None:
    """Both ways of feeding, and their mixture, agree with the reference on this cut."""
    stream = b"".join(pieces)
    expected = Interpretation(stream)
    full, data_only, mixed = SSEParser(), SSEParser(), SSEParser()
    events = [event for piece in pieces for event in full.feed(piece)]
    data = [data for piece in pieces for data in data_only.payloads(piece)]
    assert seen(events) == expected.events, pieces
    assert data == [event.data for event in expected.events], pieces
    assert list(feed_mixed(mixed, pieces)) == data, pieces
    for parser in (full, data_only, mixed):
        check_end(parser, expected, pending_of(stream))


def feed_mixed(parser: SSEParser, pieces: list[bytes]) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        if number % 2:
            yield from parser.payloads(piece)
        else:
            yield from (event.data for event in parser.feed(piece))


def check_end(parser: SSEParser, expected: Interpretation, pending: list[Dispatched]) -> None:
    assert parser.last_event_id == expected.last_event_id
    last = parser.close()
    assert seen([last] if last else []) == pending
    assert (parser.last_event_id, parser.retry) == (expected.last_event_id, expected.retry)
    assert parser.close() is None


# The grammar


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_every_cut_in_two_places(stream: bytes) -> None:
    pairs = itertools.combinations_with_replacement(range(len(stream) + 1), 2)
    for places in sample(pairs, 60):
        check(cut(stream, *places))


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_byte_by_byte_nothing_waits(stream: bytes) -> None:
    parser = SSEParser()
    events: list[Event] = []
    for end in range(1, len(stream) + 1):
        events += parser.feed(stream[end - 1 : end])
        assert seen(events) == Interpretation(stream[:end]).events


@pytest.mark.parametrize("seed", range(times(10, 1)))
def test_random_streams(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(times(4000, 1000)):
        check(random_cut(b"".join(rng.choices(TOKENS, k=rng.randrange(16))), rng))


@given(
    st.lists(st.lists(st.sampled_from(TOKENS)).map(b"".join) | st.binary(max_size=20), max_size=8)
)
def test_any_pieces(pieces: list[bytes]) -> None:
    check(pieces)


def test_events_read_as_expected() -> None:
    parser = SSEParser()
    events = parser.feed(b"retry: 50\nid: 7\nevent: error\ndata: a\ndata: b\n\ndata: c\n\n")
    assert events == [Event(b"a\nb", "error", "7"), Event(b"c", "message", "7")]
    assert (parser.last_event_id, parser.retry) == ("7", 50)


def test_a_lone_carriage_return_dispatches_at_once() -> None:
    parser = SSEParser()
    assert parser.payloads(b"data: x\r\r") == [b"x"]
    assert parser.payloads(b"\ndata: y\r\n\r") == [b"y"]
    assert parser.payloads(b"\n") == []


def test_a_retry_that_python_does_not_convert_is_ignored() -> None:
    digits = b"9" * (sys.get_int_max_str_digits() + 1)
    parser = SSEParser()
    parser.feed(b"retry: 5\n\nretry: " + digits + b"\n\n")
    assert parser.retry == 5


# The end of the stream


def test_close_gives_the_unfinished_event() -> None:
    parser = SSEParser()
    parser.feed(b"id: 1\ndata: a\n\nid: 2\nevent: end\ndata: b\ndata: [DO")
    assert parser.close() == Event(b"b\n[DO", "end", "2")
    assert parser.last_event_id == "1"


@pytest.mark.parametrize(
    "stream", [b"", b"data: a\n\n", b": ping\n", b"event: x\n", BOM[:2], b"\r"]
)
def test_close_without_unfinished_data(stream: bytes) -> None:
    parser = SSEParser()
    parser.feed(stream)
    assert parser.close() is None


# The limit


def sizes(stream: bytes) -> list[int]:
    """The sizes of all events of a stream, the unfinished one included."""
    lines, cut_off = split_lines(stream)
    found = [0]
    for line in lines:
        if line:
            found[-1] += len(line) + 1
        else:
            found.append(0)
    found[-1] += len(cut_off)
    return found


def feed_all(parser: SSEParser, pieces: list[bytes]) -> None:
    for piece in pieces:
        parser.payloads(piece)


def overflows(pieces: list[bytes], limit: int) -> bool:
    try:
        feed_all(SSEParser(max_event_bytes=limit), pieces)
    except EventTooLargeError:
        return True
    return False


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_the_limit_does_not_depend_on_the_cut() -> None:
    rng = random.Random(0)
    for _ in range(times(10_000, 2000)):
        stream = b"".join(rng.choices(TOKENS, k=rng.randrange(24)))
        limit = rng.randrange(4, 40)
        pieces = random_cut(stream, rng)
        assert overflows(pieces, limit) == (max(sizes(stream)) > limit), (pieces, limit)


# Values, what looks like values, and what may be cut in two.
VALUES = [
    *(b"data: ", b"data: [1,1]\n\n", b"[1,1,1,1]", b"{}", b'"[,,"', b'"', b"\\", b"xxxxxxxx"),
    *(b"\n", b"\n\n", b"\r\n", b"\r"),
]


def texts_of(stream: bytes) -> list[bytes]:
    """The text of each event of a stream, the unfinished one included."""
    lines, cut_off = split_lines(stream)
    events: list[list[bytes]] = [[]]
    for line in lines:
        if line:
            events[-1].append(line)
        else:
            events.append([])
    return [b"\n".join(event) for event in [*events[:-1], [*events[-1], cut_off]]]


def refuses(pieces: list[bytes], most: int) -> bool:
    """Read what may hold so many values, and expect what is read of it all to be right."""
    parser = SSEParser(max_event_values=most)
    try:
        data = [data for piece in pieces for data in parser.payloads(piece)]
        parser.close()
    except EventTooLargeError:
        return True
    assert data == [event.data for event in Interpretation(b"".join(pieces)).events], pieces
    return False


def test_what_an_event_may_hold_does_not_depend_on_the_cut(monkeypatch):
    for weight in ("_ESCAPES", "_CODES", "_LETTERS", "_BYTES"):
        monkeypatch.setattr(values, weight, 10**9)  # line ends count, but not always the same ones
    rng = random.Random(0)
    for _ in range(times(20_000, 4000)):
        stream = b"".join(rng.choices(VALUES, k=rng.randrange(24)))
        texts = texts_of(stream)
        large = rng.randrange(4, 24)
        monkeypatch.setattr(sse, "LARGE", large)
        if large in {len(text.strip(b"\n")) for text in texts}:
            continue  # here, too, a line end more or less would decide
        held = [[*counted_values(text)][-1] for text in texts if len(text) > large]
        most = max(held, default=9) - rng.randrange(2)
        pieces = random_cut(stream, rng)
        assert refuses(pieces, most) == (max(held, default=0) > most), (pieces, large, most)


@pytest.mark.parametrize(
    ("read", "payloads"),
    [
        (b"data: a\rdata: b\n\n", [b"a\nb"]),
        (b"data: a\rid: b\n\n", [b"a"]),
        (b"data: a\r\rdata: b\n\n", [b"a", b"b"]),
        (b"data: a\rdata: b\n\ndata: c\n\n", [b"a\nb", b"c"]),
        (b"data: a\n\ndata: b\rid: c\n\n", [b"a", b"b"]),
    ],
)
def test_a_carriage_return_ends_a_line_amid_whole_events_too(read, payloads):
    parser = SSEParser()
    assert parser.payloads(b"data: first\n\n") == [b"first"]
    assert parser.payloads(read) == payloads


def test_what_a_closed_event_held_counts_no_more():
    parser = SSEParser(max_event_values=30_000)
    for _ in range(3):
        parser.feed(b"data: [" + b"1," * 20_000)
        parser.close()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("endless", "size"),
    sample(itertools.product([b"x", b"data: ", b": ping\n", b"a\n", b"a: x\r\n"], [100, 1, 2]), 6),
    ids=repr,
)
def test_an_endless_event_is_bounded(endless: bytes, size: int) -> None:
    limit = 20_000
    pieces = pieces_of(endless * (2 * limit // len(endless)), size)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with pytest.raises(EventTooLargeError, match=str(limit)) as caught:
        feed_all(SSEParser(max_event_bytes=limit), pieces)
    _, peak = tracemalloc.get_traced_memory()
    assert caught.value.limit == limit
    # A list of reads would take forty times the size; the rest is what other threads may take.
    assert peak - before < 5 * limit


@pytest.mark.parametrize("endless", [b": ping\n\n", b"\n", b"\r\n", b"a\n\n"], ids=repr)
def test_an_endless_stream_without_events_is_none(endless: bytes) -> None:
    stream = endless * 1000
    for size in (1, 2, 100):
        parser = SSEParser(max_event_bytes=10)
        assert not any(parser.feed(piece) for piece in pieces_of(stream, size))


@pytest.mark.parametrize("later", [b"", b"x", b"\n\n", b"data: x\n\n"])
@pytest.mark.parametrize("first", [b"data: " + b"x" * 20, b"data: " + b"x" * 20 + b"\n\n"])
def test_after_an_overflow_every_call_raises(first: bytes, later: bytes) -> None:
    parser = SSEParser(max_event_bytes=20)
    for piece in (first, later):
        with pytest.raises(EventTooLargeError):
            parser.payloads(piece)
    with pytest.raises(EventTooLargeError):
        parser.feed(later)
    assert parser.close() is None


# The cost


FILLERS = {
    "one line": b"xxxxxxxx",
    "many lines": b"\ndata: x",
    "many lines, CRLF": b"\r\ndata: x",
    "many lines, CR": b"\rdata: x",
    "comments": b"\n: ping",
    "events": b"\n\ndata: x",
    "events, CRLF": b"\r\n\r\ndata: x",
}


@pytest.fixture(scope="module")
def counting() -> tuple[ModuleType, Counter]:
    return counted(SSEParser.__module__)


def work_of(pieces: list[bytes], counting: tuple[ModuleType, Counter]) -> int:
    module, counter = counting
    before = counter.work
    feed_all(module.SSEParser(), pieces)
    return counter.work - before


@pytest.mark.parametrize("size", [1, 64][: times(2, 1)])
@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
def test_the_cost_grows_with_the_bytes_only(
    filler: bytes, size: int, counting: tuple[ModuleType, Counter]
) -> None:
    """Eight times the bytes; whatever is quadratic would count 64 times as many."""
    short, long = (
        work_of(pieces_of(b"data: " + filler * (total // len(filler)) + b"\n\n", size), counting)
        for total in (1024, 8 * 1024)
    )
    assert 7 < long / short < 9


# --- what the standard ignores ----------------------------------------------------------------


def test_stray_lines_are_kept_for_the_curious():
    parser = SSEParser()
    assert parser.payloads(b'data: a\n\n{"error": 1}\n: comment\nid: 1\n\ndata: b\n\n') == [
        b"a",
        b"b",
    ]
    assert parser.stray == [(1, b'{"error": 1}')]
    assert parser.payloads(b"<html>\n") == []
    assert parser.close() is None
    assert parser.stray == [(1, b'{"error": 1}'), (0, b"<html>")]


@pytest.mark.parametrize("end", [b"<p", b"{", b"dat"])
def test_an_unfinished_last_line_can_be_stray(end):
    parser = SSEParser()
    parser.payloads(b"data: a\n" + end)
    assert parser.close().data == b"a"
    assert parser.stray == [(1, end)]


def test_the_stray_lines_are_few_and_short():
    parser = SSEParser()
    parser.payloads((b"x" * 40_000 + b"\n") * 100 + b"\n")
    assert len(parser.stray) == 32
    assert {len(line) for _, line in parser.stray} == {2**15}


def test_an_event_that_is_named_an_error_is_told_beside_its_data():
    parser = SSEParser()
    wire = b"data: a\n\nevent: error\ndata: b\ndata: c\n\nevent: x.failed\n\nevent: y\ndata: d\n\n"
    assert parser.payloads(wire) == [b"a", b"b\nc", b"d"]
    assert parser.stray == [(1, b"event: error\nb\nc"), (2, b"event: error\n")]


def test_a_stray_line_tells_where_it_stood():
    parser = SSEParser()
    wire = b"data: a\n\nx\n\ny\ndata: b\nz\n\nlast\n\n"
    assert parser.payloads(wire) == [b"a", b"b"]
    assert parser.stray == [(1, b"x"), (1, b"y"), (2, b"z"), (2, b"last")]


@pytest.mark.parametrize("method", ["feed", "payloads"])
def test_a_stream_may_only_be_so_long(method):
    parser = SSEParser(max_bytes=20)
    for _ in range(2):
        assert len(getattr(parser, method)(b"data: abc\n")) == 0
    for _ in range(2):  # of no further use
        with pytest.raises(LimitError, match="larger than 20 bytes") as caught:
            getattr(parser, method)(b"\n")
    assert caught.value.limit == 20
    assert parser.close() is None


@given(
    st.lists(st.sampled_from([b"data: 1\n\n", b"data: 22\n\n", b":\n\n", b"dat", b"a: 3\n\n\n"]))
)
def test_every_byte_of_a_stream_counts(pieces):
    """Those that were read the quick way, and all others."""
    total = sum(map(len, pieces))
    feed_all(SSEParser(max_bytes=total), pieces)
    if pieces:
        with pytest.raises(LimitError):
            feed_all(SSEParser(max_bytes=total - 1), pieces)
    assume(b"datdatdat" not in b"".join(pieces))  # no event is larger than 20 bytes
    parser = SSEParser(max_bytes=total, max_event_bytes=20)
    feed_all(parser, pieces)
    with pytest.raises(LimitError):
        parser.payloads(b"\n\n")


@pytest.mark.parametrize("end", [b"\t\n", b"x\n", b"\n", b"", b"\n\t", b"\0\0"])
def test_only_a_blank_line_ends_an_event(end):
    """After whole events, which are looked for the quick way."""
    parser = SSEParser()
    assert parser.payloads(b"data: a\n\n") == [b"a"]
    assert parser.payloads(b"data: b" + end) == []
    assert parser.payloads(b"\n\n") == [b"b" + end.partition(b"\n")[0]]
