"""``zai completion``: what the shells themselves make of the scripts."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from zai_async.cli import main
from zai_async.cli.commands import COMMANDS

# Sources the script and asks for what can follow a line.
BASH = """\
source "$1"
COMP_WORDS=($2); [[ "$2" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_zai
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """\
autoload -Uz compinit && compinit -u -D
source "$1"
compgen -W "a b" >/dev/null
whence -w _zai
"""
FISH = 'source "$argv[1]"; complete -C "$argv[2]"'


@pytest.fixture
def script(capsys, tmp_path):
    def script(shell):
        assert main(["completion", shell]) == 0
        path = tmp_path / f"zai.{shell}"
        path.write_text(capsys.readouterr().out)
        return str(path)

    return script


def ask(shell, program, *arguments):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    # A shell that reads no start-up files says the same on every machine.
    quiet = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    words = [shell, *quiet, "-c", program]
    words += arguments if shell == "fish" else ["-", *arguments]
    return subprocess.check_output(words, text=True).splitlines()


COMPLETIONS = pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zai ", set(COMMANDS)),
        ("zai ch", {"chat", "check"}),
        ("zai chat --max", {"--max-tokens"}),
        ("zai chat --provider lowcode", {"lowcodeapi", "lowcodeapi-coding"}),
        ("zai chat --system chat -", {"--attach", "-x"}),
        ("zai files ", {"upload", "list", "content", "delete"}),
        ("zai files -v upload --p", {"--purpose", "--provider", "--pace"}),
        ("zai keys set --pro", {"--provider"}),
        ("zai task wait --kind ", {"agent", "video"}),
        ("zai search --recency ", {"day", "week", "month", "year"}),
        ("zai completion ", {"bash", "zsh", "fish"}),
    ],
)


@COMPLETIONS
def test_bash(script, line, expected):
    found = set(ask("bash", BASH, script("bash"), line))
    assert expected <= found
    assert all(word.startswith(line.rpartition(" ")[2]) for word in found)


def test_bash_leaves_paths_to_the_shell(script):
    assert ask("bash", BASH, script("bash"), "zai chat --attach ") == [""]
    assert ask("bash", BASH, script("bash"), "zai transcribe ") == [""]


@COMPLETIONS
def test_fish(script, line, expected):
    found = {each.partition("\t")[0] for each in ask("fish", FISH, script("fish"), line)}
    assert expected <= found


def test_fish_explains(script):
    lines = ask("fish", FISH, script("fish"), "zai fil")
    assert lines == ["files\tupload, list, fetch and delete files"]


def test_zsh_takes_the_script(script):
    assert ask("zsh", ZSH, script("zsh")) == ["_zai: function"]


def test_unknown_shell_is_a_usage_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["completion", "csh"])
    assert "csh" in capsys.readouterr().err
