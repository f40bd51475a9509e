"""What comes in another form than it was asked for: events, errors, pages."""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec
from anyio.lowlevel import checkpoint

from zai_async._outcomes import accept
from zai_async._protocol import (
    AgentDecoder,
    ChatDecoder,
    Decoder,
    DecoderContext,
    TranscriptionDecoder,
)
from zai_async._threads import ANSWER_THREADS, abandonable
from zai_async._transport import Response
from zai_async._wire import Operation, error_in_body, not_the_api, open_envelope
from zai_async.errors import ConnectionLostError, LimitError, LocalResourceError, ZaiError
from zai_async.models import AgentReply, ChatCompletion, Reply, Transcription
from zai_async.models.counting import counted_values
from zai_async.models.tolerant import UNREADABLE

if TYPE_CHECKING:  # it reads what is raised here
    from zai_async.session.call import Call

__all__ = [
    "BodyBuffer",
    "answer_in_events",
    "ends_itself",
    "parse_in_thread",
    "raise_error",
    "raise_no_answer",
]

T = TypeVar("T")

# The answers that are known in both forms.
_DECODERS: Final[Mapping[type[Any], Callable[..., Decoder[Any]]]] = {
    ChatCompletion: ChatDecoder,
    AgentReply: AgentDecoder,
    Transcription: TranscriptionDecoder,
}
# Known by the first event, whatever the header says: comments and other fields may come before it.
# JSON has no such line, because a string cannot hold a line feed as it is (RFC 8259 section 7).
_BLOCK: Final = 2**20
_SMALLER: Final = "AsyncZai(max_response_bytes=) refuses what is too large before it is here."
_FIELD: Final = b"data:"
_LF: Final = 10
_DONE: Final = b"data: [DONE]"
_WHOLE: Final = msgspec.json.Decoder(msgspec.Raw)
_EVENT: Final = re.compile(rb"data: *(?:\{|\[DONE\])")


def answer_in_events(
    operation: Operation[Any], response: Response, body: bytes, call: "Call"
) -> Reply | None:
    """Return the answer that came as a stream of events although none was asked for, or None.

    Some gateways stream in any case. The answer is here, and paid.

    Raises:
        APIError: An event reports an error.
        IncompleteError: The stream has no proper end; ``partial`` has what came.
    """
    make_decoder = _DECODERS.get(operation.result)
    if make_decoder is None:
        return None
    place = body.find(_FIELD)
    while place > 0 and (body[place - 1] != _LF or not _EVENT.match(body, place)):
        place = body.find(_FIELD, place + 1)
    if place < 0 or not _EVENT.match(body, place):
        return None
    decoder = make_decoder(
        context=DecoderContext(
            allow=call.options.allow,
            on_restart=call.options.on_restart,
            max_event_bytes=call.settings.max_event_bytes,
            max_event_values=call.settings.max_event_values,
            headers=response.headers,
            secrets=call.secrets,
            now=call.settings.clock.wall,
            unwrap=partial(open_envelope, call.settings.provider, dict),
        )
    )
    decoder.feed(body)
    outcome = decoder.end_of_input()
    answer: Reply = decoder.snapshot
    answer.request_id = answer.request_id or response.headers.get("X-Log-Id")
    if outcome in call.options.allow:
        vars(answer)["outcome"] = outcome
    return answer


@contextmanager
def enough_memory() -> Generator[None]:
    """Say so where the memory of this machine does not hold an answer, which has been paid.

    Raises:
        LocalResourceError: It does not; the same would come of asking again.
    """
    try:
        yield
    except MemoryError:
        text = "this machine has no memory left for the answer"
        error = LocalResourceError(text, hint=_SMALLER, retryable=False, repeat="never")
        error.request_sent = True
        raise error from None


class BodyBuffer:
    """A body as it comes, piece by piece."""

    def __init__(self) -> None:
        self.size = 0
        # Blocks, because to join what is large would stop the loop; not the pieces as they come,
        # of which tiny ones would take many times their size.
        self._blocks: list[bytes] = []
        self._block = bytearray()

    def add(self, piece: bytes) -> None:
        """Add the next piece."""
        with enough_memory():
            self._block += piece
            self.size += len(piece)
            if len(self._block) >= _BLOCK:
                self._blocks.append(bytes(self._block))
                self._block.clear()

    async def joined(self) -> bytes:
        """Return the whole body; a thread that joins megabytes lets others run meanwhile."""
        last = bytes(self._block)
        if not self._blocks:
            return last
        with enough_memory():
            return await abandonable(partial(b"".join, [*self._blocks, last]), ANSWER_THREADS)


def ends_itself(error: ZaiError, body: bytes) -> bool:
    """Tell whether a body is whole although its connection was cut where it was to end.

    A JSON document and a stream of events say themselves where they end; sound and text do not.
    """
    if not (isinstance(error, ConnectionLostError) and error.unclosed):
        return False
    try:
        _WHOLE.decode(body)
    except UNREADABLE:
        return body.rstrip().endswith(_DONE)
    return body.lstrip()[:1] in {b"{", b"["}


async def parse_in_thread(body: bytes, parse: Callable[[], T], most: int) -> T:
    """Return what a large body of at most so many values is parsed to.

    The loop goes on meanwhile, but for what holds the interpreter in one go.

    Raises:
        LimitError: It holds so much that decoding it would.
    """
    for count in counted_values(body):
        if count > most:
            text = f"the answer holds more than {most} values"
            raise LimitError(text, limit=most, setting="max_response_values")
        await checkpoint()  # others have their turn
    with enough_memory():
        return await abandonable(parse, ANSWER_THREADS)


def raise_no_answer(response: Response, body: bytes, call: "Call") -> NoReturn:
    """Raise what came in place of a stream or of bytes: the error that it tells, if it does."""
    raise not_the_api(
        open_envelope(call.settings.provider, dict, body),
        status=response.status,
        headers=response.headers,
        now=call.settings.clock.wall(),
        secrets=call.secrets,
    )


def raise_error(response: Response, body: bytes, call: "Call") -> None:
    """Raise what came in place of bytes, if something did."""
    if response.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise_no_answer(response, body, call)
    kind = response.headers.get("Content-Type", "").lower()
    # Sound and files may hold anything; what is said to be JSON is not what was asked for.
    if "json" not in kind:
        return
    error = error_in_body(
        open_envelope(call.settings.provider, dict, body),
        status=response.status,
        headers=response.headers,
        now=call.settings.clock.wall(),
        secrets=call.secrets,
        # The content of a file may be an error that somebody else was told.
        in_place=call.operation.judge is not accept,
    )
    if error is not None:
        try:
            raise error
        finally:
            del error  # its traceback leads here, and would keep the body alive
