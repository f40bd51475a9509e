"""Two actors of Ray Data, ours and those of ray.data.llm: `python -m benchmarks.batch_ray`.

Beside them the same rows through one process without Ray. Rows a second are those that the server
saw between the first request and the last answer, so that what Ray needs to start counts for
nothing there. CPU is that of all processes of Ray, those that it started for the run as well. With
`pip install "zai-async[ray]"`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import ray
from ray.data import from_items

from benchmarks.batch import server, told
from zai_async.integrations.ray import ChatSpec, map_chat

LIMIT = 512


def ours(url: str, rows: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        ds = from_items([{"prompt": f"Question {number}"} for number in range(rows)])
        spec = ChatSpec(model="glm-5.3", base_url=f"{url}/api/paas/v4")
        answers = map_chat(ds, spec, out=folder, limit=LIMIT, actors=2).take_all()
    return sum(bool(row["answer_text"]) for row in answers)


def of_ray(url: str, rows: int) -> int:
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    config = HttpRequestProcessorConfig(
        url=f"{url}/v1/chat/completions",
        headers={"Authorization": "Bearer key"},
        concurrency=2,
        batch_size=64,
    )
    processor = build_processor(
        config,
        preprocess=lambda row: {
            "payload": {
                "model": "glm-5.3",
                "messages": [{"role": "user", "content": row["prompt"]}],
            }
        },
        postprocess=lambda row: {"text": row["http_response"]["choices"][0]["message"]["content"]},
    )
    ds = from_items([{"prompt": f"Question {number}"} for number in range(rows)])
    return sum(bool(row["text"]) for row in processor(ds).take_all())


def without_ray(url: str, rows: int) -> int:
    command = [sys.executable, "-m", "benchmarks.batch_contestants", "zai.batch", url, str(rows)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return round(json.loads(answer.stdout)["done"] * rows)


class Meter(Thread):
    """Adds up the CPU of this process and of all that descend from it, while it is open."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ticks = dict[int, int]()
        self.ended = Event()

    def run(self) -> None:
        # Workers end with their data set, and nobody keeps what they have had.
        while not self.ended.wait(0.1):
            self.look()

    def look(self) -> None:
        """Look at each of them once more."""
        children, ticks = defaultdict[int, list[int]](list), dict[int, int]()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                # The name before may hold anything.
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            number = int(stat.parent.name)
            children[int(fields[1])].append(number)
            ticks[number] = int(fields[11]) + int(fields[12])
        found = [os.getpid()]
        for number in found:
            found += children[number]
            self.ticks[number] = ticks.get(number, 0)

    @property
    def seconds(self) -> float:
        return sum(self.ticks.values()) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        self.look()
        self.before = self.seconds
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()
        self.look()


def measure(run: Callable[[str, int], int], rows: int) -> dict[str, Any]:
    with server(50) as url:
        with Meter() as meter:
            done = run(url, rows)
        stats = told(f"{url}/stats")
    # The server is a child of this process as well.
    cpu = meter.seconds - meter.before - stats["cpu"]
    return {
        "rows": rows,
        "done": done,
        "rows/s": stats["answered"] / stats["seconds"],
        "us": cpu / rows * 1e6,
        "peak in flight": stats["peak"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="for us; for ray.data.llm 1/50")
    rows = parser.parse_args().rows
    environment = {"env_vars": {"ZAI_API_KEY": "key"}}
    ray.init(num_cpus=4, include_dashboard=False, runtime_env=environment)
    try:
        figures = {
            "zai.batch": measure(without_ray, rows),
            "map_chat": measure(ours, rows),
            "ray.data.llm": measure(of_ray, rows // 50),
        }
    finally:
        ray.shutdown()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
