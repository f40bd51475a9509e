"""Damaged chat streams: the machine ends in a known way, and never joins two generations."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar, get_args

import msgspec

from zai_async import CallOptions, ChatStream, Outcome, Timeout, ZaiError
from zai_async._operations import CHAT_STREAM
from zai_async.errors import Timing
from zai_async.session.settings import Settings
from zai_async.streams.events import Reset, TextDelta
from zai_async.streams.waiting import Opening
from zai_async.testing import FakeReply
from zai_async.testing.fake_transport import FakeResponse

__all__ = ["check_stream"]

T = TypeVar("T")

OUTCOMES = frozenset(get_args(Outcome))
ALTITUDES = ("chunks", "text", "events", "completion")
# Letters of the first and of the second generation; what is mutated has neither.
OLD, NEW = "Ω", "Ψ"
MOST_READS = 16


class Plan(NamedTuple):
    """How a stream is made of the bytes of the fuzzer."""

    altitude: str
    reset: bool
    repeats: bool
    raw: bool
    """Whether the stream is what was mutated, and nothing else."""
    old_frames: int
    cut: int
    size: int
    """Bytes in a read, or more if there would be too many of them."""
    junk: bytes


class Script:
    """The call that a stream belongs to: it answers at once, and perhaps a second time."""

    operation = CHAT_STREAM
    settings = Settings()
    timeout = Timeout()
    timing = Timing()
    attempts = ()
    secrets = ()
    deadline_at = None

    def __init__(self, pieces: list[bytes], options: CallOptions, repeats: int) -> None:
        self.options = options
        self.responses: list[FakeResponse] = []
        self.left = False
        self._reply = FakeReply.stream(*pieces)
        self._repeats = repeats

    async def open(self) -> FakeResponse:
        self.responses.append(FakeResponse(self._reply))
        return self.responses[-1]

    async def recover(self, error: ZaiError) -> None:
        if error.repeat == "never" or len(self.responses) > self._repeats:
            raise error

    def note(self, error: ZaiError) -> None:
        pass

    def progressed(self) -> None:
        pass

    def leave(self, *_: object, **__: object) -> None:
        self.left = True

    # The event loop's part.

    @property
    def session(self) -> "Script":
        return self

    watchdog = session

    def add(self, _: object) -> None:
        pass

    remove = add

    def spawn(self, work: Coroutine[Any, Any, None], cleanup: Callable[[], None]) -> None:
        work.close()
        cleanup()


class Straight(Opening):
    """Opens without a cancel scope, which would need an event loop."""

    async def wait(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()


def check_stream(data: bytes) -> None:
    """Read what the bytes describe: a stream as it is, or a first generation and a second."""
    if len(data) < 4:
        return
    plan = Plan(
        altitude=ALTITUDES[data[0] % 4],
        reset=bool(data[0] & 4),
        repeats=bool(data[0] & 8),
        raw=bool(data[0] & 16),
        old_frames=data[1] % 8,
        cut=data[2],
        size=1 + data[3],
        junk=data[4:],
    )
    # Nothing in this world waits, so that no event loop is needed.
    try:
        read(plan.junk if plan.raw else glued(plan), plan).send(None)
    except StopIteration:
        return
    raise AssertionError("the stream waits for something")


def glued(plan: Plan) -> bytes:
    """Return a first generation that is cut, something else, and a second one that is whole."""
    # Without line ends, and inside a frame: a seam between two frames is no damage.
    junk = plan.junk.translate(None, b"\xce\r\n").replace(b"u03", b"")
    old = frame("old", OLD) * plan.old_frames
    new = frame("new", NEW) * 3 + frame("new", NEW, "stop")
    cut = 3 + plan.cut % (len(frame("old", OLD)) - 9)
    return old[: max(0, len(old) - cut)] + junk + new + b"data: [DONE]\n\n"


def frame(name: str, text: str, finish: str | None = None) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": text}}
    if finish:
        choice["finish_reason"] = finish
    return b"data: " + msgspec.json.encode({"id": name, "choices": [choice]}) + b"\n\n"


async def read(body: bytes, plan: Plan) -> None:
    size = max(plan.size, len(body) // MOST_READS)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    options = CallOptions(on_restart="reset" if plan.reset else "raise")
    call = Script(pieces, options, int(plan.repeats))
    stream = ChatStream(call)
    stream._opening = Straight()  # noqa: SLF001 - the only way past the event loop
    shown: list[str] = []
    try:
        async with stream:
            await show(stream, plan.altitude, shown)
    except ZaiError as error:
        assert repr(error)
        shown += ["" if error.partial is None else error.partial.text]
    assert stream.outcome in OUTCOMES, stream.outcome
    assert call.left
    assert all(response.closed or response.at_end() for response in call.responses)
    for text in [] if plan.raw else [*shown, stream.snapshot.text]:
        assert not (OLD in text and NEW in text), "two generations are joined"


async def show(stream: ChatStream, altitude: str, shown: list[str]) -> None:
    """Collect the text as a caller sees it, also if it breaks off; a reset begins it anew."""
    text = ""
    try:
        if altitude == "text":
            async for piece in stream.text:
                text += piece
        elif altitude == "events":
            async for event in stream.events:
                text = "" if isinstance(event, Reset) else text
                text += event.text if isinstance(event, TextDelta) else ""
        elif altitude == "completion":
            text = (await stream.completion()).text
        else:
            async for chunk in stream:
                text += chunk.text
    finally:
        shown.append(text)
