import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import zai_async
from zai_async import AsyncZai, errors, models, session, streams, testing

ROOT = Path(__file__).parents[1]
MODULES = [errors, models, session, streams]
NAMES = {name: getattr(zai_async, name) for name in zai_async.__all__}

# Each line with a comment is wrong in the way that the comment names.
MISUSES = """
from zai_async import AsyncZai, CallOptions

async def misuse(zai: AsyncZai) -> None:
    await zai.chat.completions.create(model="m", messages="Hi")
    await zai.chat.completions.create(messages="Hi")  # call-overload
    await zai.chat.completions.create(model="m")  # call-overload
    await zai.chat.completions.create(model="m", messages="Hi", temprature=1)  # call-overload
    await zai.chat.completions.create(model="m", messages="Hi", temperature="1")  # call-overload
    zai.chat.completions.stream(messages="Hi")  # call-arg
    zai.chat.completions.stream(model="m", messages="Hi", max_token=1)  # call-arg
    zai.chat.completions.stream(model="m", messages="Hi", thinking=True)  # arg-type
    zai.chat.completions.stream("m", "Hi")  # arg-type
    zai.with_options(timeouts=1)  # call-arg
    AsyncZai("key")  # call-arg
    AsyncZai(apikey="key")  # call-arg
    CallOptions(on_restart="ignore")  # arg-type
    zai.chat.completions.create(model="m", messages="Hi")  # unused-coroutine
    answer = await zai.chat.completions.create(model="m", messages="Hi", stream=True)
    answer.choices  # attr-defined
"""


def public(module):
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_a_module_exports_is_all_it_holds(module):
    assert len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) - {"__version__"} == public(module)


@pytest.mark.parametrize("name", testing.__all__)
def test_the_test_room_imports_late_what_it_exports(name):
    assert hasattr(testing, name)
    assert name in testing._HOMES


def test_the_test_room_has_nothing_else():
    with pytest.raises(AttributeError, match=r"'zai_async\.testing' has no attribute 'Emulater'"):
        testing.Emulater  # noqa: B018


def imported_for_type_checkers(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return [alias.name for node in block.body for alias in node.names]


def test_type_checkers_see_what_there_is():
    assert sorted(imported_for_type_checkers(zai_async)) == sorted(set(NAMES) - {"__version__"})


def test_the_package_has_nothing_else():
    with pytest.raises(AttributeError, match="'zai_async' has no attribute 'AsyncZia'"):
        zai_async.AsyncZia  # noqa: B018


def test_the_package_lists_names_that_are_not_loaded_yet():
    program = "import zai_async; print(*dir(zai_async))"
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert set(output.split()) >= set(NAMES)


def test_importing_the_package_loads_no_client():
    program = "import sys, zai_async; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert "zai_async" in loaded
    assert loaded.isdisjoint({"anyio", "asyncio", "msgspec", "zai_async.client"})


CLIENT = "import sys, zai_async; zai = zai_async.AsyncZai(api_key='id.secret'); "
ENTER = """
import asyncio
async def enter():
    async with zai:
        print(*sys.modules)
asyncio.run(enter())
"""
NETWORK = {"aiohttp", "anyio._backends._asyncio", "zai_async._transport._direct"}


def modules_of(program):
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())


def test_a_client_loads_nothing_of_the_network():
    loaded = modules_of(CLIENT + "print(*sys.modules)") - modules_of(
        "import sys; print(*sys.modules)"
    )
    # aiohttp reads the certificates of the system when it is imported.
    assert loaded.isdisjoint({*NETWORK, "email.message", "http.client", "urllib.request", "yarl"})
    others = {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names}
    # Modules are counted as their number repeats and milliseconds do not: 178 when this was set.
    assert len(others) <= 190


def test_entering_a_client_loads_the_network():
    assert modules_of(CLIENT + ENTER) >= NETWORK


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_ours_and_described(name):
    value = NAMES[name]
    if isinstance(value, type):
        assert value.__module__.partition(".")[0] == "zai_async"
        assert vars(value)["__doc__"].strip()


@pytest.mark.parametrize(
    "cls",
    [value for value in NAMES.values() if isinstance(value, type)],
    ids=lambda cls: cls.__name__,
)
def test_public_methods_are_described(cls):
    members = {name: value for name, value in vars(cls).items() if not name.startswith("_")}
    functions = {
        name: value
        for name, value in members.items()
        if callable(value) or isinstance(value, property)
    }
    overloaded = {"parse"}  # described once, at the implementation
    assert [name for name, f in functions.items() if not f.__doc__ and name not in overloaded] == []


def test_the_version_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", zai_async.__version__)


def test_the_package_is_typed():
    assert (Path(zai_async.__file__).parent / "py.typed").is_file()


def test_nothing_but_names_comes_with_a_star():
    names: dict[str, object] = {}
    exec("from zai_async import *", names)
    assert names.keys() - {"__builtins__"} == set(zai_async.__all__)


def test_a_client_shows_no_key():
    client = AsyncZai(api_key="0123456789.CanaryCanary", proxy="http://me:CanaryCanary@localhost:1")
    shown = repr(client) + repr(vars(client)) + repr(client._manager.settings)
    assert "Canary" not in shown
    assert repr(client) == "AsyncZai(provider='zai', base_url='https://api.z.ai/api')"


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy belongs to the group lint")
def test_type_checkers_see_misuse(tmp_path):
    path = tmp_path / "misuse.py"
    path.write_text(MISUSES, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-pretty", str(path)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = {
        int(n): code for n, code in re.findall(r"misuse\.py:(\d+): error: .*\[([\w-]+)\]", output)
    }
    lines = enumerate(MISUSES.splitlines(), 1)
    expected = {n: line.partition("# ")[2] for n, line in lines if "# " in line}
    assert found == expected, output


def test_extras_resolve_together():
    """The lock is one resolution of all of them, for every version of Python that is supported."""
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (own,) = (each for each in locked["package"] if each["name"] == "zai-async")
    assert locked["requires-python"] == project["requires-python"]
    assert own["optional-dependencies"].keys() == project["optional-dependencies"].keys()
    versions = Counter(each["name"] for each in locked["package"])
    for extra, needed in own["optional-dependencies"].items():
        assert needed, extra
        assert all(versions[each["name"]] == 1 for each in needed), extra


def test_extra_of_all_names_every_other():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(project)["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert everything == f"zai-async[{','.join(sorted(extras))}]"
