"""What a page of the AI SDK holds after an answer: its own reader, npm `ai` 6 and 7, in Node."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NODE = Path(__file__).parent / "node"
VERSIONS = ("ai6", "ai7")

needs_npm_ai = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE / "node_modules/.package-lock.json").exists(),
    reason="needs Node and `npm ci` in tests/node",
)


def pages(version: str, cases: list[dict[str, Any]]) -> list[Any]:
    """Play the cases that `page.mjs` describes, all in one process."""
    command = ["node", "page.mjs", version]
    texts = json.dumps(cases).encode()
    run = subprocess.run(command, cwd=NODE, input=texts, capture_output=True, check=True)
    return json.loads(run.stdout)
