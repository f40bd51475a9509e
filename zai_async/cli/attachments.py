"""What goes along with a question: pictures, videos, sounds, documents and texts."""

import mimetypes
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from zai_async import audio_part, file_part, image, video_part
from zai_async.cli.arguments import is_url, text
from zai_async.errors import ConfigurationError
from zai_async.models import ContentPartParam

__all__ = ["attach", "shows_media"]

# The tables of the standard library alone: those of the machine differ from one to the next.
_TYPES: Final = mimetypes.MimeTypes(())
_PARTS: Final[Mapping[str, Callable[[Path | str], ContentPartParam]]] = {
    "audio": audio_part,
    "document": file_part,
    "image": image,
    "video": video_part,
}
# What a model reads as a document; any other file must be text.
_DOCUMENTS: Final = frozenset({".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx"})


def attach(word: str) -> ContentPartParam:
    """Return the part of a message that holds a file; what it is, its name says.

    Raises:
        ConfigurationError: The file cannot be read, or is of no kind that a model understands.
    """
    if is_url(word):
        return attach_url(text(word))
    path = Path(word)
    kind = (_TYPES.guess_type(word)[0] or "").partition("/")[0]
    if path.suffix.lower() in _DOCUMENTS:
        kind = "document"
    try:
        # Media are opened only when the request is sent; that they are there is looked up now.
        path.stat()
        if kind in _PARTS:
            return _PARTS[kind](path)
        content = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{word} is neither text in UTF-8 nor a known kind of file",
            hint="Pictures, videos, sounds and documents are known by their names' endings.",
        ) from None
    # A ValueError is how a path with U+0000 is refused.
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{word}: {getattr(error, 'strerror', error)}") from None
    return {"type": "text", "text": f"{path.name}:\n\n{content}"}


def attach_url(url: str) -> ContentPartParam:
    """Return the part of a message for an address, which the platform fetches."""
    name = url if url.startswith("data:") else urlsplit(url).path
    kind = (_TYPES.guess_type(name)[0] or "").partition("/")[0]
    # Sounds are sent as bytes only; the platform says what it makes of an address.
    return _PARTS[kind](url) if kind in {"image", "video"} else file_part(url)


def shows_media(parts: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether a model needs eyes for these parts."""
    return any(part["type"] in {"image_url", "video_url", "file"} for part in parts)
