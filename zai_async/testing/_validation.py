"""What the platform refuses in a chat request, and with which code."""

from __future__ import annotations

import re
from typing import Any

from zai_async.testing._catalogue import MODELS, Model
from zai_async.testing._refusal import Refusal

_ROLES = {"system", "user", "assistant", "tool"}
_EFFORTS = {"max", "xhigh", "high", "medium", "low", "minimal", "none"}
_EFFORTS_ALWAYS = {"max", "high", "low"}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_TOOLS = 128


def check_chat(body: Any) -> Model:
    """Return the model of a legal request, else raise ``Refusal`` with 1210 to 1214.

    Unknown fields are ignored. Rules: https://docs.z.ai/api-reference/llm/chat-completion.
    """
    if not isinstance(body, dict):
        raise Refusal("1210", "The request body is not a JSON object")
    model = _model(body)
    _messages(body)
    _sampling(body)
    _max_tokens(body, model)
    _thinking(body, model)
    _tools(body)
    _response_format(body)
    return model


def _present(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is None:
        raise Refusal("1213", f"The parameter {name} was not received")
    if not isinstance(value, kind):
        raise Refusal("1214", f"The parameter {name} is not valid: wrong type")
    return value


def _model(body: dict[str, Any]) -> Model:
    name = _present(body, "model", str)
    model = MODELS.get(name.lower())
    if model is None:
        raise Refusal("1211", f"The model {name} does not exist, check the model code")
    if not model.chats:
        raise Refusal("1212", f"The model {name} does not support this call method")
    return model


def _messages(body: dict[str, Any]) -> None:
    messages = _present(body, "messages", list)
    for message in messages:
        _message(message)
    if {message["role"] for message in messages} <= {"system", "assistant"}:
        raise Refusal("1214", "messages must not be empty or only from system and assistant")


def _message(message: Any) -> None:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise Refusal("1214", "messages: the role must be system, user, assistant or tool")
    content = message.get("content")
    legal = (str, list, type(None)) if message["role"] == "assistant" else (str, list)
    if not isinstance(content, legal):
        raise Refusal("1214", f"messages: the content of role {message['role']} is not valid")


def _number(body: dict[str, Any], name: str, low: float, high: float) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refusal("1210", f"{name} must be within [{low:g},{high:g}]")


def _sampling(body: dict[str, Any]) -> None:
    _number(body, "temperature", 0, 1)
    _number(body, "top_p", 0.01, 1)


def _max_tokens(body: dict[str, Any], model: Model) -> None:
    value = body.get("max_tokens")
    legal = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (legal and 1 <= value <= model.max_output):
        raise Refusal("1210", f"max_tokens must be within [1,{model.max_output}]")


def _thinking(body: dict[str, Any], model: Model) -> None:
    thinking = body.get("thinking") or {}
    kind = thinking.get("type", "enabled") if isinstance(thinking, dict) else None
    if kind not in {"enabled", "disabled"}:
        raise Refusal("1210", "thinking.type must be enabled or disabled")
    effort = body.get("reasoning_effort")
    if model.thinking == "always":
        _always_thinks(model, kind, effort)
    elif model.thinking == "effort" and effort is not None and effort not in _EFFORTS:
        raise Refusal("1210", f"reasoning_effort is not valid: {effort}")


def _always_thinks(model: Model, kind: str, effort: Any) -> None:
    if kind == "disabled" or (effort is not None and effort not in _EFFORTS_ALWAYS):
        raise Refusal(
            "1210", f"{model.id} always thinks; set reasoning_effort to low, high or max instead"
        )


def _tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Refusal("1214", "The parameter tools is not valid: wrong type")
    if len(tools) > _MAX_TOOLS:
        raise Refusal("1210", f"tools: at most {_MAX_TOOLS} are possible")
    for tool in tools:
        _tool(tool)


def _tool(tool: dict[str, Any]) -> None:
    if tool.get("type") != "function":
        return
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise Refusal("1210", "tools: a function name has 1 to 64 of a-z, A-Z, 0-9, _ and -")


def _response_format(body: dict[str, Any]) -> None:
    wanted = body.get("response_format")
    if wanted is not None and not (
        isinstance(wanted, dict) and isinstance(wanted.get("type"), str)
    ):
        raise Refusal("1210", "response_format.type is not valid")
