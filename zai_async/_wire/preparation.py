"""What operations make of the keywords of a call before they are sent."""

from typing import Any

from zai_async.errors import ConfigurationError

__all__ = [
    "camel_case",
    "chat",
    "chat_stream",
    "conversation",
    "handwriting",
    "parsed_at_once",
    "recording",
    "recording_stream",
    "streamed",
    "unchanged",
]

Body = dict[str, Any]


def unchanged(body: Body) -> Body:
    """Send the keywords as they are."""
    return body


def streamed(body: Body) -> Body:
    """Ask for a stream."""
    return {**body, "stream": True}


def conversation(body: Body) -> Body:
    """Turn a plain prompt into a conversation."""
    prompt = body["messages"]
    if not isinstance(prompt, str) or not prompt:
        return body
    return {**body, "messages": [{"role": "user", "content": prompt}]}


def chat(body: Body) -> Body:
    """Turn a plain prompt into a conversation, and a lone stop word into a list.

    Raises:
        ConfigurationError: The model is not a name.
    """
    if not isinstance(body["model"], str) or not body["model"]:
        raise ConfigurationError("chat.completions.create(): model must be a non-empty string")
    body = conversation(body)
    return {**body, "stop": [body["stop"]]} if isinstance(body.get("stop"), str) else body


def chat_stream(body: Body) -> Body:
    """Ask for a streamed chat."""
    return streamed(chat(body))


def recording(body: Body) -> Body:
    """Insist on a recording, in one of the two fields that may hold it.

    Raises:
        ConfigurationError: There is none.
    """
    if body.get("file") is None and not body.get("file_base64"):
        text = "audio.transcriptions.create(): one of file and file_base64 is needed"
        raise ConfigurationError(text)
    return body


def recording_stream(body: Body) -> Body:
    """Ask for a streamed transcription."""
    return streamed(recording(body))


def camel_case(body: Body) -> Body:
    """Name what voices are looked for by as the service does."""
    names = {"voice_name": "voiceName", "voice_type": "voiceType"}
    return {names.get(name, name): value for name, value in body.items()}


def parsed_at_once(body: Body) -> Body:
    """Choose the only parser that answers at once."""
    return {"tool_type": "prime-sync", **body}


def handwriting(body: Body) -> Body:
    """Choose the only reader of handwriting."""
    return {"tool_type": "hand_write", **body}
