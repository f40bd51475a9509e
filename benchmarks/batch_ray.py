"""Two actors of Ray Data, ours and those of ray.data.llm: `python -m benchmarks.batch_ray`.

Rows a second are those that the server saw between the first request and the last answer, so that
what Ray needs to start counts for nothing. With `pip install "zai-async[ray]"`.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from typing import Any

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


def measure(run: Callable[[str, int], int], rows: int) -> dict[str, Any]:
    with server(50) as url:
        done = run(url, rows)
        stats = told(f"{url}/stats")
    return {
        "rows": rows,
        "done": done,
        "rows/s": stats["answered"] / stats["seconds"],
        "peak in flight": stats["peak"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="for us; for ray.data.llm 1/50")
    rows = parser.parse_args().rows
    environment = {"env_vars": {"ZAI_API_KEY": "key"}}
    ray.init(num_cpus=4, include_dashboard=False, runtime_env=environment)
    try:
        figures = {"map_chat": measure(ours, rows), "ray.data.llm": measure(of_ray, rows // 50)}
    finally:
        ray.shutdown()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
