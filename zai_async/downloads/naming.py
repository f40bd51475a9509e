"""What a file that arrives is called.

Sources: RFC 6266 and RFC 8187 for ``Content-Disposition``. Whatever a server says, the name is one
part of a path and never a way out of the directory.
"""

import mimetypes
import re
from collections.abc import Mapping
from email.message import Message
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["file_name"]

# The tables of the standard library alone: those of the machine would have to be read from disk.
_KINDS: Final = mimetypes.MimeTypes(())
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
# Bytes: file systems take 255, and a number may follow.
_LONGEST: Final = 200
_LONGEST_SUFFIX: Final = 40


def file_name(url: str, headers: Mapping[str, str]) -> str:
    """Name a file as the server does, or after its address, with a suffix in any case."""
    name = _safe(_announced(headers)) or _safe(unquote(urlsplit(url).path)) or "download"
    stem, _, suffix = name.rpartition(".")
    suffix = f".{_cut(suffix, _LONGEST_SUFFIX)}" if stem else _suffix(headers)
    return _cut(stem or name, _LONGEST - len(suffix.encode())) + suffix


def _cut(name: str, most: int) -> str:
    """Return the beginning of a name, in so many bytes at most."""
    return name.encode()[:most].decode(errors="ignore")


def _announced(headers: Mapping[str, str]) -> str:
    message = Message()
    message["Content-Disposition"] = _one_line(headers.get("Content-Disposition", ""))
    return message.get_filename("")


def _one_line(field: str) -> str:
    return "".join(field.splitlines())


def _safe(name: str) -> str:
    """Return the last part of a path, without what some file system cannot hold."""
    last = re.split(r"[/\\]", name)[-1]
    name = _UNSAFE.sub("_", last).strip(" .")
    return f"_{name}" if _RESERVED.fullmatch(name.partition(".")[0]) else name


def _suffix(headers: Mapping[str, str]) -> str:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return _KINDS.guess_extension(kind) or ""
