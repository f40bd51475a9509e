"""Pictures and films, made by tasks of the platform."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Literal

from zai_async._protocol.events import Finished
from zai_async.client import AsyncZai
from zai_async.models import ChatCompletion
from zai_async.web.parts import DataPart, MetadataPart, RelayedEvent
from zai_async.web.ui.media import MediaFolder

__all__ = ["made_media"]

_MODELS: Final = {"image": "glm-image", "video": "cogvideox-3"}


async def made_media(
    zai: AsyncZai,
    media: MediaFolder,
    kind: Literal["image", "video"],
    wish: Any,
    model: str = "",
) -> AsyncGenerator[RelayedEvent, None]:
    """Yield how far a picture or a film is, and then the file.

    Args:
        zai: The client.
        media: Where files are kept.
        kind: What is made.
        wish: The message that asks for it; a film begins with its pictures.
        model: Another model than the usual one.

    Raises:
        ZaiError: As for the task, and for fetching its files.
    """
    said: Any = wish["content"]
    content: list[Any] = [{"type": "text", "text": said}] if isinstance(said, str) else said
    prompt = "\n".join(part["text"] for part in content if part["type"] == "text")
    pictures = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    model = model or _MODELS[kind]

    def progress(state: str, **facts: Any) -> DataPart:
        return DataPart("task", {"kind": kind, "state": state, **facts}, id="task")

    yield progress("submitted")
    task: Any
    if kind == "image":
        task = await zai.images.submit(model=model, prompt=prompt)
    else:
        extra: Any = {"image_url": pictures} if pictures else {}
        task = await zai.videos.submit(model=model, prompt=prompt, **extra)
    # Whoever stops it leaves no poll under way.
    async with aclosing(task.updates()) as updates:
        async for update in updates:
            yield progress(update.task_status.lower(), task=task.id)
    for file in task.result().files:
        yield await media.keep(file)
    yield MetadataPart({"outcome": "completed", "model": model})
    yield Finished("completed", "stop", ChatCompletion())
