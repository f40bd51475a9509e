"""Files: https://docs.z.ai/api-reference/agents/file-upload."""

from datetime import datetime
from typing import Literal, Required

from zai_async.models.options import CallParams
from zai_async.models.reply import Reply
from zai_async.models.timestamps import moment
from zai_async.models.uploads import FileInput, UploadParams


class FileUploadParams(UploadParams, total=False):
    """Hold a file and what it is for."""

    file: Required[FileInput]
    """At most 100 MB; which types are taken depends on the purpose."""
    purpose: Required[str]
    """``agent``; on bigmodel.cn also ``batch``, ``code-interpreter`` and ``voice-clone-input``."""


class FileListParams(CallParams, total=False):
    """Hold which files are looked for."""

    purpose: Required[str]
    """``agent``, ``batch`` or ``code-interpreter``."""
    after: str
    """The id that the page begins after."""
    order: Literal["created_at"]
    limit: int
    """Files in a page, 1 to 100; default 20."""


class FileIdParams(CallParams):
    """Name the file."""

    file_id: str


class File(Reply, kw_only=True):
    """Describe a file on the service."""

    id: str = ""
    object: str = ""
    bytes: int = 0
    filename: str = ""
    purpose: str = ""
    created_at: int = 0
    """Unix seconds."""

    @property
    def created(self) -> datetime | None:
        """When it was uploaded, in UTC."""
        return moment(self.created_at)


class FileDeletion(Reply, kw_only=True):
    """Confirm that a file is gone."""

    id: str = ""
    object: str = ""
    deleted: bool = False
