"""`pip install zai-async[all]` from a registry, for every version of Python: `make test-extras`.

Where an interpreter is at hand all of it is installed into an environment of its own and used; for
the others pip tells what it would install.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = [
    pytest.mark.extras,
    pytest.mark.timeout(550),
    pytest.mark.usefixtures("children_unmeasured"),
]
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"].keys() - {"all"}
VERSIONS = [
    each.rpartition(" ")[2]
    for each in PROJECT["classifiers"]
    if each.startswith("Programming Language :: Python :: 3.")
]


def interpreter(version):
    """Return what runs, of those on the path and those that pyenv keeps to itself."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *kept.glob(f"{version}.*/bin/python{version}")]
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for each in filter(None, found):
        said = subprocess.run([each, "-c", code], capture_output=True, text=True, check=False)
        if said.stdout.strip() == version:
            return each
    return None


def pip(python, *words, **options):
    return subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", *words], check=True, **options
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.parametrize("version", VERSIONS)
def test_all_extras_are_installed_and_work(version, wheel, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version}")
    subprocess.run([python, "-m", "venv", tmp_path / "own"], check=True)
    python = tmp_path / "own" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip(python, "install", "--quiet", f"{wheel}[all]")
    pip(python, "check")
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = ROOT / "tests/extras_work.py"
    told = subprocess.check_output([python, program], cwd=tmp_path, env=outside, text=True)
    names = {line.partition(" ")[0].replace("_", "-") for line in told.splitlines()}
    assert names >= EXTRAS


def needed(version):
    """Return the requirements of everything; pip looks at the markers of its own interpreter."""
    everything = [*PROJECT["dependencies"]]
    for extra in EXTRAS:
        everything += PROJECT["optional-dependencies"][extra]
    for each in map(Requirement, everything):
        if each.marker is None or each.marker.evaluate({"python_version": version}):
            each.marker = None
            yield each


@pytest.mark.parametrize("version", VERSIONS)
def test_all_extras_resolve(version, tmp_path):
    wanted = [*needed(version)]
    words = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    # Of what has no wheel for this version nobody knows whether it can be built.
    own = ["--python-version", version, "--only-binary", ":all:", "--target", tmp_path]
    told = pip(sys.executable, *words, *own, *map(str, wanted), stdout=subprocess.PIPE).stdout
    found = {canonicalize_name(each["metadata"]["name"]) for each in json.loads(told)["install"]}
    assert found >= {canonicalize_name(each.name) for each in wanted}
