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
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import anyio
import msgspec

from zai_async import AsyncZai, RetryPolicy, ZaiError

Row = dict[str, Any]


def read(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield {"id": str(number)} | parsed(line)


def parsed(line: str) -> Row:
    try:
        return msgspec.json.decode(line, type=Row)
    except msgspec.DecodeError:
        return {}


def answered(path: Path) -> set[str]:
    """Return the ids that need no repetition; cut off a line that a killed run left unfinished."""
    done: set[str] = set()
    with path.open("a+b") as output:
        output.seek(0)
        end = 0
        for line in output:
            if line.endswith(b"\n"):
                end += len(line)
                row = json.loads(line)
                (done.discard if "error" in row else done.add)(row["id"])
        output.truncate(end)
    return done


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
            self._write({"id": row["id"], **await self._answer(row)})

    async def _answer(self, row: Row) -> Row:
        messages = row.get("messages") or row.get("prompt")
        if not messages:
            return failure("input", "the row has neither a prompt nor messages")
        try:
            answer = await self._zai.chat.completions.create(model=self._model, messages=messages)
        except ZaiError as error:
            return failure(error.kind, str(error))
        tokens = answer.usage.total_tokens
        return {"text": answer.text, "outcome": answer.outcome, "tokens": tokens}

    def _write(self, result: Row) -> None:
        self._output.write(json.dumps(result, ensure_ascii=False) + "\n")
        self._output.flush()
        self.done += 1
        self.failed += "error" in result
        print(f"{self.done} done, {self.failed} failed", file=sys.stderr)


def failure(kind: str, message: str) -> Row:
    return {"error": {"kind": kind, "message": message}}


async def run(arguments: argparse.Namespace, rows: Iterable[Row], output: TextIO) -> int:
    # A batch can wait out a busy hour; a person in front of a screen could not.
    async with AsyncZai(retry=RetryPolicy(budget=arguments.patience)) as zai:
        batch = Batch(zai, arguments.model, rows, output)
        await batch.run(arguments.concurrency)
    return batch.failed


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Answer every row of a JSONL file.")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="glm-5.3")
    parser.add_argument("--concurrency", type=int, default=8, help="rows at a time")
    parser.add_argument("--patience", type=float, default=3600, help="seconds of retries per row")
    parser.add_argument("--emulate", action="store_true", help="answer without key and network")
    arguments = parser.parse_args()
    if arguments.concurrency < 1:
        parser.error("--concurrency must be at least 1")
    if not arguments.input.exists() or arguments.input.is_dir():
        parser.error(f"there is no file {str(arguments.input)!r}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    done = answered(arguments.output)
    rows = (row for row in read(arguments.input) if row["id"] not in done)
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
