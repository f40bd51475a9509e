"""Outputs after the run: several merged into one, one line per key, or a table in parquet."""

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from zai_async.batch.journal import manifest_path
from zai_async.batch.keys import KeyIndex, digest_of
from zai_async.batch.lines import LineHead
from zai_async.batch.recovery import JournalError, Recovery, result_of
from zai_async.batch.results import Failed, Ok
from zai_async.errors import ConfigurationError

__all__ = [
    "arrow_schema",
    "columns_of",
    "final_lines",
    "last_result",
    "merge_outputs",
    "write_parquet",
]

Outputs: TypeAlias = Sequence[str | os.PathLike[str]]

_GROUP: Final = 1_000
"""Rows that a table takes at once."""


def final_lines(outs: Outputs) -> Iterator[bytes]:
    """Yield one line for each key of some outputs, in their order; blocking.

    An answer counts more than a failure, and of two alike the later one. The outputs are read
    twice, so that no more than 24 bytes of a key are held.

    Raises:
        JournalError: One of them cannot be read, or is no output of a batch.
    """
    index = KeyIndex()
    for number, head, _ in _results(outs):
        before = index.get(digest_of(head.key))
        if before is None or before.failed or not head.failed:
            index.record(digest_of(head.key), number, failed=head.failed)
    for number, head, line in _results(outs):
        final = index.get(digest_of(head.key))
        if final is not None and final.position == number:
            yield line


def _results(outs: Outputs) -> Iterator[tuple[int, LineHead, bytes]]:
    """Yield the results of some outputs, counted through all of them."""
    number = 0
    for out in outs:
        recovery = Recovery(known=manifest_path(out).exists())
        try:
            with Path(out).open("rb") as file:
                for head, _, line in recovery.read(iter(file)):
                    yield number, head, line if line.endswith(b"\n") else line + b"\n"
                    number += 1
        except OSError as error:
            raise JournalError(f"{os.fspath(out)!r} cannot be read: {error.strerror}") from None


def last_result(out: str | os.PathLike[str], key: str) -> Ok | Failed:
    """Return what an output says last about a key; blocking, and slow.

    Raises:
        LookupError: It says nothing.
        JournalError: It cannot be read.
    """
    return result_of([line for _, head, line in _results([out]) if head.key == key][-1])


@contextmanager
def _new_file(path: str | os.PathLike[str]) -> Generator[Path]:
    """Give a path to write to, which gets its name at the end; nothing is there before.

    Raises:
        JournalError: Something of this name is there already, or cannot be written.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    if target.exists():
        raise JournalError(f"{os.fspath(path)!r} is there already; nothing was written")
    try:
        yield part
        part.replace(target)
    except OSError as error:
        raise JournalError(f"{os.fspath(path)!r} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def merge_outputs(outs: Outputs, to: str | os.PathLike[str]) -> Mapping[str, int]:
    """Write one line for each key of some outputs into a new file; blocking.

    Returns how many are answers (``"done"``) and how many failures (``"failed"``).

    Raises:
        JournalError: An output cannot be read, or the new file is there already.
    """
    counts = {"done": 0, "failed": 0}
    with _new_file(to) as part, part.open("wb") as file:
        for line in final_lines(outs):
            file.write(line)
            counts["failed" if isinstance(result_of(line), Failed) else "done"] += 1
        file.flush()
        os.fsync(file.fileno())
    return counts


class OutputColumns(msgspec.Struct, frozen=True, kw_only=True):
    """A result as a row of a table."""

    custom_id: str
    text: str | None = None
    thinking: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    attempts: int = 0
    error_kind: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    response: str | None = None
    """The whole answer as JSON."""


def columns_of(result: Ok | Failed) -> OutputColumns:
    """Return a result as a row of a table."""
    if isinstance(result, Failed):
        return OutputColumns(
            custom_id=result.key,
            attempts=result.attempts,
            error_kind=result.error.kind,
            error_code=result.error.code,
            error_message=result.error.message,
            response=None if result.partial is None else result.partial.decode(),
        )
    completion, usage = result.completion, result.usage
    return OutputColumns(
        custom_id=result.key,
        text=result.text,
        thinking=None if completion is None else completion.thinking or None,
        finish_reason=None if completion is None else completion.finish_reason,
        model=None if completion is None else completion.model,
        prompt_tokens=None if usage is None else usage.prompt_tokens,
        completion_tokens=None if usage is None else usage.completion_tokens,
        attempts=result.attempts,
        response=result.body.decode(),
    )


def arrow_schema(arrow: Any) -> Any:
    """Return the types of the columns; ``arrow`` is the module, which is an extra."""
    whole = {"prompt_tokens", "completion_tokens", "attempts"}
    names = OutputColumns.__struct_fields__
    return arrow.schema(
        [(name, arrow.int64() if name in whole else arrow.string()) for name in names]
    )


def write_parquet(outs: Outputs, to: str | os.PathLike[str]) -> int:
    """Write one row for each key of some outputs into a new parquet file; blocking.

    The columns are those of ``OutputColumns``. Returns how many rows there are.

    Raises:
        ConfigurationError: pyarrow is not installed.
        JournalError: An output cannot be read, or the new file is there already.
    """
    try:
        arrow: Any = import_module("pyarrow")  # an extra, slow to import
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        text = "parquet needs pyarrow: pip install 'zai-async[parquet]'"
        raise ConfigurationError(text) from None
    schema = arrow_schema(arrow)
    rows, final = 0, final_lines(outs)
    with _new_file(to) as part, parquet.ParquetWriter(part, schema) as writer:
        while lines := list(islice(final, _GROUP)):
            group = [msgspec.structs.asdict(columns_of(result_of(line))) for line in lines]
            writer.write_table(arrow.Table.from_pylist(group, schema=schema))
            rows += len(group)
    return rows
