"""Damaged chat streams: the decoder ends in a known way, and never joins two generations."""

from typing import Any, NamedTuple, get_args

import msgspec

from zai_async import Outcome, ZaiError
from zai_async._protocol import ChatDecoder, DecoderState
from zai_async._protocol.events import EventBuilder, TextDelta

__all__ = ["check_stream"]

OUTCOMES = frozenset(get_args(Outcome))
# Letters of the first and of the second generation; what is mutated has neither.
OLD, NEW = "Ω", "Ψ"
MOST_READS = 16
FINAL = {DecoderState.ENDED, DecoderState.FAILED}


class Plan(NamedTuple):
    """How a stream is made of the bytes of the fuzzer."""

    reset: bool
    raw: bool
    """Whether the stream is what was mutated, and nothing else."""
    old_frames: int
    cut: int
    size: int
    """Bytes in a read, or more if there would be too many of them."""
    junk: bytes


def check_stream(data: bytes) -> None:
    """Read what the bytes describe: a stream as it is, or a first generation and a second."""
    if len(data) < 4:
        return
    plan = Plan(
        reset=bool(data[0] & 4),
        raw=bool(data[0] & 16),
        old_frames=data[1] % 8,
        cut=data[2],
        size=1 + data[3],
        junk=data[4:],
    )
    read(plan.junk if plan.raw else glued(plan), plan)


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


def read(body: bytes, plan: Plan) -> None:
    """Feed it, and look at what a caller sees: the pieces since the last reset, and the sum."""
    size = max(plan.size, len(body) // MOST_READS)
    decoder = ChatDecoder(on_restart="reset" if plan.reset else "raise")
    builder, shown = EventBuilder(decoder.answer), ""
    partial = ""
    try:
        for at in range(0, len(body), size):
            chunks = decoder.feed(body[at : at + size])
            if builder.answer is not decoder.answer:
                builder, shown = EventBuilder(decoder.answer), ""
                continue  # which of these chunks came before the reset is not said here
            for chunk in chunks:
                events = builder.push(chunk)
                shown += "".join(event.text for event in events if isinstance(event, TextDelta))
        outcome = decoder.end_of_input()
    except ZaiError as error:
        assert repr(error)
        partial = "" if error.partial is None else error.partial.text
        outcome = getattr(error, "outcome", "error")
    assert outcome in OUTCOMES, outcome
    assert decoder.state in FINAL
    for text in [] if plan.raw else [shown, partial, decoder.snapshot.text]:
        assert not (OLD in text and NEW in text), "two generations are joined"
