"""An answer of a type of the caller's, while it is written."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from zai_async._threads import never_copied
from zai_async.models import ChatCompletion, Outcome, Usage
from zai_async.streams.chat import ChatStream
from zai_async.structured import AnswerFormat, ParsedCompletion, PartialJSON

__all__ = ["ParsedStream"]

T = TypeVar("T")


class ParsedStream(Generic[T]):
    """Iterate over the partial value of an answer; ``parsed()`` returns it as its type.

    Partial values are plain dicts and lists. Texts grow; numbers come when they have ended. It is
    one value that grows: copy it to keep a moment of it.

    Raises:
        StructuredOutputError: The whole answer does not fit the type.
        ZaiError: As for every stream.
    """

    __reduce__ = never_copied

    def __init__(self, stream: ChatStream, answer_format: AnswerFormat[T]) -> None:
        self.stream = stream
        """The stream that is read."""
        self._format = answer_format
        self._json = PartialJSON()

    @property
    def partial(self) -> Any:
        """The value as far as it has been written; None before it begins."""
        return self._format.unwrapped(self._json.value)

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended; None while it has not."""
        return self.stream.outcome

    @property
    def usage(self) -> Usage | None:
        """The token counts, as soon as the platform has told them."""
        return self.stream.usage

    async def parsed(self) -> T:
        """Read what is left and return the value.

        Raises:
            StructuredOutputError: The answer does not fit the type.
        """
        return self._format.read(await self.stream.completion())

    async def completion(self) -> ParsedCompletion[T]:
        """Read what is left and return the value with the answer around it."""
        answer: ChatCompletion = await self.stream.completion()
        parsed = self._format.read(answer)
        return ParsedCompletion(parsed=parsed, completion=answer, usage=answer.usage, repairs=0)

    async def aclose(self) -> None:
        """Close the stream and its connection at once, from any task."""
        await self.stream.aclose()

    async def __aenter__(self) -> Self:
        await self.stream.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stream.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _PartialValues(self, self._json)


class _PartialValues:
    """The values of a stream that is parsed; no generator, which a cancelled read would end."""

    cancel_safe = True

    def __init__(self, parsed: ParsedStream[Any], json: PartialJSON) -> None:
        self._parsed = parsed
        self._json = json
        self._texts = parsed.stream.text

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            grown = self._json.feed(await anext(self._texts))
            if grown and self._parsed.partial is not None:
                return self._parsed.partial
