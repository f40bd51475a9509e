"""Answer every row of a file, each once: the same command goes on where it was stopped.

    pip install .  # in a clone of the repository
    ZAI_API_KEY=... python examples/batch_jsonl.py questions.jsonl answers.jsonl

A row is an object with a `prompt` or `messages`. The first Ctrl-C waits for what is in flight.
`zai batch run` is the same with more around it.
"""

import asyncio
import sys

from zai_async import AsyncZai
from zai_async.batch import Ok


async def main(rows: str, out: str) -> int:
    async with AsyncZai() as zai:
        run = zai.batch.run(rows, out=out, model="glm-5.3", handle_signals=True)
        async for row in run:
            print(row.key, row.text if isinstance(row, Ok) else row.error.message, sep=": ")
        return (await run.report()).exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:3])))
