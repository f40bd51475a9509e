"""Adding an operation touches the five files that the guide names, and nothing else.

A fictive operation is added to a copy of the project; then everything that compares the table of
operations with the rest has to pass.
"""

import filecmp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import THOROUGH

ROOT = Path(__file__).parent.parent
COPIED = [
    "zai_async",
    "tests",
    "docs",
    "examples",
    "benchmarks",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "pyproject.toml",
    "zensical.toml",
]
IMPORTED = "    EmbeddingResponse,\n"
IMPORTS = "    EmbeddingResponse,\n    Explanation,\n    ExplanationParams,\n"
COMPARISONS = [
    "tests/test_operations.py",
    "tests/test_resources.py",
    "tests/test_every_operation.py",
    "tests/test_typing_contract.py",
    "tests/test_emulator_operations.py",
    "tests/test_gateways.py",
    "tests/test_editor.py",
    "tests/test_drift.py",
    "tests/test_architecture.py",
    "tests/test_models_chat.py",
    "tests/test_models_plain.py",
    "tests/test_readme.py",
]
CHOSEN = (
    "Explanation or explain or EXPLAIN or up_to_date or reference_has or is_here or above"
    " or has_a_route"
)

PARAMS = '''

class ExplanationParams(CallParams, total=False):
    """Parameters of an explanation (bigmodel.cn).

    Source: https://docs.bigmodel.cn/api-reference
    """

    model: Required[str]
    """``moderation``."""
    input: Required[str]
    """The text that was judged."""


class Explanation(Reply, kw_only=True):
    """Why a text was judged as it was."""

    id: str = ""
    reasons: list[str] = field(default_factory=list[str])
    """One sentence each."""
'''
ROW = """
MODERATION_EXPLAIN = Operation(
    "moderations.explain",
    "paas/v4/moderations/explain",
    models.Explanation,
    models.ExplanationParams,
    essential="reasons",
)
"""
METHOD = '''
    async def explain(self, **params: Unpack[ExplanationParams]) -> Explanation:
        """Tell why a text was judged as it was.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.MODERATION_EXPLAIN, params)
'''
CASE = """
    post(
        "moderations.explain",
        "paas/v4/moderations/explain",
        {"model": "moderation", "input": "Hi"},
        {"reasons": ["It is polite."]},
        ("reasons", ["It is polite."]),
    ),
]
"""


def change(path, *changes):
    text = path.read_text("utf-8")
    for before, after in changes:
        assert text.count(before) >= 1, before
        text = text.replace(before, after, 1)
    path.write_text(text, "utf-8")


def add_operation(root):
    """Add a fictive operation, and return the files that were touched by hand."""
    models = root / "zai_async/models/retrieval.py"
    exported = '    "Embedding",\n    "Explanation",\n    "ExplanationParams",\n'
    change(models, ('    "Embedding",\n', exported))
    models.write_text(models.read_text("utf-8") + PARAMS, "utf-8")

    operations = root / "zai_async/_operations.py"
    operations.write_text(operations.read_text("utf-8") + ROW, "utf-8")

    tools = root / "zai_async/resources/tools.py"
    change(tools, (IMPORTED, IMPORTS))
    tools.write_text(tools.read_text("utf-8") + METHOD, "utf-8")

    cases = root / "tests/test_resources.py"
    change(cases, ("\n]\n", CASE))

    changelog = root / "CHANGELOG.md"
    change(changelog, ("### Added\n", "### Added\n\n- `moderations.explain`.\n"))
    return {models, operations, tools, cases, changelog}


@pytest.mark.skipif(not THOROUGH, reason="a part of the thorough run")
def test_a_new_operation_touches_the_files_that_the_guide_names(tmp_path):
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            ignored = shutil.ignore_patterns(
                "__pycache__", "interop", "fuzz_corpus", "node_modules"
            )
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    touched = add_operation(tmp_path)
    assert touched == {tmp_path / path for path in named_by_the_guide()}

    # The pages that are made of the table are missed, and then written.
    missed = compared(tmp_path, UPDATE_DOCS="")
    assert sorted(re.findall(r"^FAILED \S+::(\w+)", missed.stdout, re.MULTILINE)) == [
        "test_reference_has_every_part_of_an_answer",
        "test_the_page_about_gateways_is_up_to_date",
    ]
    result = compared(tmp_path, UPDATE_DOCS="1")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
    assert "`moderations.explain`" in (tmp_path / "docs/gateways.md").read_text("utf-8")
    (page,) = tmp_path.glob("docs/reference/retrieval.md")
    assert "::: zai_async.models.Explanation\n" in page.read_text("utf-8")

    # Nothing else is another one than before: five files by hand, and the two pages.
    written = {tmp_path / "docs/gateways.md", page}
    assert {*changed(tmp_path)} == touched | written


def compared(root, **environment):
    """Compare the table of operations with the rest, in a copy of the project."""
    own = {"PYTHONPATH": str(root), "ZAI_TESTS": "", **environment}
    # What is compiled here is of use to nobody, and would lie beside what is.
    own = {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-q", "-rf", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider", "-k", CHOSEN]
    command = [sys.executable, "-m", "pytest", *options, *COMPARISONS]
    return subprocess.run(command, cwd=root, env=own, capture_output=True, text=True, check=False)


def changed(root):
    """Yield the files of a copy that are not those of the project."""
    for path in root.rglob("*"):
        original = ROOT / path.relative_to(root)
        is_ours = path.is_file() and not {"__pycache__", ".hypothesis"} & {*path.parts}
        if is_ours and not (original.exists() and filecmp.cmp(path, original, shallow=False)):
            yield path


def named_by_the_guide():
    """Return the files of the guide, with those of the fictive operation for any of a folder."""
    guide = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = guide.partition("## Adding an operation")[2].partition("\n## ")[0]
    named = re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)
    assert len(named) <= 5
    return [name.replace("<domain>", "retrieval").replace("<group>", "tools") for name in named]
