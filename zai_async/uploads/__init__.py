"""Files of the caller: checked against the documented limits, sent while they are read."""

from zai_async.models.files import FileContent, FileInput, Progress
from zai_async.uploads.bodies import BodyStream, JSONBody, MultipartBody
from zai_async.uploads.media import (
    MARK,
    Encoding,
    FileLimits,
    Media,
    audio_part,
    file_part,
    image,
    video_part,
)

__all__ = [
    "MARK",
    "BodyStream",
    "Encoding",
    "FileContent",
    "FileInput",
    "FileLimits",
    "JSONBody",
    "Media",
    "MultipartBody",
    "Progress",
    "audio_part",
    "file_part",
    "image",
    "video_part",
]
