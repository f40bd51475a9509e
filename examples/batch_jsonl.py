"""Answer every row of a JSONL file, a few at a time, and go on where the last run stopped.

    pip install .       # in a clone of zai-async
    python examples/batch_jsonl.py questions.jsonl answers.jsonl --emulate      # no key needed
    ZAI_API_KEY=... python examples/batch_jsonl.py questions.jsonl answers.jsonl

A row is ``{"id": "1", "prompt": "..."}`` or ``{"id": "1", "messages": [...]}``. Each gets one line
in the output as soon as it is done, failures as well; the next run repeats only those and what is
missing, and the last line of an id counts. The exit status is 5 when rows have failed.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO, TypeVar

import anyio
import msgspec

from zai_async import AsyncZai, RetryPolicy, ZaiError

T = TypeVar("T")
Result = dict[str, Any]


class Row(msgspec.Struct):
    """A row of the input; one that cannot be read has neither a prompt nor messages."""

    id: str | int | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None


def read(path: Path) -> Iterator[Row]:
    # Bytes, because one line in another encoding must not end a batch of a million.
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                row = decoded(line, Row) or Row()
                row.id = str(number) if row.id is None else row.id
                yield row


def decoded(line: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def answered(path: Path) -> set[str | int | None]:
    """Return the ids that are done; cut off a line that a killed run left unfinished."""
    done: set[str | int | None] = set()
    with path.open("a+b") as output:
        output.seek(0)
        end = 0
        for line in output:
            if line.endswith(b"\n"):
                end += len(line)
                if row := decoded(line, Answered):
                    (done.add if row.error is None else done.discard)(row.id)
        output.truncate(end)
    return done


class Answered(msgspec.Struct):
    """A line of the output, as far as it says whether its row is done."""

    id: str | int | None
    error: Any = None


class Batch:
    """Workers that take their rows from one iterator: no more is ever read than is worked on."""

    def __init__(self, zai: AsyncZai, model: str, rows: Iterable[Row], output: TextIO) -> None:
        self._zai = zai
        self._model = model
        self._rows = iter(rows)
        self._output = output
        self.done = self.failed = 0

    async def run(self, concurrency: int) -> None:
        async with anyio.create_task_group() as workers:
            for _ in range(concurrency):
                workers.start_soon(self._work)

    async def _work(self) -> None:
        for row in self._rows:
            self._write({"id": row.id, **await self._answer(row)})

    async def _answer(self, row: Row) -> Result:
        messages = row.messages or row.prompt
        if not messages:
            return failure("input", "the row has neither a prompt nor messages")
        try:
            answer = await self._zai.chat.completions.create(model=self._model, messages=messages)
        except ZaiError as error:
            return failure(error.kind, str(error))
        tokens = answer.usage.total_tokens
        return {"text": answer.text, "outcome": answer.outcome, "tokens": tokens}

    def _write(self, result: Result) -> None:
        self._output.write(json.dumps(result, ensure_ascii=False) + "\n")
        self._output.flush()
        self.done += 1
        self.failed += "error" in result
        print(f"{self.done} done, {self.failed} failed", file=sys.stderr)


def failure(kind: str, message: str) -> Result:
    return {"error": {"kind": kind, "message": message}}


async def run(arguments: argparse.Namespace, rows: Iterable[Row], output: TextIO) -> int:
    # A batch can wait out a busy hour; a person in front of a screen could not.
    async with AsyncZai(retry=RetryPolicy(budget=arguments.budget)) as zai:
        batch = Batch(zai, arguments.model, rows, output)
        await batch.run(arguments.concurrency)
    return batch.failed


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Answer every row of a JSONL file.")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="glm-5.3")
    parser.add_argument("--concurrency", type=int, default=8, help="rows at a time, up to 1000")
    parser.add_argument("--budget", type=float, default=3600, help="seconds of retries per row")
    parser.add_argument("--emulate", action="store_true", help="answer without key and network")
    arguments = parser.parse_args()
    if not 1 <= arguments.concurrency <= 1000:
        parser.error("--concurrency must be 1 to 1000")
    if not 0 <= arguments.budget < math.inf:
        parser.error("--budget must be a number of seconds")
    for path, mode in ((arguments.input, "rb"), (arguments.output, "ab")):
        try:
            path.open(mode).close()
        except (OSError, ValueError) as error:
            parser.error(f"{str(path)!r} cannot be opened: {getattr(error, 'strerror', error)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    done = answered(arguments.output)
    rows = (row for row in read(arguments.input) if row.id not in done)
    with ExitStack() as stack:
        if arguments.emulate:
            from zai_async.testing import Emulator  # noqa: PLC0415 - not for production

            emulator = stack.enter_context(Emulator())
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        output = stack.enter_context(arguments.output.open("a", encoding="utf-8"))
        try:
            failed = anyio.run(run, arguments, rows, output)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
            return 130
    return 5 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
