"""How an answer ended, and which of its ends are failures: one judge for all operations.

HTTP 200 says nothing about an answer. One that is cut off, lost by the platform, or without what
its operation is called for must never pass for a success. An operation names its judge in
`_operations`; the same one is asked for whole answers, streams, tasks and the lines of batch files.

Source: https://docs.z.ai/api-reference/llm/chat-completion (finish_reason).
"""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from zai_async.errors import EmptyAnswerError, GenerationFailedError, ResponseError
from zai_async.models import (
    AgentReply,
    BinaryReply,
    EmbeddingResponse,
    Handwriting,
    Image,
    ImagesResponse,
    ModerationResponse,
    Outcome,
    Page,
    ParsedFile,
    RerankResponse,
)
from zai_async.models.chat import ensure_proper_end
from zai_async.models.chat import natural_outcome as judge
from zai_async.models.retrieval import NO_SCORE
from zai_async.models.tasks import known_state

__all__ = [
    "Judge",
    "accept",
    "ensure_proper_end",
    "ensure_success",
    "has_image",
    "judge",
    "judge_agent",
    "judge_agent_task",
    "judge_conversation",
    "judge_document",
    "judge_embeddings",
    "judge_images",
    "judge_moderation",
    "judge_page",
    "judge_ranking",
    "judge_sound",
    "says_something",
]

Judge = Callable[[Any, Collection[str]], Outcome]
"""Takes an answer and the outcomes that the caller allows; returns its outcome, or raises it."""

# Sound comes as audio or as octets; under these labels something else does.
_OTHER_MEDIA = ("json", "html", "xml", "event-stream", "text/plain")
# Comments and fields without content may come before the first event, or be all there is.
_EVENTS: Final = re.compile(
    rb"\s*+(?:(?::|id:|retry:)[^\r\n]*+(?:[\r\n]|\Z)\s*+)*+(?:data:|event:|\Z)", re.IGNORECASE
)


def ensure_success(outcome: Outcome, allow: Collection[str] = ()) -> Outcome:
    """Return how a stream beside chat ended, or raise if that is a failure.

    Raises:
        GenerationFailedError: The platform lost the generation, or says that it has failed.
        EmptyAnswerError: The stream said nothing.
    """
    if outcome == "network_error" and outcome not in allow:
        raise GenerationFailedError("the platform lost the generation half-way")
    if outcome == "empty" and outcome not in allow:
        raise EmptyAnswerError("the stream ended without a single event")
    return outcome


def accept(answer: object, allow: Collection[str] = ()) -> Outcome:  # noqa: ARG001 - as every judge
    """Accept an answer that has the fields of its operation, whatever they hold."""
    return "completed"


def judge_images(answer: ImagesResponse, allow: Collection[str] = ()) -> Outcome:
    """Judge generated images: there is one."""
    return _ensure(any(map(has_image, answer.data)), "image", answer, allow)


def has_image(image: Image) -> bool:
    """Tell whether an image is there, at an address or in the answer itself."""
    return bool(image.url or image.content)


def judge_embeddings(answer: EmbeddingResponse, allow: Collection[str] = ()) -> Outcome:
    """Judge embeddings: every text has a vector."""
    # One missing vector would shift all that follow, for whoever pairs them with the texts.
    found = bool(answer.data) and all(item.embedding for item in answer.data)
    return _ensure(found, "vector for each text", answer, allow)


def judge_moderation(answer: ModerationResponse, allow: Collection[str] = ()) -> Outcome:
    """Judge a moderation: without a verdict on each part, nothing may pass as harmless."""
    found = bool(answer.result_list) and all(part.risk_level for part in answer.result_list)
    return _ensure(found, "verdict on each part", answer, allow)


def judge_ranking(answer: RerankResponse, allow: Collection[str] = ()) -> Outcome:  # noqa: ARG001 - as every judge
    """Judge a ranking: each hit names a document, each another one, and tells its score."""
    places = {hit.index for hit in answer.results if hit.index >= 0}
    untold = any(hit.relevance_score is NO_SCORE for hit in answer.results)
    if untold or len(places) < len(answer.results):
        raise ResponseError(
            "a hit of the ranking has no index of its own, or no score",
            partial=answer,
            request_id=answer.request_id,
        )
    return "completed"


def judge_page(answer: Page[Any], allow: Collection[str] = ()) -> Outcome:
    """Judge a page of a list: what it lists has names; nothing at all is fine."""
    found = not answer.data or any(item.id for item in answer.data)
    return _ensure(found, "item with an id", answer, allow)


def judge_agent(answer: AgentReply, allow: Collection[str] = ()) -> Outcome:
    """Judge what an agent said: something, or that it works on."""
    working = answer.async_id or (known_state(answer.status) == "processing")
    return _ensure(says_something(answer) or bool(working), "message", answer, allow)


def says_something(answer: AgentReply) -> bool:
    """Tell whether an agent has answered with a text, an address or an object."""
    return any(
        part.text or part.url or part.object for each in answer.messages for part in each.parts
    )


def judge_agent_task(answer: AgentReply, allow: Collection[str] = ()) -> Outcome:
    """Judge what came for work that was submitted: a name to ask for it, or its result."""
    if not answer.async_id and known_state(answer.status) == "processing":
        raise EmptyAnswerError(
            "the response has no task id", partial=answer, request_id=answer.request_id
        )
    return judge_agent(answer, allow)


def judge_conversation(answer: AgentReply, allow: Collection[str] = ()) -> Outcome:
    """Judge what is kept of a conversation: it is named, or something was said in it."""
    return "completed" if answer.conversation_id else judge_agent(answer, allow)


def judge_document(answer: ParsedFile | Handwriting, allow: Collection[str] = ()) -> Outcome:
    """Judge a document that was read at once: it was; a blank page has no text."""
    if answer.status.lower() not in {"failed", "fail"} or "network_error" in allow:
        return "completed"
    reason = answer.message or f"its status is {answer.status!r}"
    raise GenerationFailedError(
        f"the document could not be read: {reason}", partial=answer, request_id=answer.request_id
    )


def judge_sound(answer: BinaryReply, allow: Collection[str] = ()) -> Outcome:
    """Judge spoken text: bytes of sound, not a page or an object in its place."""
    kind = answer.content_type.partition(";")[0].strip().lower()
    if answer.content and (
        any(other in kind for other in _OTHER_MEDIA) or _is_text(answer.content)
    ):
        raise ResponseError(
            f"the response is {kind or 'of no type'}, not sound",
            request_id=answer.request_id,
            partial=answer,
        )
    return _ensure(bool(answer.content), "sound", answer, allow)


def _is_text(content: bytes) -> bool:
    """Tell whether bytes are JSON, events or a page; raw samples may begin like the first."""
    content = content.removeprefix(BOM_UTF8)
    start = content[:64].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")) or _EVENTS.match(content):
        return True
    if not start.startswith((b"{", b"[")):
        return False
    try:
        msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _ensure(found: bool, what: str, answer: Any, allow: Collection[str]) -> Outcome:
    if found:
        return "completed"
    if "empty" in allow:
        return "empty"
    raise EmptyAnswerError(
        f"the answer holds no {what}", partial=answer, request_id=answer.request_id
    )
