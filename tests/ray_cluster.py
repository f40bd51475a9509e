"""Two actors of Ray answer rows, and one is killed: `python tests/ray_cluster.py ROWS`.

A program of its own: Ray listens on all addresses and starts a dozen processes. It prints figures.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import ray

from benchmarks.batch import server, told
from zai_async.integrations.ray import ChatSpec, map_chat

LIMIT = 40


def written(folder: Path) -> dict[Path, set[str]]:
    """Return the ids of the whole lines of each output."""
    return {
        path: {
            json.loads(line)["custom_id"]
            for line in path.read_bytes().splitlines(keepends=True)
            if line.endswith(b"\n")
        }
        for path in folder.glob("*.jsonl")
    }


def kill_one(folder: Path, rows: int, before: dict[str, float], url: str) -> None:
    """Wait until two actors have written a part of the rows, and kill one of them."""
    while True:
        outputs = written(folder)
        if len(outputs) == 2 and sum(map(len, outputs.values())) > rows / 4:
            break
        time.sleep(0.02)
    victim = min(outputs)
    os.kill(int(victim.name.split("-")[1]), signal.SIGKILL)
    before["killed"] = 1
    before["written"] = sorted(set().union(*outputs.values()))
    before["url"] = url


def main(rows: int) -> dict[str, float]:
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    facts: dict[str, object] = {"killed": 0, "written": []}
    with server(50, LIMIT) as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ray.init(
            num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"ZAI_API_KEY": "key"}}
        )
        ds = ray.data.from_items(
            [{"custom_id": f"q{n}", "prompt": f"Question {n}"} for n in range(rows)]
        )
        spec = ChatSpec(model="glm-5.3", base_url=f"{url}/api/paas/v4")
        killer = threading.Thread(target=kill_one, args=(folder, rows, facts, url), daemon=True)
        killer.start()
        answers = map_chat(ds, spec, out=name, limit=LIMIT).take_all()
        stats = told(f"{url}/stats")
        twice = {each.removeprefix("Question ") for each in told(f"{url}/twice")["prompts"]}
        ray.shutdown()
    return {
        "rows": rows,
        "answered": sum(bool(row["answer_text"]) for row in answers),
        "errors": sum(row["answer_error_kind"] is not None for row in answers),
        "asked": stats["asked"],
        "distinct": stats["distinct"],
        "killed": facts["killed"],
        "written_and_asked_again": len({f"q{each}" for each in twice} & set(facts["written"])),
        "most_in_flight": LIMIT,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))))
