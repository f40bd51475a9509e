"""``zai task``: work that was submitted before."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final

from zai_async import AsyncZai, Task
from zai_async.cli.actions import Act, Actions
from zai_async.cli.arguments import text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import Output, add_output
from zai_async.cli.results import OUT, hand_over, wait
from zai_async.cli.terminal import Terminal

__all__ = ["run"]

_KINDS: Final[dict[str, Callable[[AsyncZai, str], Task[Any]]]] = {
    "batch": lambda zai, name: zai.batches.task(name),
    "chat": lambda zai, name: zai.chat.completions.task(name),
    "file": lambda zai, name: zai.file_parser.task(name),
    "image": lambda zai, name: zai.images.task(name),
    "video": lambda zai, name: zai.videos.task(name),
}


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Ask about a task, or wait for it."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.kind == "agent" and not arguments.agent:
        parser.error("an agent's task needs --agent too")
    with connect(arguments, terminal) as connection:
        arguments.act(arguments, connection, terminal)
    return 0


def _task(zai: AsyncZai, arguments: argparse.Namespace) -> Task[Any]:
    if arguments.kind == "agent":
        return zai.agents.task(agent_id=arguments.agent, async_id=text(arguments.id))
    return _KINDS[arguments.kind](zai, arguments.id)


def _show(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    task = _task(connection.zai, arguments)
    answer = connection.run(task.fetch())
    Output(arguments, terminal).answer(answer, task.status)


def _wait(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    task = _task(connection.zai, arguments)
    result = wait(task, arguments, connection, terminal, arguments.kind)
    hand_over(result, arguments, connection, terminal)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai task", description="Come back to a task.")
    actions = Actions(parser)
    _add(actions, "show", _show, "print how far a task is, as the platform says it")
    _add(actions, "wait", _wait, "wait for a task and print its result", OUT)
    return parser


def _add(actions: Actions, name: str, act: Act, summary: str, out: str | None = None) -> None:
    parser = actions.add(name, act, summary)
    parser.add_argument("id", metavar="ID", help="as it was printed when the task was submitted")
    parser.add_argument(
        "--kind", choices=("agent", *_KINDS), required=True, help="what the task makes"
    )
    parser.add_argument(
        "--agent", type=text, metavar="AGENT", help="whose task it is, for --kind agent"
    )
    add_output(parser, out)
    add_options(parser)
