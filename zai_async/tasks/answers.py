"""What a poll answers: in the words of the platform, or in those of a gateway."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeVar, cast

import msgspec

from zai_async._secrets import Secret, one_line, printable, redact
from zai_async._wire import ENVELOPES, find_fault, to_error, told_fault
from zai_async.errors import APIError, ResponseError, TaskFailedError, ZaiError
from zai_async.models import Reply
from zai_async.models.extra import extra_of, flattened
from zai_async.models.tasks import known_state
from zai_async.models.tolerant import decode
from zai_async.tasks.polling import TaskType

__all__ = [
    "failure_of_answer",
    "failure_of_poll",
    "files_in",
    "note_shape",
    "require_word_of",
    "translated",
    "without_secrets",
]

R = TypeVar("R", bound=Reply)
E = TypeVar("E", bound=ZaiError)

_log = logging.getLogger("zai_async")

# The published pages of gateways show "status" and "video_url" or "url"; the others were seen at
# services of the same kind.
_STATUS_NAMES = ("status", "state", "taskStatus", "task_state")
_ADDRESS_NAMES = ("video_url", "image_url", "output_url", "result_url", "download_url", "url")
_COVER_NAMES = ("cover_image_url", "cover_url", "thumbnail_url")
_INNER_NAMES = ("video", "image", "output", "result", "data")
_ENVELOPES = (*ENVELOPES, "task")
_LONGEST_SHAPE = 200
_LONGEST_STATUS = 64
_MOST_SHAPES = 16
_LONGEST_BODY = 2000


def translated(task_type: TaskType[R], answer: R) -> R:
    """Return what a gateway says about a task in the fields of the platform."""
    # An envelope has a status of its own at times, which says no more than that there is an answer.
    answer = _opened(task_type, answer)
    _translate(task_type, answer)
    return answer


def _opened(task_type: TaskType[R], answer: R) -> R:
    """Return what lies in the envelope of a relay if that tells how far a task is."""
    extra = extra_of(answer)
    for name in _ENVELOPES:
        inner = extra.get(name)
        if isinstance(inner, list) and len(cast("list[object]", inner)) == 1:
            (inner,) = cast("list[object]", inner)
        if isinstance(inner, dict):
            names = (task_type.status_field, *_STATUS_NAMES)
            words = map(cast("dict[str, object]", inner).get, names)
            if any(isinstance(word, str) and known_state(word) for word in words):
                found = decode(task_type.operation.decoder, msgspec.json.encode(inner))
                found.request_id = found.request_id or answer.request_id
                vars(found).update(vars(answer))
                return found
    return answer


def _translate(task_type: TaskType[Any], answer: Any) -> None:
    """Write what a gateway says about a task into the fields of the platform."""
    extra = extra_of(answer)
    if not getattr(answer, task_type.status_field):
        words = (extra.get(name) for name in _STATUS_NAMES)
        status = next((word for word in words if isinstance(word, str) and word), "")
        # "error" without a name may be about the poll alone.
        if status.lower() == "error" and not getattr(answer, task_type.answer_key):
            return
        setattr(answer, task_type.status_field, status)
    field = task_type.file_field
    if field is None or task_type.has_result(answer):
        return
    files = list(files_in(extra))
    if files:
        names = task_type.file_class.__struct_fields__
        known = ({name: made[name] for name in made if name in names} for made in files)
        setattr(answer, field, [task_type.file_class(**fields) for fields in known])
        # An address is there when the work is done, whether or not a status says so.
        if not getattr(answer, task_type.status_field):
            setattr(answer, task_type.status_field, "SUCCESS")


def require_word_of(
    task_id: str,
    task_type: TaskType[Any],
    answer: Reply,
    *,
    now: float,
    secrets: Iterable[Secret],
) -> None:
    """Raise if an answer is about another task, or has an error in place of a status.

    ``now`` in seconds since the epoch.

    Raises:
        ResponseError: A proxy that is off by one answers with what somebody else asked for.
        APIError: What a relay was told in place of a status.
    """
    told_id = getattr(answer, task_type.answer_key, "")
    if told_id and told_id != task_id:
        raise ResponseError(
            f"the answer is about the task {redact(told_id, secrets)!r} and not {task_id!r}",
            request_id=answer.request_id,
            partial=without_secrets(answer, secrets),
        )
    fault = told_fault(dict(extra_of(answer)))
    if fault is not None:
        headers, body = answer.headers, _body_of(answer)
        error = to_error(
            fault, status=HTTPStatus.OK, headers=headers, now=now, body=body, secrets=secrets
        )
        raise _of_poll(error, task_type, answer)


def note_shape(
    known: set[str],
    task: object,
    task_type: TaskType[Any],
    answer: Reply,
    secrets: Iterable[Secret],
) -> str:
    """Describe an answer that does not say how far a task is, and log it if its shape is new."""
    shape = one_line(_shape_of(task_type, answer, secrets))
    if shape not in known and len(known) < _MOST_SHAPES:
        known.add(shape)
        _log.warning("%r: the answer has %s; polling on", task, shape)
    return shape


def _shape_of(task_type: TaskType[Any], answer: Reply, secrets: Iterable[Secret]) -> str:
    # Redacted before it is cut, which could leave the better part of a key at the end.
    status = redact(getattr(answer, task_type.status_field), secrets)
    if status:
        return f"the unknown status {status[:_LONGEST_STATUS]!r}"
    known = [name for name in answer.__struct_fields__ if getattr(answer, name) and name != "extra"]
    names = redact(", ".join(map(repr, [*known, *extra_of(answer)])), secrets)
    return f"no status, but {names[:_LONGEST_SHAPE] or 'nothing'}"


def failure_of_answer(
    task_type: TaskType[Any], answer: Reply, ending: str, secrets: Iterable[Secret]
) -> TaskFailedError:
    """Say that a task ended without a result, with the answer that said so."""
    # No page says where a failed task has its reason: wherever errors have theirs, or beside it.
    told = find_fault({**extra_of(answer), "task_status": "FAIL"})
    said = getattr(answer, "message", "")  # that of a chat is no reason, but what it answers
    reason = (said if isinstance(said, str) else "") or (told.message if told else "")
    failure = TaskFailedError(
        redact(f"{ending}: {printable(reason)}" if reason else ending, secrets),
        request_id=answer.request_id,
        body=redact(_body_of(answer), secrets)[:_LONGEST_BODY],
        partial=without_secrets(answer, secrets),
    )
    return _of_poll(failure, task_type, answer)


def without_secrets(answer: R, secrets: Iterable[Secret]) -> R:
    """Return an answer that an error may keep: the same, or if it repeats a secret, one without."""
    body = _body_of(answer)
    shown = redact(body, secrets)
    return answer if shown == body else type(answer).from_dict(msgspec.json.decode(shown))


def _of_poll(error: E, task_type: TaskType[Any], answer: Reply) -> E:
    """Say which call the error came with, as those errors know that the call itself raises."""
    error.attempts, error.timing = answer.attempts, answer.timing
    error.operation = task_type.operation.name
    return error


def _body_of(answer: Reply) -> str:
    return msgspec.json.encode(flattened(msgspec.to_builtins(answer))).decode()


def failure_of_poll(error: APIError, status: str) -> TaskFailedError:
    """Say that a task failed whose poll was answered by an error, for the reason that it gives."""
    ending = f"the task ended as {status!r}: {error.message}"
    failure = TaskFailedError(
        error.message if error.code else ending,
        kind=error.kind if error.code else None,
        code=error.code,
        status_code=error.status_code,
        request_id=error.request_id,
        hint=error.hint if error.code else None,
        body=error.body,
    )
    failure.attempts, failure.timing = error.attempts, error.timing
    failure.operation = error.operation
    return failure


def files_in(extra: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the address of each file, and of its cover, by whatever names they go."""
    # The answer itself first, then what it wraps: one object, a list of them, or bare addresses.
    places: list[object] = [extra]
    for name in _INNER_NAMES:
        inner = extra.get(name)
        places += cast("list[object]", inner) if isinstance(inner, list) else [inner]
    for place in places:
        # A bare text is an address, or a word about what lies here.
        if not (isinstance(place, Mapping) or (isinstance(place, str) and "://" in place)):
            continue
        known = {"url": place} if isinstance(place, str) else cast("Mapping[str, Any]", place)
        file: dict[str, str] = {}
        for field, names in (("url", _ADDRESS_NAMES), ("cover_image_url", _COVER_NAMES)):
            texts = (known.get(name) for name in names)
            file[field] = next((text for text in texts if isinstance(text, str)), "")
        if file["url"]:
            yield file
