"""Answers as values of the type that a run asks for."""

from typing import Any

from msgspec.structs import replace

from zai_async.batch.results import Failed, Ok
from zai_async.errors import StructuredOutputError
from zai_async.models import ChatCompletion
from zai_async.structured import AnswerFormat

__all__ = ["judged", "typed"]


def typed(found: Ok, answer_format: AnswerFormat[Any] | None) -> Ok:
    """Return an answer with its value.

    Raises:
        StructuredOutputError: It does not fit.
    """
    if answer_format is None or not isinstance(found.answer, ChatCompletion):
        return found
    return replace(found, parsed=answer_format.read(found.answer))


def judged(found: Ok | Failed, answer_format: AnswerFormat[Any] | None) -> Ok | Failed:
    """Return an answer with its value, or what it is when it does not fit."""
    if isinstance(found, Failed):
        return found
    try:
        return typed(found, answer_format)
    except StructuredOutputError as error:
        return Failed.of(error, found.key, found.row, found.attempts)
