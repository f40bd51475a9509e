"""The file store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, Struct

from zai_async.testing.emulator.operation import OperationCall, Route, require
from zai_async.testing.emulator.recent import RecentItems
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import FormFile, Json

UPLOAD_LIMIT = 100 * 2**20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file with its bytes; ``created_at`` in seconds."""

    id: str
    filename: str
    purpose: str
    data: bytes
    created_at: int

    @property
    def sha256(self) -> str:
        """The digest of the bytes in hexadecimal."""
        return sha256(self.data).hexdigest()

    @property
    def document(self) -> Json:
        """Describe the file as the platform does."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "filename": self.filename,
            "purpose": self.purpose,
            "created_at": self.created_at,
        }


# Z.AI documents `agent` alone; the others are bigmodel's, and are taken by both.
class _UploadRequest(Struct):
    purpose: Literal["agent", "batch", "code-interpreter", "voice-clone-input"]


# https://docs.bigmodel.cn/api-reference: `purpose` is required, pages go by the last id.
class _ListRequest(Struct):
    purpose: str
    after: str | None = None
    order: Literal["created_at"] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class FileStore:
    """Keep files; ``emulator.files[id]`` is one of them, with its bytes and their ``sha256``.

    ``limit`` is the largest upload in bytes (100 MB); a larger one is answered with 435. The newest
    10,000 files are kept, and of those as many as fit into 512 MB.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all files."""
        self.limit = UPLOAD_LIMIT
        self._kept = 0
        self._files: RecentItems[StoredFile] = RecentItems(size=lambda file: len(file.data))

    def __getitem__(self, id: str) -> StoredFile:
        return self._files[id]

    def __len__(self) -> int:
        return len(self._files)

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        path = "paas/v4/files"
        return [
            Route("files.upload", "POST", path, self.upload),
            Route("files.list", "GET", path, self.list),
            Route("files.delete", "DELETE", f"{path}/{{id}}", self.delete),
            Route("files.content", "GET", f"{path}/{{id}}/content", self.content),
        ]

    def keep(self, call: OperationCall, filename: str, purpose: str, data: bytes) -> StoredFile:
        """Store a file."""
        now = int(time.time())
        self._kept += 1
        file = StoredFile(
            # Like the platform's: the time of the upload, then something unique.
            id=f"{now}_{call.id[14:]}{self._kept:04x}",
            filename=filename,
            purpose=purpose,
            data=data,
            created_at=now,
        )
        self._files[file.id] = file
        return file

    def find(self, id: str) -> StoredFile:
        """Return a file, ``Refusal`` when there is none of this id."""
        require(id in self._files, f"file: {id} does not exist")
        return self._files[id]

    def discard(self, id: str) -> None:
        """Forget a file, if it is still there."""
        self._files.discard(id)

    def upload(self, call: OperationCall) -> PlannedReply:
        """Store what was sent."""
        request = call.read_form(_UploadRequest)
        upload = uploaded(call)
        if len(upload.data) > self.limit:
            # 435 is no status of HTTP; the platform has it for files alone.
            raise Refusal("1210", f"The file is larger than {self.limit} bytes", 435)
        lines = upload.filename.endswith(".jsonl")
        require(lines or request.purpose != "batch", "file: a batch needs a .jsonl file")
        file = self.keep(call, upload.filename, request.purpose, upload.data)
        return call.reply(file.document)

    def list(self, call: OperationCall) -> PlannedReply:
        """List the files of one purpose, oldest first, a page at a time."""
        request = call.read_query(_ListRequest)
        files = [file for file in self._files.values() if file.purpose == request.purpose]
        if request.after is not None:
            files = files[files.index(self.find(request.after)) + 1 :]
        page = [file.document for file in files[: request.limit]]
        more = len(files) > len(page)
        return call.reply({"object": "list", "data": page, "has_more": more})

    def delete(self, call: OperationCall) -> PlannedReply:
        """Forget a file."""
        file = self.find(call.parameters["id"])
        self.discard(file.id)
        return call.reply({"id": file.id, "object": "file", "deleted": True})

    def content(self, call: OperationCall) -> PlannedReply:
        """Answer with the bytes of a file."""
        return call.data(self.find(call.parameters["id"]).data, "application/octet-stream")


def uploaded(call: OperationCall, name: str = "file") -> FormFile:
    """Return the file part of a form, ``Refusal`` when there is none."""
    files = call.request.form.files
    require(name in files, f"A parameter was not received: {name}", "1213")
    return files[name]
