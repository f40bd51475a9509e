"""What a poll answers: in the words of the platform, or in those of a gateway."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from zai_async._secrets import printable
from zai_async.errors import APIError, TaskFailedError
from zai_async.models import Reply
from zai_async.models.extra import extra_of, flattened
from zai_async.tasks.polling import TaskType

__all__ = ["failure_of_answer", "failure_of_poll", "files_in", "shape_of", "translate"]

# The published pages of gateways show "status" and "video_url" or "url"; the others were seen at
# services of the same kind.
_STATUS_NAMES = ("status", "state", "taskStatus", "task_state")
_ADDRESS_NAMES = ("video_url", "image_url", "output_url", "result_url", "download_url", "url")
_COVER_NAMES = ("cover_image_url", "cover_url", "thumbnail_url")
_INNER_NAMES = ("video", "image", "output", "result", "data")
_LONGEST_SHAPE = 200
_LONGEST_BODY = 2000


def translate(task_type: TaskType[Any], answer: Any) -> None:
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


def shape_of(task_type: TaskType[Any], answer: Reply) -> str:
    """Describe an answer that does not say, in words that are known, how far the task is."""
    status = getattr(answer, task_type.status_field)
    if status:
        return f"the unknown status {status[:64]!r}"
    known = [name for name in answer.__struct_fields__ if getattr(answer, name) and name != "extra"]
    names = ", ".join(map(repr, [*known, *extra_of(answer)]))
    return f"no status, but {names[:_LONGEST_SHAPE] or 'nothing'}"


def failure_of_answer(task_type: TaskType[Any], answer: Reply, ending: str) -> TaskFailedError:
    """Say that a task ended without a result, with the answer that said so."""
    extra = extra_of(answer)
    # No page says where a failed task has its reason; these places are where others put it.
    told = [getattr(answer, "message", ""), *map(extra.get, ("message", "error", "reason"))]
    reason = next((text for text in told if isinstance(text, str) and text), "")
    failure = TaskFailedError(
        f"{ending}: {printable(reason)}" if reason else ending,
        request_id=answer.request_id,
        body=msgspec.json.encode(flattened(msgspec.to_builtins(answer))).decode()[:_LONGEST_BODY],
        partial=answer,
    )
    failure.attempts, failure.timing = answer.attempts, answer.timing
    failure.operation = task_type.operation.name
    return failure


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
        if not isinstance(place, str | Mapping):
            continue
        known = {"url": place} if isinstance(place, str) else cast("Mapping[str, Any]", place)
        file: dict[str, str] = {}
        for field, names in (("url", _ADDRESS_NAMES), ("cover_image_url", _COVER_NAMES)):
            texts = (known.get(name) for name in names)
            file[field] = next((text for text in texts if isinstance(text, str)), "")
        if file["url"]:
            yield file
