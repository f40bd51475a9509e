"""What a request of an agent is to the platform: its messages, its tools, its settings."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    CachePoint,
    FileUrl,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
    VideoUrl,
)
from pydantic_ai.models import ModelRequestParameters, download_item
from pydantic_ai.profiles import InlineDefsJsonSchemaTransformer, ModelProfile, merge_profile
from pydantic_ai.profiles.zai import ZaiModelProfile, zai_model_profile
from pydantic_ai.settings import ModelSettings, ToolOrOutput
from pydantic_ai.tools import ToolDefinition

from zai_async.models import CallOptions, Timeout
from zai_async.uploads import audio_part, file_part, image, video_part

__all__ = [
    "PROVIDER",
    "ZaiAsyncModelSettings",
    "call_options",
    "chat_messages",
    "generation",
    "offered_tools",
    "profile_of",
]

PROVIDER: Final = "zai"
# Of the models for text, only these see: https://docs.z.ai/guides/vlm/glm-5.3-flash
_SEEING: Final = re.compile(r"glm-(\d+(\.\d+)?v|5\.3-flash)|autoglm")
_SPEAKING: Final = re.compile(r"glm-\d+(\.\d+)?-voice")
_KINDS: Final[Mapping[type, str]] = {ImageUrl: "image", VideoUrl: "video", AudioUrl: "audio"}
_SAME_NAMES: Final = ("temperature", "top_p", "max_tokens", "seed")


class ZaiAsyncModelSettings(ModelSettings, total=False):
    """Settings that only this model has, beside those that all have."""

    zai_clear_thinking: bool
    """Whether the thinking before earlier answers is ignored; default false here."""
    zai_do_sample: bool
    """False always takes the likeliest token."""
    zai_tool_stream: bool
    """Stream the arguments of tool calls while they are written (GLM-4.6 and later)."""
    zai_user_id: str
    """Your id for the end user, 6 to 128 characters."""


class InlinedSchema(InlineDefsJsonSchemaTransformer):
    """A schema without definitions; arguments that refer to some come as strings.

    Source: https://github.com/pydantic/pydantic-ai/issues/10243
    """

    def __init__(self, schema: dict[str, Any], *, strict: bool | None = None) -> None:
        super().__init__(schema, strict=strict)
        # A tool is strict where its author says so, and not because it might be.
        self.is_strict_compatible = False


def profile_of(model: str) -> ModelProfile:
    """Return what a model can do, as far as the platform says."""
    name = model.lower()
    known, sees = name.startswith("glm-"), _SEEING.match(name) is not None
    # JSON mode is for models of text: https://docs.z.ai/guides/capabilities/struct-output
    profile = ModelProfile(
        supports_json_object_output=not sees,
        supports_json_schema_output=not sees,
        native_output_requires_schema_in_instructions=True,
        # The only documented choice is "auto".
        supports_forced_tool_choice=False,
        json_schema_transformer=InlinedSchema,
        # A line feed before a tool call is no answer.
        ignore_streamed_leading_whitespace=True,
        # Models with open weights have special tokens that anybody can write into a tool's result.
        may_tokenize_special_tokens_in_content=True,
    )
    if known:
        profile["supports_image_input"] = sees
        profile["supports_video_input"] = sees
        profile["supports_document_input"] = sees
        profile["supports_audio_file_input"] = _SPEAKING.match(name) is not None
    thinking = zai_model_profile(model)
    if thinking is not None:
        profile["thinking_enabled_by_default"] = True
    return merge_profile(thinking, profile)


async def chat_messages(
    messages: Sequence[ModelMessage], instructions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a history as the platform reads it; instructions stand behind the system prompt."""
    sent: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            sent += await user_turn(message)
        elif turn := assistant_turn(message):
            sent.append(turn)
    # What was written for the whole conversation comes before what is added to this request.
    place = next((i for i, each in enumerate(sent) if each["role"] != "system"), len(sent))
    sent[place:place] = [{"role": "system", "content": text} for text in instructions]
    return sent


async def user_turn(request: ModelRequest) -> list[dict[str, Any]]:
    """Return what was said to the model: by the system, by a person, and by tools."""
    sent: list[dict[str, Any]] = []
    files: list[UserContent] = []
    for part in request.parts:
        match part:
            case SystemPromptPart():
                sent.append({"role": "system", "content": part.content})
            case UserPromptPart():
                sent.append({"role": "user", "content": await content_of(part.content)})
            case ToolReturnPart():
                # Files follow behind all results, which have to stand together.
                text, returned = part.model_response_str_and_user_content()
                files += returned
                answer = {"role": "tool", "tool_call_id": part.tool_call_id, "content": text}
                sent.append(answer)
            case _:
                raise UserError(
                    f"{type(part).__name__} cannot be sent as it is: an Agent translates it, and "
                    "model.prepare_messages() does so for direct requests"
                )
    if files:
        sent.append({"role": "user", "content": await content_of(files)})
    return sent


def assistant_turn(response: ModelResponse) -> dict[str, Any] | None:
    """Return what the model said, unchanged, which preserved thinking depends on.

    Source: https://docs.z.ai/guides/capabilities/thinking-mode
    """
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    calls: list[dict[str, Any]] = []
    for part in response.parts:
        match part:
            case TextPart():
                texts["content"].append(part.content)
            case ThinkingPart():
                texts["reasoning_content"].append(part.content)
            case ToolCallPart():
                function = {"name": part.tool_name, "arguments": part.args_as_json_str()}
                call = {"id": part.tool_call_id, "type": "function", "function": function}
                calls.append(call)
            case _:
                pass  # files and tools of other platforms, which nobody can send to this one
    # Other models may have written several of a kind; this one writes one.
    turn: dict[str, Any] = {name: "\n\n".join(filter(None, each)) for name, each in texts.items()}
    if calls:
        turn["tool_calls"] = calls
    said = {name: value for name, value in turn.items() if value}
    return {"role": "assistant", "content": "", **said} if said else None


async def content_of(content: str | Sequence[UserContent]) -> str | list[Any]:
    """Return the content of a user message: a plain text, or parts."""
    if isinstance(content, str):
        return content
    return [await content_part(item) for item in content if not isinstance(item, CachePoint)]


async def content_part(item: UserContent) -> Any:
    """Return a text or a file as the platform takes it; files are checked before they are sent."""
    match item:
        case str() | TextContent():
            return {"type": "text", "text": item if isinstance(item, str) else item.content}
        case BinaryContent():
            source: Any = item.data
            kind = item.media_type.partition("/")[0]
        case FileUrl():
            source, kind = item.url, _KINDS.get(type(item), "document")
            # Sounds are sent, and never linked to.
            if item.force_download or kind == "audio":
                source = (await download_item(item, data_format="bytes"))["data"]
        case _:
            raise UserError(f"{type(item).__name__} cannot be sent to this model")
    if kind == "image":
        return image(source)
    if kind == "video":
        return video_part(source)
    if kind == "audio":
        return audio_part(source, format=item.format)
    return file_part(source, filename=f"{item.identifier}.{item.format}")


def offered_tools(
    settings: ModelSettings, parameters: ModelRequestParameters, profile: ModelProfile
) -> dict[str, Any]:
    """Return the fields about tools.

    Raises:
        UserError: A tool has to be called, which cannot be asked of the model, or there is none.
    """
    functions = {tool.name for tool in parameters.function_tools}
    outputs = {tool.name for tool in parameters.output_tools}
    choice = settings.get("tool_choice")
    wanted, forced = functions | outputs, not parameters.allow_text_output
    # An agent asks for its output to be called, and can do without; a person who says so cannot.
    insists = choice == "required" or (isinstance(choice, list) and bool(choice))
    if choice == "required":
        wanted = functions | outputs if functions else set[str]()
    elif isinstance(choice, ToolOrOutput):
        wanted = {*choice.function_tools} | outputs
    elif choice in ("none", []):
        wanted = outputs
    elif isinstance(choice, list):
        wanted = set(choice)
    # Tools that are still hidden from the model are not declared, and may be wanted nevertheless.
    declared = parameters.declared_tool_defs
    tools = [tool for name, tool in declared.items() if name in wanted]
    if insists and not tools:
        raise UserError(f"tool_choice={choice!r} names no tool that is offered to the model")
    forces = profile.get("supports_forced_tool_choice", True)
    if insists and not forces:
        raise UserError(
            f"tool_choice={choice!r} cannot be asked of this model: it may always answer with "
            "text. A profile with supports_forced_tool_choice sends it nevertheless."
        )
    if not tools:
        return {}
    fields: dict[str, Any] = {"tools": [function_tool(tool) for tool in tools]}
    if forces and (forced or insists):
        fields["tool_choice"] = "required"
        if len(tools) == 1:
            named = {"type": "function", "function": {"name": tools[0].name}}
            fields["tool_choice"] = named
    return fields


def function_tool(tool: ToolDefinition) -> dict[str, Any]:
    """Return a tool as the platform describes it."""
    function: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": tool.parameters_json_schema,
    }
    # The platform ignores it, and some gateways do not.
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def generation(
    settings: ZaiAsyncModelSettings, parameters: ModelRequestParameters, profile: ModelProfile
) -> dict[str, Any]:
    """Return how the answer shall be written."""
    asked = cast("Mapping[str, Any]", settings)
    fields = {name: asked[name] for name in _SAME_NAMES if name in asked}
    for name in ("do_sample", "tool_stream", "user_id"):
        if f"zai_{name}" in asked:
            fields[name] = asked[f"zai_{name}"]
    if "stop_sequences" in settings:
        fields["stop"] = settings["stop_sequences"]
    # Over everything else, as callers expect who know the wire.
    if "extra_body" in settings:
        fields["extra"] = settings["extra_body"]

    mode = parameters.output_mode
    # With tools, the first answer may be a call; JSON mode would keep the model from it.
    prompted = mode == "prompted" and not parameters.function_tools
    if mode == "native" or (prompted and profile.get("supports_json_object_output", False)):
        fields["response_format"] = {"type": "json_object"}

    # False asks for as little as there is where the model cannot do without.
    level = parameters.thinking
    if level is False and profile.get("thinking_always_enabled", False):
        level = "minimal"
    if profile.get("supports_thinking", False) or "zai_clear_thinking" in settings:
        # Kept thinking is of use to the model, and makes more of the prompt come from its cache.
        fields["thinking"] = {
            "type": "disabled" if level is False else "enabled",
            "clear_thinking": settings.get("zai_clear_thinking", False),
        }
    ours = cast("ZaiModelProfile", profile)
    if isinstance(level, str) and ours.get("zai_supports_reasoning_effort", False):
        fields["reasoning_effort"] = ours.get("zai_reasoning_effort_mapping", {}).get(level, level)
    return fields


def call_options(
    options: CallOptions, settings: ModelSettings, allowed: Collection[str]
) -> CallOptions:
    """Return the options of a call; what a request says wins over what the model was given."""
    changes: dict[str, Any] = {
        "allow": {*options.allow, *allowed},
        "on_restart": "raise",  # what an agent has been told cannot be taken back
    }
    timeout = settings.get("timeout")
    if isinstance(timeout, int | float) or timeout is None:
        changes["timeout"] = options.timeout if timeout is None else float(timeout)
    else:
        # That of httpx, without which pydantic-ai does well: it has no clock for silence as ours.
        changes["timeout"] = Timeout(timeout.connect, timeout.read, timeout.read, timeout.read)
    if "max_retries" in settings:
        changes["retries"] = settings["max_retries"]
    if "extra_headers" in settings:
        changes["headers"] = {**options.headers, **settings["extra_headers"]}
    return msgspec.structs.replace(options, **changes)
