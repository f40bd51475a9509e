"""The lines of a batch's files, judged as the answers to single calls are."""

from functools import cache
from typing import Any, Final

import msgspec

from zai_async._outcomes import Judge, ensure_proper_end, judge_embeddings, judge_images
from zai_async._wire.envelopes import ENVELOPES, peeled
from zai_async._wire.faults import find_fault, told_fault
from zai_async.errors import EmptyAnswerError, IncompleteError
from zai_async.models import (
    BatchError,
    BatchResponse,
    BatchResult,
    ChatCompletion,
    EmbeddingResponse,
    ImagesResponse,
)
from zai_async.models.extra import extra_of
from zai_async.models.tasks import read_results
from zai_async.models.tolerant import decode

__all__ = ["judged_results"]

_CHAT: Final = frozenset({"choices"})


def judged_results(lines: bytes) -> list[BatchResult]:
    """Return what became of the requests of a batch, out of a file of them.

    A line has an error where its answer cannot be used; its body stays in the response, without
    the envelope of a gateway. The ``code`` of the error is that of the platform, or else the
    status of a refusal, or the outcome of the answer. There may be many thousands of lines: this
    belongs into a thread.
    """
    results = read_results(lines)
    for result in results:
        if result.error == BatchError():  # which says nothing
            result.error = None
        if result.error is None and result.response is not None:
            result.error = _problem_of(result.response)
        elif result.error is None:
            text = "the line has neither a response nor an error"
            result.error = BatchError(code="empty", message=text)
    return results


def _problem_of(response: BatchResponse) -> BatchError | None:
    """Return why an answer cannot be used, None if it can."""
    body, status = response.body, response.status_code
    if body is None:
        refused = BatchError(code=str(status), message=f"HTTP {status} without a body")
        empty = BatchError(code="empty", message="the response has no body")
        return refused if status >= 400 else empty
    problem = _fault_of(body, status)
    if problem is None and not body.choices:
        # As with single calls, only what seems to hold nothing is looked at again.
        whole = msgspec.json.encode(dict(extra_of(body)))
        inner = peeled(whole, ENVELOPES, _CHAT)
        if inner is not whole:
            body = response.body = decode(_chats(), inner)
            problem = _fault_of(body, status)
        if problem is None and _is_of_another(inner):
            return None
    if problem is not None:
        return problem
    try:
        ensure_proper_end(body)
    except IncompleteError as error:
        told = told_fault(dict(extra_of(body)))
        if told is None:
            return BatchError(code=error.outcome, message=error.message)
        return BatchError(code=told.code or error.outcome, message=told.message)
    return None


def _fault_of(body: ChatCompletion, status: int) -> BatchError | None:
    """Return the error that an answer reports; HTTP 200 is written beside refusals here, too."""
    fault = find_fault(dict(extra_of(body)), status=status)
    if fault is None:
        return None
    code = fault.code or (str(status) if status >= 400 else "")
    return BatchError(code=code, message=fault.message or f"HTTP {status}")


def _is_of_another(data: bytes) -> bool:
    """Tell whether an answer without choices is a good one of what batches have beside chats."""
    for decoder, judge in _others():
        try:
            judge(decode(decoder, data), ())
        except EmptyAnswerError:
            continue
        return True
    return False


# Made when first used, as those of operations are.
@cache
def _chats() -> msgspec.json.Decoder[ChatCompletion]:
    return msgspec.json.Decoder(ChatCompletion)


@cache
def _others() -> tuple[tuple[msgspec.json.Decoder[Any], Judge], ...]:
    return (
        (msgspec.json.Decoder(EmbeddingResponse), judge_embeddings),
        (msgspec.json.Decoder(ImagesResponse), judge_images),
    )
