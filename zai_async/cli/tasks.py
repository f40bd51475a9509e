"""Tasks that are waited for, and what they lead to; ``zai task`` comes back to one."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from zai_async import AsyncZai
from zai_async.cli.arguments import text
from zai_async.cli.connection import Act, Actions, Connection, add_options, connect
from zai_async.cli.output import Output, Progress, add_output
from zai_async.cli.terminal import Terminal
from zai_async.errors import ResponseError, ZaiError
from zai_async.models import AgentReply, Batch, ChatResult, ImagesResponse, ParsedFile, Reply
from zai_async.tasks import Task

__all__ = ["OUT", "add_wait", "finish", "hand_over", "run_task", "wait"]

R = TypeVar("R", bound=Reply)

OUT: Final = "a file or directory to download to; without it the address is printed"


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add the choice not to wait for a task."""
    group = parser.add_argument_group("task")
    group.add_argument(
        "--no-wait",
        dest="wait",
        action="store_false",
        help="print the id of the task instead of its result",
    )


def finish(
    task: Task[R],
    arguments: argparse.Namespace,
    connection: Connection,
    terminal: Terminal,
    kind: str,
) -> None:
    """Wait for a task that was submitted and hand over its result, or only its id.

    Raises:
        ZaiError: The task failed, or cannot be waited for.
        KeyboardInterrupt: The person does not want to wait; the task goes on.
    """
    if arguments.wait:
        result = wait(task, arguments, connection, terminal, kind)
        hand_over(result, arguments, connection, terminal)
        return
    Output(arguments, terminal).answer({"id": task.id, "kind": kind}, task.id)
    if not arguments.quiet:
        terminal.note(f"zai: to come back: {_way_back(task, arguments, kind)}")


def wait(
    task: Task[R],
    arguments: argparse.Namespace,
    connection: Connection,
    terminal: Terminal,
    kind: str,
) -> R:
    """Wait for a task until the deadline; whoever stops waiting is told how to come back.

    Raises:
        ZaiError: The task failed, or cannot be waited for.
        KeyboardInterrupt: The person does not want to wait; the task goes on.
    """
    progress = Progress(terminal, quiet=arguments.quiet)
    try:
        return connection.run(_wait(task, connection.remaining, progress, kind))
    except (KeyboardInterrupt, ZaiError) as error:
        if not task.done:
            error.add_note(f"the task goes on; to come back: {_way_back(task, arguments, kind)}")
        raise


async def _wait(task: Task[R], timeout: float | None, progress: Progress, kind: str) -> R:  # noqa: ASYNC109
    if task.done:
        return task.result()

    def describe() -> str:
        return f"{kind} {task.id}: {task.status or 'submitted'}"

    async with progress.waiting(describe) as show:
        return await task.wait(timeout, lambda _: show())


def _way_back(task: Task[R], arguments: argparse.Namespace, kind: str) -> str:
    words = ["zai task wait", task.id, "--kind", kind]
    if getattr(arguments, "agent", None):
        words += ["--agent", arguments.agent]
    if arguments.provider != "zai":
        words += ["--provider", arguments.provider]
    return " ".join(words)


def hand_over(
    answer: Reply, arguments: argparse.Namespace, connection: Connection, terminal: Terminal
) -> None:
    """Print the text of a result and the addresses of its files; with --out both go there.

    Raises:
        ZaiError: A file cannot be fetched, or there is none where nothing else is wanted.
        OSError: A file cannot be written.
    """
    urls: Sequence[str] = getattr(answer, "urls", ())
    if not urls:
        _require_image(answer)
        Output(arguments, terminal, arguments.out).answer(answer, _text(answer))
        return
    progress = Progress(terminal, quiet=arguments.quiet)
    places = urls if arguments.out is None else _fetch(urls, arguments.out, connection, progress)
    Output(arguments, terminal).answer(answer, "\n".join(filter(None, (_text(answer), *places))))


def _require_image(answer: Reply) -> None:
    if isinstance(answer, ImagesResponse):
        raise ResponseError("the answer holds no image", request_id=answer.request_id)


def _text(answer: Reply) -> str:
    match answer:
        case AgentReply() | ChatResult() | ParsedFile():
            return answer.text
        case Batch():
            return "\n".join(filter(None, (answer.output_file_id, answer.error_file_id)))
        case _:
            return ""


def _fetch(urls: Sequence[str], out: str, connection: Connection, progress: Progress) -> list[str]:
    return [
        _download(url, _target(out, number), connection, progress)
        for number, url in enumerate(urls, 1)
    ]


def _target(out: str, number: int) -> str:
    """Number the files after the first, unless they have names of their own in a directory."""
    path = Path(out)
    if number == 1 or out.endswith(("/", os.sep)) or path.is_dir():
        return out
    return str(path.with_stem(f"{path.stem}-{number}"))


def _download(url: str, to: str, connection: Connection, progress: Progress) -> str:
    work = connection.zai.download(url, to, on_progress=progress.transfer("download"))
    try:
        return str(connection.run(work))
    except (KeyboardInterrupt, OSError, ZaiError) as error:
        error.add_note(f"the file lies at {url}")
        raise


_KINDS: Final[dict[str, Callable[[AsyncZai, str], Task[Any]]]] = {
    "batch": lambda zai, name: zai.batches.task(name),
    "chat": lambda zai, name: zai.chat.completions.task(name),
    "file": lambda zai, name: zai.file_parser.task(name),
    "image": lambda zai, name: zai.images.task(name),
    "video": lambda zai, name: zai.videos.task(name),
}


def run_task(argv: Sequence[str], terminal: Terminal) -> int:
    """Ask about a task, or wait for it."""
    parser = _task_parser()
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


def _wait_again(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    task = _task(connection.zai, arguments)
    result = wait(task, arguments, connection, terminal, arguments.kind)
    hand_over(result, arguments, connection, terminal)


def _task_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai task", description="Come back to a task.")
    actions = Actions(parser)
    _add_action(actions, "show", _show, "print how far a task is, as the platform says it")
    _add_action(actions, "wait", _wait_again, "wait for a task and print its result", OUT)
    return parser


def _add_action(
    actions: Actions, name: str, act: Act, summary: str, out: str | None = None
) -> None:
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
