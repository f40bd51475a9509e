"""What the README and the documentation say is run, or compared with the code."""

import ast
import asyncio
import builtins
import contextlib
import inspect
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import get_args, get_type_hints

import aiohttp
import pytest
from aiohttp.web import Application
from msgspec import Struct

import zai_async
from tests.calls import FakeClock
from tests.effort import times
from tests.test_examples import served_by_aiohttp, served_by_uvicorn
from tests.test_recordings import MEETING
from zai_async import (
    AsyncZai,
    Outcome,
    RetryPolicy,
    ZaiError,
    batch,
    cli,
    models,
    resources,
    streams,
    web,
)
from zai_async._codes import BAND, CODES, STATUSES
from zai_async.errors import API_ERRORS, APIError
from zai_async.integrations import ray
from zai_async.resources import Resources
from zai_async.testing import Emulator, Fault
from zai_async.testing.server import parser

pytestmark = pytest.mark.usefixtures("children_unmeasured")
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def shown_name(page):
    return str(page.relative_to(ROOT)).removeprefix("docs/")


def blocks(language):
    """Return the blocks of a language, each as a parameter named after its page and line."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for fence in FENCE.finditer(text):
            if fence[1] == language:
                line = text.count("\n", 0, fence.start(2)) + 1
                found.append(pytest.param(fence[2], id=f"{shown_name(page)}:{line}"))
    return found


def defines_tests(source):
    return re.search(r"^(async )?def test_", source, re.MULTILINE) is not None


def is_program(source):
    """Say whether a block runs as a file: it makes its own event loop, or needs none."""
    return any(word in source for word in ("asyncio.run(", "from zai import", "zai_async.sync"))


def imported(source):
    """Return the modules that a block imports."""
    return {*re.findall(r"^\s*(?:from|import) ([\w.]+)", source, re.MULTILINE)}


PROGRAMS = [block for block in blocks("python") if is_program(*block.values)]
SCRIPTS = [
    block
    for block in blocks("python")
    if not (defines_tests(*block.values) or is_program(*block.values))
]
TESTS = [block for block in blocks("python") if defines_tests(*block.values)]
COMMANDS = [
    pytest.param(line.removeprefix("$ "), id=f"{block.id}:{number}")
    for block in blocks("console")
    for number, line in enumerate(block.values[0].splitlines())
    if line.startswith("$ ")
]
ASYNC_TESTS = """\
[tool.pytest]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""
CATCHING = [block for block in SCRIPTS if "except ZaiError" in block.values[0]]


@pytest.fixture
async def run(zai_emulator, monkeypatch):
    """Run a block as the body of an async function, with `zai` as an open client."""
    monkeypatch.setenv("ZAI_BASE_URL", zai_emulator.url)
    monkeypatch.setenv("TRUTO_BASE_URL", zai_emulator.truto_url)
    monkeypatch.setenv("ZAI_API_KEY", "test")
    async with AsyncZai(retry=RetryPolicy(retries=0), clock=FakeClock()) as zai:

        async def run(source):
            module = ModuleType("snippet")
            monkeypatch.setitem(sys.modules, "snippet", module)  # frameworks look into it
            names = vars(module)
            names["zai"] = zai
            code = compile(source, "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            await executed(code, names)
            if "app" in names:
                await visit(names["app"])

        yield run


async def executed(code: CodeType, names: dict) -> None:
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result


ASKED_BY_A_PAGE = {"text": "Hi", "id": "chat-1", "messages": [{"role": "user", "content": "Hi"}]}


async def visit(app):
    """Ask for what the page about web frameworks serves: one of these."""
    served = served_by_aiohttp if isinstance(app, Application) else served_by_uvicorn
    requests = [
        ("GET", "/colour", {}),
        ("POST", "/chat", {"json": ASKED_BY_A_PAGE}),
        ("POST", "/chats/", {"json": ASKED_BY_A_PAGE}),
        (
            "POST",
            "/v1/chat/completions",
            {
                "json": {"model": "glm-5.3", **ASKED_BY_A_PAGE},
                "headers": {"Authorization": "Bearer alice-1"},
            },
        ),
        ("POST", "/ask", {"params": {"question": "Hi"}}),
    ]
    bodies = []
    async with served(app) as url, aiohttp.ClientSession(url) as session:
        for method, path, options in requests:
            async with session.request(method, path, **options) as answer:
                if answer.status == 200:
                    bodies.append(await answer.text())
    (body,) = bodies
    assert "choices" in body or "Hi" in body


@pytest.mark.parametrize("source", SCRIPTS)
async def test_snippet_runs(run, source, zai_emulator, tmp_path, monkeypatch):
    if "from mcp import" in source:
        pytest.importorskip("mcp")
    if "import ray" in source:
        pytest.skip("it starts a cluster: test_integrations_ray.py runs it")
    for name in imported(source):
        # In a thread: what is imported for the first time is read from the disk.
        await asyncio.to_thread(pytest.importorskip, name)
    monkeypatch.chdir(tmp_path)
    if "meeting.wav" in source:
        (tmp_path / "meeting.wav").write_bytes(MEETING)
    with contextlib.redirect_stdout(None):
        await run(source)
    alone = ("Decoder", "Emulator()", "transport")
    assert zai_emulator.requests or any(name in source for name in alone)


@pytest.mark.parametrize("source", PROGRAMS)
def test_program_runs(source, zai_emulator, tmp_path):
    """In a process of its own: other clients block, and warn about themselves."""
    zai_emulator.chat.reply("Because.", times=None)
    path = tmp_path / "app.py"
    path.write_text(source)
    own = {"PYTHONPATH": str(ROOT), "ZAI_API_KEY": "id.secret", "ZAI_BASE_URL": zai_emulator.url}
    output = subprocess.check_output([sys.executable, path], env=os.environ | own, text=True)
    assert "Because." in output or "http://" in output


@pytest.mark.parametrize("source", CATCHING)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"code": "1302"}, "busy: throttle 1 attempts|throttle 1302"),
        ({"code": "1308", "message": "resets at 2030-01-01 00:00:00"}, "used up until|quota 1308"),
        ({"body": b'{"choices": []}'}, "cut: empty|stream None"),
        ({"code": "1113"}, "billing 1113"),
    ],
)
async def test_snippet_about_errors_catches_them(run, zai_emulator, capsys, source, *, fault, said):
    zai_emulator.fault(**fault)
    await run(source)
    assert re.match(said, capsys.readouterr().out)


def test_snippets_are_tests_that_pass(pytester, monkeypatch):
    """One run for all of them, because starting takes longer than testing."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    sources = {re.sub(r"\W", "_", f"test_{block.id}"): block.values[0] for block in TESTS}
    pytester.makepyfile(**sources)
    pytester.makepyprojecttoml(ASYNC_TESTS)
    plugins = ("-p", "no:zai_async", "-p", "zai_async.testing.plugin", "-p", "no:randomly")
    result = pytester.runpytest_subprocess(*plugins, "-W", "error")
    assert result.ret == 0
    written = sum(len(re.findall(r"def test_", source)) for source in sources.values())
    outcomes = result.parseoutcomes()  # a test of what is not installed is skipped
    assert outcomes["passed"] + outcomes.get("skipped", 0) == written


def is_checked(source):
    """Say whether a block is ours, and what it imports is there."""
    # The types of zai-sdk do not tell an answer from a stream, so its own examples fail them.
    if re.search(r"^from zai import", source, re.MULTILINE):
        return False
    names = imported(source)
    # Of a package that is not there no module can be looked for.
    return all(find_spec(name.partition(".")[0]) and find_spec(name) for name in names)


def typed(source):
    """Return a block as a module: with `zai`, and with a function around what awaits."""
    if is_program(source) or defines_tests(source):
        return source
    body = textwrap.indent(source, "    ")
    head = "from zai_async import AsyncZai\n\n\nasync def snippet(zai: AsyncZai) -> None:\n"
    return f"{head}{body}"


@pytest.mark.parametrize(
    ("checker", "options"),
    [
        # Tests are untyped, as in most projects.
        ("mypy", ["--strict", "--allow-untyped-defs", "--allow-untyped-calls"]),
        ("basedpyright", ["--level", "error", "--pythonpath", sys.executable]),
    ][: times(2, 1)],
)
def test_snippets_are_typed(checker, options, tmp_path):
    """One run for all of them, because starting takes longer than checking."""
    pytest.importorskip(checker)
    for block in blocks("python"):
        if is_checked(*block.values):
            path = tmp_path / (re.sub(r"\W", "_", block.id) + ".py")
            path.write_text(typed(*block.values))
    # What the reader has: the defaults of a strict check, and not the settings of this project.
    settings = {"typeCheckingMode": "standard", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    (tmp_path / "mypy.ini").write_text("[mypy]\nmypy_path = " + str(ROOT))
    command = [sys.executable, "-m", checker, *options, "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout


# Commands


@pytest.fixture
def shell(tmp_path, zai_emulator):
    """Run a line in an empty folder, where `zai` is this package and the emulator answers."""
    zai = tmp_path / "bin/zai"
    zai.parent.mkdir()
    zai.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{ZAI}" "$@"\n')
    zai.chmod(0o755)
    (tmp_path / "chart.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    environment = os.environ | {
        "PATH": f"{zai.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "ZAI_API_KEY": "test",
        "ZAI_BASE_URL": zai_emulator.url,
    }

    def shell(line):
        return subprocess.check_output(line, shell=True, cwd=tmp_path, env=environment, text=True)

    return shell


VARIABLES = re.compile(r"^(\w+=\S+ )+")
ZAI = "import sys, zai_async.cli as cli; sys.exit(cli.main())"


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists(line, shell):
    line = VARIABLES.sub("", line)
    programs = [part.split()[0] for part in line.split(" | ")]
    if missing := [name for name in programs if name != "zai" and not shutil.which(name)]:
        pytest.skip(f"not installed: {missing}")
    if "zai" in programs:
        assert_zai_understands(line, shell)
    elif programs == ["echo"]:
        assert shell(line) == ""  # it goes to a file
    else:
        assert_is_part_of_the_project(*line.split())


def assert_zai_understands(line, shell):
    if "chat " in line:
        if "--continue" in line:
            line = f"zai chat Hi --quiet && {line}"
        assert shell(line.replace("--emulate", "--emulate --pace 0")).strip()
        return
    for part in line.split(" | "):
        assert_has_options(*part.split())


def assert_has_options(program, command, *words):
    """Only look at the help: the command would wait for a person or a file, or serve for ever."""
    if program == "zai":
        described = help_of(command)
        if " ACTION" in described:
            described = help_of(command, words[0])
        assert all(word in described for word in words if word.startswith("--"))


def help_of(*command):
    with contextlib.redirect_stdout(io.StringIO()) as told, pytest.raises(SystemExit) as end:
        cli.main([*command, "--help"])
    assert not end.value.code
    return told.getvalue()


def assert_is_part_of_the_project(program, first, *others):
    match program, first:
        case "make", target:
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"^{target}:", makefile, re.MULTILINE)
        case "pip", "install":
            assert {first, *others} <= {"install", ".", "fastapi", "uvicorn"}
        case "python", "-m":
            assert find_spec(f"{others[0]}.__main__")
        case "python", "app.py":
            pass  # a program of the reader's own
        case "python", example:  # test_examples.py runs it
            assert (ROOT / example).is_relative_to(ROOT / "examples")
            assert (ROOT / example).is_file()
        case _:
            pytest.fail(f"no test knows what {program!r} is")


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/cli.md"])
def test_program_asks_the_emulator_as_it_is_shown(page, shell, tmp_path, zai_emulator):
    usual = parser("zai emulator").parse_args([])
    line = re.search(r"^\$ (ZAI_BASE_URL=(\S+) .+ app.py)$", text_of(page), re.MULTILINE)
    assert line[2] == f"http://{usual.host}:{usual.port}/api/paas/v4"
    source = blocks("python")[0].values[0]
    body = textwrap.indent(f"{source}\n", "    ")
    program = f"import asyncio\n\nasync def main():\n{body}\nasyncio.run(main())\n"
    (tmp_path / "app.py").write_text(program)
    command = (
        line[1].replace(line[2], zai_emulator.url).replace("python", shlex.quote(sys.executable))
    )
    assert shell(command).strip()


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def test_batch_example_runs_as_it_is_shown(shell, tmp_path):
    for line in re.findall(r"^\$ (.+jsonl.*)$", text_of("docs/batch.md"), re.MULTILINE):
        shell(line.replace("--emulate", "--emulate --pace 0"))
    line = json.loads((tmp_path / "answers.jsonl").read_bytes())
    assert line["response"]["body"]["choices"]


# Statements

# Pages that name the errors of others, and where those are.
OTHERS = {
    "migration.md": "zai.core",
    "any-llm.md": "any_llm.exceptions",
    "langchain.md": "langchain_core.exceptions",
    "litellm.md": "litellm",
    "pydantic-ai.md": "pydantic_ai.exceptions",
}


@pytest.mark.parametrize("page", PAGES, ids=shown_name)
def test_page_links_to_what_exists(page):
    for target in PAGE_LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=shown_name)
def test_page_names_errors_that_exist(page):
    builtin = {name for name in vars(builtins) if name.endswith("Error")}
    named = set(re.findall(r"`(\w+Error)\b", page.read_text(encoding="utf-8")))
    others = OTHERS.get(page.name)
    named -= {*dir(pytest.importorskip(others))} if others else set()
    assert named - builtin <= {*zai_async.__all__, "JournalError"}


def test_page_about_errors_tells_which_outcomes_are_returned():
    section = text_of("docs/errors.md").partition("## Outcomes")[2].partition("\n## ")[0]
    returned, _, raised = section.partition("are returned;")
    raised = raised.partition("are raised")[0]
    outcomes = get_args(Outcome)
    assert re.findall(r"`(\w+)`", returned) == ["outcome", *outcomes[:6]]
    assert re.findall(r"`(\w+)`", raised) == list(outcomes[6:])


def tree():
    drawing = inspect.getdoc(zai_async.errors).partition("::\n\n")[2].partition("\n\nAll ")[0]
    return f"```text\n{inspect.cleandoc(drawing)}\n```\n"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def codes():
    head = ["Code", "Raised as", "`kind`", "Retried", "Hint"]
    return table(head, [[f"`{code}`", *described(meaning)] for code, meaning in CODES.items()])


def described(meaning):
    name = API_ERRORS.get(meaning.kind, APIError).__name__
    return f"`{name}`", meaning.kind, meaning.repeat, meaning.hint or ""


def statuses():
    head = ["Status", "`kind`", "Retried", "Hint"]
    return table(head, [[status, m.kind, m.repeat, m.hint or ""] for status, m in STATUSES.items()])


@pytest.mark.parametrize("generate", [tree, codes, statuses])
def test_page_about_errors_is_up_to_date(generate):
    path = ROOT / "docs/errors.md"
    page = path.read_text(encoding="utf-8")
    start, rest = f"<!-- {generate.__name__} -->\n\n", "\n<!-- end -->"
    before, after = page.split(start)
    updated = before + start + generate() + rest + after.partition(rest)[2]
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(updated, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == updated, "UPDATE_DOCS=1 brings it up to date"


def test_page_about_limits_names_every_code():
    """A range of codes is all the codes from its first to its last one."""
    text = (ROOT / "docs/rate-limits.md").read_text(encoding="utf-8").partition("## The limiter")[0]
    spans = re.findall(r"(1\d{3})(?: to (1\d{3}))?", text)
    named = {
        str(code) for first, last in spans for code in range(int(first), int(last or first) + 1)
    }
    kinds = {"throttle", "overload", "quota"}
    limits = {code for code in CODES if code.isdigit() and CODES[code].kind in kinds}
    assert named == limits | {"1113"}


def test_page_about_errors_explains_unlisted_codes():
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(1\d)xx`", page)) == set(BAND)


def in_reference(module):
    """Return the names of a module that the reference describes, each of them once."""
    pages = sorted(ROOT.glob("docs/reference/*.md"))
    page = "\n".join(each.read_text(encoding="utf-8") for each in pages)
    described = re.findall(rf"^::: {module}\.(\w+)$", page, re.MULTILINE)
    assert len(described) == len(set(described))
    return set(described)


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        pytest.param("Timeout(connect=-1)", ValueError, id="value"),
        pytest.param("await zai.models.list(colour=1)", TypeError, id="unknown"),
        pytest.param("await zai.videos.submit()", TypeError, id="missing"),
        pytest.param("await IMAGE.download('no/such/folder/file')", OSError, id="file"),
    ],
)
async def test_page_about_errors_tells_what_is_not_in_the_tree(run, mistake, error):
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert f"`{error.__name__}`" in page.partition("Not in the tree")[2].partition("##")[0]
    image = "(await zai.images.generate(model='glm-image', prompt='sea'))"
    with pytest.raises(error) as caught:
        await run(f"from zai_async import Timeout\n{mistake.replace('IMAGE', image)}")
    assert not isinstance(caught.value, ZaiError)


def test_reference_has_every_public_name():
    names = {name for name in zai_async.__all__ if not name.endswith("__")}
    assert in_reference("zai_async") == names


def test_reference_has_every_group_of_operations():
    described = in_reference("zai_async.resources")
    assert {group.__name__ for group in get_type_hints(Resources).values()} <= described
    assert described == set(resources.__all__)


def test_reference_has_every_part_of_an_answer():
    structs = {
        name
        for name in models.__all__
        if isinstance(kind := getattr(models, name), type) and issubclass(kind, Struct)
    }
    missing = structs - set(zai_async.__all__) - in_reference("zai_async.models")
    if os.environ.get("UPDATE_DOCS"):
        for name in sorted(missing):
            page = page_of(getattr(models, name))
            text = page.read_text("utf-8").rstrip()
            page.write_text(f"{text}\n\n::: zai_async.models.{name}\n", "utf-8")
        missing = structs - set(zai_async.__all__) - in_reference("zai_async.models")
    assert not missing, "UPDATE_DOCS=1 brings it up to date"


def page_of(kind):
    """Return the page of the reference that describes most structs of the same module."""
    siblings = [
        name
        for name in models.__all__
        if getattr(getattr(models, name), "__module__", "") == kind.__module__
    ]
    pages = sorted(ROOT.glob("docs/reference/*.md"))
    return max(
        pages,
        key=lambda page: sum(f"models.{name}\n" in page.read_text("utf-8") for name in siblings),
    )


def test_reference_has_every_name_for_web_backends():
    assert in_reference("zai_async.web") == set(web.__all__)


@pytest.mark.parametrize("module", [batch, ray])
def test_reference_has_every_name_for_many_rows(module):
    assert in_reference(module.__name__) == set(module.__all__)


def test_reference_has_every_stream():
    names = {name for name in streams.__all__ if name[0].isupper()} - set(zai_async.__all__)
    assert in_reference("zai_async.streams") == names


def navigation():
    settings = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))

    def pages(entries):
        for entry in entries:
            for page in entry.values():
                yield from pages(page) if isinstance(page, list) else [page]

    return list(pages(settings["project"]["nav"]))


def test_navigation_leads_to_every_page():
    pages = navigation()
    assert len(pages) == len(set(pages))
    assert set(pages) == {
        f"{page.relative_to(ROOT / 'docs')}" for page in ROOT.glob("docs/**/*.md")
    }


@pytest.mark.parametrize(
    ("page", "folder", "about"),
    [
        ("README.md", "docs/", ""),
        ("docs/index.md", "", ""),
        ("docs/reference/index.md", "", "reference/"),
        ("docs/integrations.md", "integrations/", "integrations/"),
    ],
)
def test_page_links_to_every_other(page, folder, about):
    links = PAGE_LINK.findall(text_of(page))
    others = {
        f"{folder}{each.removeprefix(about)}"
        for each in navigation()
        if each[: each.rfind("/") + 1] == about and not each.endswith("index.md")
    }
    assert others
    assert others <= set(links)


# The extra, what is imported and the example of each page about an integration.
INTEGRATIONS = {
    "any-llm": ("any-llm", "zai_async.integrations.any_llm", "any_llm_agent"),
    "langchain": ("langchain", "zai_async.integrations.langchain", "langchain_agent"),
    "litellm": ("litellm", "zai_async.integrations.litellm", "litellm_agent"),
    "mcp": ("mcp", "zai_async.integrations.mcp_server", "mcp_server"),
    "mcp-tools": ("mcp", "zai_async.integrations.mcp_client", "mcp_tools"),
    "opentelemetry": ("otel", "zai_async.integrations.otel", "opentelemetry_console"),
    "pydantic-ai": ("pydantic-ai", "zai_async.integrations.pydantic_ai", "pydantic_ai_agent"),
    "ray": ("ray", "zai_async.integrations.ray", "ray_dataset"),
    "sync": (None, "zai_async.sync", "sync_client"),
}


def test_each_page_about_an_integration_has_the_same_parts():
    pages = {page.stem: page.read_text("utf-8") for page in ROOT.glob("docs/integrations/*.md")}
    assert pages.keys() == INTEGRATIONS.keys()
    for name, (extra, module, example) in INTEGRATIONS.items():
        page = pages[name]
        install = f'\n    pip install "zai-async[{extra}]"\n' if extra else "It needs no extra."
        said = re.search(r"^#+ What is supported$|^## (?!What is not)", page, re.MULTILINE)
        for part in (install, f"from {module} import", f"examples/{example}.py"):
            assert part in page, (name, part)
        assert said, name
        assert "\n## What is not supported\n" in page, name
        assert "--emulate" in (ROOT / f"examples/{example}.py").read_text("utf-8")


def test_each_integration_has_a_page():
    found = {path.stem for path in ROOT.glob("zai_async/integrations/*.py")}
    named = {module.rpartition(".")[2] for _, module, _ in INTEGRATIONS.values()}
    parts = {"__init__", "mcp_tools", "openai_keywords"}  # of others, as those named after them
    assert not [
        name for name in found - named - parts if not any(name.startswith(f"{n}_") for n in named)
    ]


def test_readme_is_short():
    assert len(text_of("README.md").splitlines()) < 200


def test_page_about_testing_names_every_fault():
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    faults = page.partition("## Faults")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)=", faults))
    assert named == set(inspect.signature(Fault).parameters)


def names_of(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_page_about_testing_names_every_script():
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    served = {"routes", "admit", "leave", "usage"}  # for the emulator's own use
    emulator = Emulator()
    scripts = names_of(emulator.account) - served | {"polls", "script", "transcribe", "envelope"}
    keywords = inspect.signature(emulator.chat.reply).parameters
    for name in names_of(emulator) | scripts | {*keywords}:
        assert re.search(rf"\b{name}\b", page), name


def test_picture_of_a_terminal_is_up_to_date():
    pytest.importorskip("pty")  # Windows has none
    spec = spec_from_file_location("terminal", ROOT / "docs/assets/terminal.py")
    terminal = module_from_spec(spec)
    spec.loader.exec_module(terminal)
    drawn = terminal.draw(terminal.shown())
    assert terminal.PICTURE.read_text(encoding="utf-8") == drawn, "run docs/assets/terminal.py"
