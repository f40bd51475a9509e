"""Answer the rows of a Ray dataset: two actors, one limit, and a second run that buys nothing.

pip install ".[ray]"  # in a clone of the repository
python examples/ray_dataset.py --emulate  # no key needed
ZAI_API_KEY=... python examples/ray_dataset.py
"""

import os
import sys
import tempfile
from contextlib import ExitStack

import ray

from zai_async.integrations.ray import ChatSpec, cluster_limits, map_chat

ROWS = [{"custom_id": f"n{number}", "number": number} for number in range(40)]


def main(folder: str) -> None:
    spec = ChatSpec(
        model="glm-5.3",
        template="Is {number} odd or even? Answer with one word.",
        base_url=os.environ.get("ZAI_BASE_URL"),
    )
    for name in ("first", "second"):
        rows = map_chat(ray.data.from_items(ROWS), spec, out=folder, actors=2).take_all()
        answered = sum(bool(row["answer_text"]) for row in rows)
        print(f"{name} run: {answered} of {len(rows)} rows are answered")
    for figures in cluster_limits().values():
        print("limits:", figures)


if __name__ == "__main__":
    with ExitStack() as stack:
        if "--emulate" in sys.argv:
            from zai_async.testing import Emulator

            emulator = stack.enter_context(Emulator())
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        # The processes of Ray have the environment of this one; those of a cluster need
        # runtime_env={"env_vars": {"ZAI_API_KEY": ...}}.
        ray.init(include_dashboard=False)
        stack.callback(ray.shutdown)
        main(stack.enter_context(tempfile.TemporaryDirectory()))
        if "--emulate" in sys.argv:
            print(f"{len(emulator.requests)} requests were sent")
