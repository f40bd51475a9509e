"""The examples of integrations run as their docstrings say, without key and network."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("children_unmeasured")
EXAMPLES = Path(__file__).parent.parent / "examples"

# What each needs, and what it says where all is well.
RUNS = {
    "any_llm_agent.py": ("any_llm", r"weather: In Oslo the sun shines"),
    "langchain_agent.py": ("langchain", r"Lima: sunny for 3 days(.|\n)*tokens: [1-9]"),
    "litellm_agent.py": ("litellm", r"weather: In Oslo the sun shines"),
    "mcp_server.py": ("mcp", r"'text', 'resource_link'"),
    "mcp_tools.py": ("mcp", r"looking at the shelves(.|\n)*stands on shelf C 14"),
    "opentelemetry_console.py": ("opentelemetry.sdk", r'"name": "chat glm-5.3"'),
    "pydantic_ai_agent.py": ("pydantic_ai", r"It rains in Lund(.|\n)*umbrella=True"),
    "sync_client.py": ("zai_async", r"https?://\S+"),
}


@pytest.mark.parametrize("name", RUNS)
def test_it_runs_without_a_key(name):
    package, said = RUNS[name]
    if find_spec(package.partition(".")[0]) is None:
        pytest.skip(f"{package} is not installed")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ZAI_")}
    command = [sys.executable, "-W", "error::ResourceWarning", EXAMPLES / name, "--emulate"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert re.search(said, ended.stdout), ended.stdout
    assert "--emulate" in (EXAMPLES / name).read_text(encoding="utf-8").split('"""')[1]
