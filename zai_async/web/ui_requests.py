"""What ``useChat`` posts: the messages of a page, as messages for the model.

The translation is that of ``convertToModelMessages`` of npm ``ai`` (6 and 7), with one difference:
nothing goes to the platform that it refuses, such as a tool call without its result.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from zai_async.errors import InvalidBodyError
from zai_async.models import MessageParam

__all__ = ["ToolApproval", "UIRequest", "parse_ui_messages", "parse_ui_request"]

_ROLES: Final = ("system", "user", "assistant")
_SCHEMES: Final = ("https://", "http://", "data:")
_SOUNDS: Final = {
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
}
_DENIED: Final = "The person at the page has not allowed this call."
# Of these a call has a result; every other state is a call that goes on or was given up.
_WHOLE: Final = frozenset({"output-available", "output-error", "output-denied"})


class _Approval(msgspec.Struct):
    id: str = ""
    approved: bool | None = None
    reason: str | None = None


class _UIPart(msgspec.Struct, rename="camel"):
    type: str
    text: str = ""
    media_type: str = ""
    url: str = ""
    filename: str | None = None
    tool_name: str = ""
    tool_call_id: str = ""
    state: str = ""
    input: Any = None
    raw_input: Any = None
    output: Any = None
    error_text: str = ""
    approval: _Approval | None = None


class _UIMessage(msgspec.Struct):
    role: str
    parts: list[_UIPart] = []
    id: str = ""
    content: str = ""
    """In place of parts, as pages wrote it before there were any."""


class _UIBody(msgspec.Struct, rename="camel"):
    messages: list[_UIMessage]
    id: str = ""
    trigger: str = "submit-message"
    message_id: str | None = None


class ToolApproval(msgspec.Struct, frozen=True):
    """What the person at the page said about a tool call that waits for approval."""

    approval_id: str
    call_id: str
    name: str
    input: Any
    """The arguments, which came back from the page: compare them with what was asked for."""
    approved: bool
    reason: str | None = None


class UIRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request of ``useChat``."""

    id: str
    """The id of the chat, made up by the page."""
    messages: list[MessageParam]
    """The conversation for the model."""
    trigger: str
    """``"submit-message"`` or ``"regenerate-message"``."""
    message_id: str | None
    """The message to be made anew, where the page names one."""
    continues: str | None
    """The id of the answer that goes on, after a tool that ran in the page; the reply takes it."""
    approvals: list[ToolApproval]
    """What was said in the last message about calls that wait for it."""


def parse_ui_messages(
    body: Mapping[str, Any] | bytes | str, *, roles: Collection[str] = _ROLES
) -> list[MessageParam]:
    """Return the messages for the model of what ``useChat`` posts.

    Args:
        body: The body of the request, read as JSON or not.
        roles: Whose messages are taken. Without ``"system"``, a page cannot give instructions in
            the name of the application.

    Raises:
        InvalidBodyError: The body is not what ``useChat`` posts; ``str()`` names the place.
    """
    return parse_ui_request(body, roles=roles).messages


def parse_ui_request(
    body: Mapping[str, Any] | bytes | str, *, roles: Collection[str] = _ROLES
) -> UIRequest:
    """Return the request of ``useChat``: the messages, and what else a backend has to know.

    Raises:
        InvalidBodyError: The body is not what ``useChat`` posts; ``str()`` names the place.
    """
    try:
        if isinstance(body, bytes | str):
            request = msgspec.json.decode(body, type=_UIBody)
        else:
            request = msgspec.convert(body, _UIBody)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise InvalidBodyError(f"the body is no request of a chat: {error}") from None
    messages: list[dict[str, Any]] = []
    for place, message in enumerate(request.messages):
        if message.role not in roles or message.role not in _ROLES:
            raise InvalidBodyError(f"the role {message.role!r} is not taken, in message {place}")
        parts = message.parts or [_UIPart(type="text", text=message.content)]
        if message.role == "assistant":
            messages += _answer(parts)
        else:
            messages += _said(message.role, parts, place)
    if not messages:
        raise InvalidBodyError("the body has no message for the model")
    last = request.messages[-1]
    return UIRequest(
        id=request.id,
        messages=cast("list[MessageParam]", messages),
        trigger=request.trigger,
        message_id=request.message_id,
        continues=last.id or None if last.role == "assistant" else None,
        approvals=[each for part in last.parts if (each := _approval_in(part))],
    )


def _said(role: str, parts: list[_UIPart], place: int) -> Iterator[dict[str, Any]]:
    """Yield the message of a person or of the application."""
    contents = [_content(part, place) for part in parts if part.type in {"text", "file"}]
    contents = [each for each in contents if each.get("text") != ""]
    if any(each["type"] != "text" for each in contents):
        yield {"role": role, "content": contents}
    elif contents:
        yield {"role": role, "content": "".join(each["text"] for each in contents)}


def _content(part: _UIPart, place: int) -> dict[str, Any]:
    if part.type == "text":
        return {"type": "text", "text": part.text}
    if not part.url.lower().startswith(_SCHEMES):
        raise InvalidBodyError(f"the address of a file is neither http(s) nor data, in {place}")
    kind = part.media_type.lower()
    data = part.url.partition(",")[2] if part.url.lower().startswith("data:") else ""
    for prefix in ("image", "video"):
        if kind.startswith(f"{prefix}/"):
            return {"type": f"{prefix}_url", f"{prefix}_url": {"url": part.url}}
    sound = _SOUNDS.get(kind)
    if data and sound:
        return {"type": "input_audio", "input_audio": {"data": data, "format": sound}}
    if data:
        return {
            "type": "file",
            "file": {"file_data": part.url, "filename": part.filename or "file"},
        }
    return {"type": "file_url", "file_url": {"url": part.url}}


def _answer(parts: list[_UIPart]) -> Iterator[dict[str, Any]]:
    """Yield the messages of an answer: for each step the model's own, then the results."""
    step: list[_UIPart] = []
    for part in [*parts, _UIPart(type="step-start")]:
        if part.type != "step-start":
            step.append(part)
            continue
        yield from _step(step)
        step = []


def _step(parts: list[_UIPart]) -> Iterator[dict[str, Any]]:
    text = "".join(part.text for part in parts if part.type == "text")
    thinking = "".join(part.text for part in parts if part.type == "reasoning")
    called = (part for part in parts if _name_of(part))
    # Servers refuse a call without its result: one that is still open is left out.
    calls = [part for part in called if part.state in _WHOLE or _is_denied(part)]
    # An answer that was stopped while the model thought has said nothing.
    if not (text or calls):
        return
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thinking:
        message["reasoning_content"] = thinking
    if calls:
        message["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": _name_of(call), "arguments": _arguments(call)},
            }
            for call in calls
        ]
    yield message
    for call in calls:
        yield {"role": "tool", "tool_call_id": call.tool_call_id, "content": _result(call)}


def _name_of(part: _UIPart) -> str:
    """Return the name of the tool that a part is a call of, none if it is something else."""
    if part.type == "dynamic-tool":
        return part.tool_name
    kind, _, name = part.type.partition("-")
    return name if kind == "tool" else ""


def _is_denied(part: _UIPart) -> bool:
    refused = part.approval is not None and part.approval.approved is False
    return part.state == "output-denied" or (part.state == "approval-responded" and refused)


def _arguments(part: _UIPart) -> str:
    given = part.raw_input if part.input is None else part.input
    return given if isinstance(given, str) else _as_json({} if given is None else given)


def _result(part: _UIPart) -> str:
    if _is_denied(part):
        return (part.approval and part.approval.reason) or _DENIED
    if part.state == "output-error":
        return part.error_text
    return part.output if isinstance(part.output, str) else _as_json(part.output)


def _as_json(value: object) -> str:
    """Write what came from the page as JSON again, numbers of any size included."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise InvalidBodyError("a number in the body is not finite") from None
    except RecursionError:
        raise InvalidBodyError("the body is nested too deeply") from None


def _approval_in(part: _UIPart) -> ToolApproval | None:
    approval = part.approval
    if part.state != "approval-responded" or approval is None:
        return None
    return ToolApproval(
        approval_id=approval.id,
        call_id=part.tool_call_id,
        name=_name_of(part),
        input=part.input,
        approved=bool(approval.approved),
        reason=approval.reason,
    )
