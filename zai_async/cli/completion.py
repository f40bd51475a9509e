"""``zai completion``: scripts that let a shell complete commands, actions, options and choices."""

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import msgspec

from zai_async.cli.commands import COMMANDS, MODULE_OF, main_parser
from zai_async.cli.terminal import Terminal

__all__ = ["completion_parser", "run_completion"]

_DESCRIPTION: Final = """\
Print what lets a shell complete the words of `zai`:

  bash  eval "$(zai completion bash)" in ~/.bashrc
  zsh   eval "$(zai completion zsh)" in ~/.zshrc, after compinit
  fish  zai completion fish > ~/.config/fish/completions/zai.fish
"""


class CompletedOption(msgspec.Struct, frozen=True):
    """An option as a shell completes it."""

    names: tuple[str, ...]
    summary: str
    choices: tuple[str, ...]
    takes_value: bool


class CompletedCommand(msgspec.Struct, frozen=True):
    """A command, or an action of one, as a shell completes it."""

    words: tuple[str, ...]
    """As they are typed: ``("files", "upload")``; none for ``zai`` itself."""
    summaries: Mapping[str, str]
    """What may come next, and what it does."""
    options: tuple[CompletedOption, ...]


def completion_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai completion``."""
    parser = argparse.ArgumentParser(
        prog="zai completion",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=tuple(_SCRIPTS), help="which shell")
    return parser


def run_completion(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the script for a shell."""
    arguments = completion_parser().parse_args(argv)
    terminal.data(_SCRIPTS[arguments.shell](list(commands())))
    return 0


def commands() -> Iterator[CompletedCommand]:
    """Yield what can be typed after ``zai``, from the parsers that also read it."""
    # Parsers are made for all commands here, which loads everything; nobody waits for a script
    # that is printed once.
    yield CompletedCommand((), COMMANDS, options_of(main_parser()))
    for name in COMMANDS:
        module = import_module(f"zai_async.cli.{MODULE_OF[name]}")
        yield from described((name,), getattr(module, f"{name}_parser")())


def described(
    words: tuple[str, ...], parser: argparse.ArgumentParser
) -> Iterator[CompletedCommand]:
    """Yield a command and its actions."""
    parsers: dict[str, argparse.ArgumentParser] = {}
    summaries: dict[str, str] = {}
    for action in actions_of(parser):
        if action.option_strings:
            continue
        if action.nargs == argparse.PARSER:
            # The actions of a command, each with a parser of its own.
            parsers = dict(action.choices)
            summaries = {name: each.description or "" for name, each in parsers.items()}
        else:
            summaries |= dict.fromkeys(map(str, action.choices or ()), "")
    yield CompletedCommand(words, summaries, options_of(parser))
    for name, each in parsers.items():
        yield from described((*words, name), each)


def actions_of(parser: argparse.ArgumentParser) -> list[Any]:
    """Return what a parser knows; argparse has no public list of it."""
    return list(vars(parser)["_actions"])


def options_of(parser: argparse.ArgumentParser) -> tuple[CompletedOption, ...]:
    """Return the options of a parser."""
    return tuple(
        CompletedOption(
            names=tuple(action.option_strings),
            summary=(action.help or "").replace("%%", "%"),
            choices=tuple(map(str, action.choices or ())),
            takes_value=action.nargs != 0,
        )
        for action in actions_of(parser)
        if action.option_strings
    )


def bash(known: Sequence[CompletedCommand]) -> str:
    """Return the script for bash 3.2 and later."""
    # Options that take a value come first: a case of the command would match them as well.
    cases: list[str] = []
    for command in known:
        path = " ".join(command.words)
        for option in command.options:
            if option.takes_value:
                pattern = "|".join(f'"{path}:{name}"' for name in option.names)
                cases.append(f"    {pattern}) words={shlex.quote(' '.join(option.choices))} ;;")
        names = " ".join(name for option in command.options for name in option.names)
        following = " ".join(command.summaries)
        cases.append(
            f'    "{path}:"*) words={shlex.quote(following)} options={shlex.quote(names)} ;;'
        )
    return _BASH.replace("@CASES@", "\n".join(cases)).replace("@PATHS@", paths_of(known))


def zsh(known: Sequence[CompletedCommand]) -> str:
    """Return the script for zsh."""
    # zsh reads the completions of bash; one script less that could tell something else.
    return f"autoload -Uz bashcompinit && bashcompinit\n{bash(known)}"


def fish(known: Sequence[CompletedCommand]) -> str:
    """Return the script for fish 3 and later."""
    lines: list[str] = []
    for command in known:
        path = " ".join(command.words)
        at = f"complete -c zai -n {shlex.quote(f'__zai_at {shlex.quote(path)}')}"
        for name, summary in command.summaries.items():
            lines.append(f"{at} -f -a {name} -d {shlex.quote(summary)}")
        for option in command.options:
            words = [at, *(flag_of(name) for name in option.names)]
            # -x takes one of these and no file, -r takes anything, files too.
            if option.choices:
                words.append(f"-x -a {shlex.quote(' '.join(option.choices))}")
            elif option.takes_value:
                words.append("-r")
            lines.append(" ".join([*words, "-d", shlex.quote(option.summary)]))
    return _FISH.replace("@PATHS@", paths_of(known)) + "\n".join(lines) + "\n"


def flag_of(name: str) -> str:
    """Return an option as fish's ``complete`` takes it."""
    return f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"


def paths_of(known: Sequence[CompletedCommand]) -> str:
    """Return the commands and actions as the words of a shell's list."""
    return " ".join(shlex.quote(" ".join(command.words)) for command in known if command.words)


# The deepest command that the words before the cursor name decides what may come next; options and
# texts between them name none. With no words, as after an option that takes a path, bash falls back
# on the names of files.
_BASH: Final = """\
_zai() {
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"
  local path="" words="" options="" word known
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    for known in @PATHS@; do
      if [[ "${path:+$path }$word" == "$known" ]]; then path="$known"; break; fi
    done
  done
  case "$path:$prev" in
@CASES@
  esac
  if [[ "$cur" == -* ]]; then words="$options"; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _zai zai
"""
_FISH: Final = """\
function __zai_at
  set -l path ""
  for word in (commandline -opc)[2..-1]
    for known in @PATHS@
      if test (string trim -- "$path $word") = "$known"
        set path "$known"
        break
      end
    end
  end
  test "$path" = "$argv[1]"
end
"""
_SCRIPTS: Final = {"bash": bash, "fish": fish, "zsh": zsh}
