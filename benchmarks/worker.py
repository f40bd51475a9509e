"""One measurement in a process of its own: SCENARIO CONTESTANT PORTS SIZE LOOP."""

import asyncio
import json
import sys
from functools import partial
from importlib import import_module

from benchmarks.contestants import contestant
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.work import Server, SkippedError, Work


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return an event loop of asyncio or uvloop, which is imported only then."""
    return import_module(name).new_event_loop()


async def measure(key: str, name: str, ports: list[int], size: float) -> None:
    scenario = SCENARIOS[key]
    server = Server(ports[0], ports[1] if scenario.tls else None)
    work = Work(contestant(name), server, size)
    try:
        value = await scenario.run(work)
        print(json.dumps({"value": value, "server": work.busy, "lost": work.lost, **work.also}))
    except SkippedError as error:
        print(json.dumps({"skipped": str(error)}))
    server.close()


if __name__ == "__main__":
    key, name, ports, size, loop = sys.argv[1:]
    with asyncio.Runner(loop_factory=partial(new_loop, loop)) as runner:
        runner.run(measure(key, name, [int(port) for port in ports.split(",")], float(size)))
