"""Chat answers of a type of the caller's, from tasks."""

from collections.abc import Collection
from typing import Any, Generic, TypeVar, cast

from msgspec.structs import replace

from zai_async._outcomes import ensure_proper_end
from zai_async._wire import Operation
from zai_async.models import ChatResult
from zai_async.structured import AnswerFormat
from zai_async.tasks.polling import CHATS, TaskType

__all__ = ["ParsedResult", "parsed_chats"]

T = TypeVar("T")


class ParsedResult(ChatResult, Generic[T], kw_only=True):
    """A completion that was submitted with a type, empty until the task is done."""

    @property
    def parsed(self) -> T:
        """The value; None while the task is not done."""
        value: T = vars(self).get("parsed")  # type: ignore[assignment]  # as the answer is, too
        return value


def parsed_chats(kind: Any) -> TaskType[ParsedResult[Any]]:
    """Return the type of tasks whose answers are to fit a type.

    Raises ConfigurationError if that has no JSON Schema.
    """
    answer_format, asks = AnswerFormat[Any](kind), CHATS.operation

    def judge(answer: ParsedResult[Any], allow: Collection[str]) -> None:
        # What was cut or lost is told as that, and not as something that does not fit.
        ensure_proper_end(answer, allow)
        vars(answer)["parsed"] = answer_format.read(answer)

    # The same question, whose answers are decoded into a class that has a place for the value.
    operation = Operation(asks.name, asks.path, ParsedResult[Any], asks.params, method=asks.method)
    changed: Any = replace(CHATS, operation=operation, judge=judge, schema=kind)
    return cast("TaskType[ParsedResult[Any]]", changed)
