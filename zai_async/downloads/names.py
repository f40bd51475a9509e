"""What a downloaded file is called: as its server says, but never outside of its directory."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from zai_async._files import media_types

__all__ = ["file_name", "guessed_type"]

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
# Bytes: file systems take 255, and a number may follow.
_LONGEST: Final = 200
_LONGEST_SUFFIX: Final = 40


def guessed_type(name: str) -> str | None:
    """Return the media type that the suffix of a name tells, None if it tells none."""
    return media_types().guess_type(name)[0]


def file_name(url: str, headers: Mapping[str, str]) -> str:
    """Name a file as the server does, or after its address, with a suffix in any case."""
    # Reading mail takes long to load, and few programs download.
    from email.message import Message  # noqa: PLC0415

    message = Message()
    # A field that holds line breaks would be refused by the parser.
    message["Content-Disposition"] = "".join(headers.get("Content-Disposition", "").splitlines())
    announced = message.get_filename("")
    name = without_danger(announced) or without_danger(unquote(urlsplit(url).path)) or "download"
    stem, _, suffix = name.rpartition(".")
    if stem:
        suffix = f".{shortened(suffix, _LONGEST_SUFFIX)}"
    else:
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        suffix = media_types().guess_extension(kind) or ""
    return shortened(stem or name, _LONGEST - len(suffix.encode())) + suffix


def shortened(name: str, most: int) -> str:
    """Return the beginning of a name, in so many bytes at most."""
    return name.encode()[:most].decode(errors="ignore")


def without_danger(name: str) -> str:
    """Return the last part of a path, without what some file system cannot hold."""
    last = re.split(r"[/\\]", name)[-1]
    name = _UNSAFE.sub("_", last).strip(" .")
    return f"_{name}" if _RESERVED.fullmatch(name.partition(".")[0]) else name
