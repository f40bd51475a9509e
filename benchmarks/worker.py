"""One measurement in a process of its own: SCENARIO CONTESTANT PORT SIZE."""

import asyncio
import json
import sys

from benchmarks.contestants import contestant
from benchmarks.scenarios import SCENARIOS, Server, Work


async def measure(scenario: str, name: str, port: int, size: float) -> Work:
    server = Server(port)
    work = Work(contestant(name), server, size)
    value = await SCENARIOS[scenario].run(work)
    server.close()
    print(json.dumps({"value": value, "server": work.busy}))
    return work


if __name__ == "__main__":
    asyncio.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
