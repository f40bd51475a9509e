"""What an output says about its rows."""

import os
from pathlib import Path

from zai_async.batch.journal import Manifest, is_locked, read_manifest
from zai_async.batch.keys import digest_of
from zai_async.batch.lines import error_kind
from zai_async.batch.recovery import JournalError, Recovery
from zai_async.batch.results import Report

__all__ = ["read_report"]


def read_report(out: str | os.PathLike[str]) -> Report:
    """Return what became of the rows of an output; blocking.

    Raises:
        JournalError: There is no such file, or it is no output of a batch.
    """
    path = os.fspath(out)
    before = read_manifest(path)
    # What was merged, or came from the platform, belongs to no run that could go on.
    manifest = before or Manifest(state="finished")
    recovery, kinds = Recovery(known=before is not None), dict[bytes, str]()
    try:
        with Path(path).open("rb") as file:
            for head, _, line in recovery.read(iter(file)):
                if head.failed:
                    kinds[digest_of(head.key)] = error_kind(line)
                elif kinds:
                    kinds.pop(digest_of(head.key), None)
        active = is_locked(path)
    except OSError as error:
        raise JournalError(f"{path!r} cannot be read: {error.strerror}") from None
    failed: dict[str, int] = {}
    for kind in kinds.values():
        failed[kind] = failed.get(kind, 0) + 1
    return Report(
        out=path,
        state=manifest.state,
        active=active,
        done=recovery.index.done,
        failed=failed,
        damaged=recovery.damaged,
        reason=manifest.reason,
        message=manifest.message,
        retry_at=manifest.retry_at,
        started=manifest.started,
        ended=manifest.ended,
        tokens=manifest.tokens,
        cost=manifest.cost,
        model=manifest.settings.get("model"),
    )
