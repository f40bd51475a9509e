"""Waiting for tasks and handing over their results; ``zai task`` comes back to a task."""

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from zai_async import AsyncZai
from zai_async.cli.arguments import Actions, place, text
from zai_async.cli.connection import Invocation, add_options, connect
from zai_async.cli.output import Progress, add_output
from zai_async.cli.terminal import Terminal
from zai_async.errors import DeadlineError, ZaiError
from zai_async.models import AgentReply, Batch, ChatResult, ParsedFile, Reply
from zai_async.retry import RetryPolicy
from zai_async.tasks import Task

__all__ = ["OUT", "add_wait", "finish", "hand_over", "run_task", "task_parser", "wait"]

R = TypeVar("R", bound=Reply)

OUT: Final = "a file or directory to download to; without it the address is printed"


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add --no-wait."""
    group = parser.add_argument_group("task")
    group.add_argument(
        "--no-wait",
        dest="wait",
        action="store_false",
        help="print the id of the task instead of its result",
    )


def finish(task: Task[R], call: Invocation, kind: str) -> None:
    """Wait for a task that was submitted and hand over its result; with --no-wait only its id.

    Raises:
        ZaiError: The task failed, or waiting for it failed.
        KeyboardInterrupt: The person stopped waiting; the task goes on.
    """
    if call.arguments.wait:
        hand_over(wait(task, call, kind), call)
        return
    call.answer({"id": task.id, "kind": kind}, task.id)
    if not call.quiet:
        call.terminal.note(f"zai: {how_to_come_back(task, call, kind)}")


def wait(task: Task[R], call: Invocation, kind: str) -> R:
    """Wait for a task until the deadline; an error says how to come back to it.

    Raises:
        ZaiError: The task failed, or waiting for it failed.
        KeyboardInterrupt: The person stopped waiting; the task goes on.
    """
    progress = call.progress()

    async def done() -> R:
        if task.done:
            return task.result()
        # The states come from polls; the seconds in between from the progress.
        async with progress.waiting(lambda: f"{kind} {task.id}: {task.status or 'submitted'}") as (
            show
        ):
            return await task.wait(call.remaining, lambda _: show())

    try:
        return call.run(done())
    except (KeyboardInterrupt, ZaiError) as error:
        if not task.done:
            goes_on = "" if call.arguments.emulate else "the task goes on; "
            error.add_note(f"{goes_on}{how_to_come_back(task, call, kind)}")
        raise


def how_to_come_back(task: Task[Any], call: Invocation, kind: str) -> str:
    """Say with which command a task is waited for that this one leaves."""
    arguments = call.arguments
    if arguments.emulate:
        # Its emulator ends with this command, and with it the task.
        return "the emulated task ends with this command; `zai emulator` serves one that stays"
    words = ["zai", "task", "wait", task.id, "--kind", kind]
    if getattr(arguments, "agent", None):
        words += ["--agent", arguments.agent]
    if arguments.provider != "zai":
        words += ["--provider", arguments.provider]
    if arguments.base_url is not None:
        words += ["--base-url", arguments.base_url]
    # Quoted for a shell: an id is what the platform sent.
    return f"to come back: {shlex.join(words)}"


def hand_over(answer: Reply, call: Invocation) -> None:
    """Print the text of a result and the addresses of its files; with --out both go there.

    Raises:
        ZaiError: A file cannot be fetched.
        OSError: A file cannot be written.
    """
    out: str | None = call.arguments.out
    match answer:
        case AgentReply() | ChatResult() | ParsedFile():
            said = answer.text
        case Batch():
            said = "\n".join(filter(None, (answer.output_file_id, answer.error_file_id)))
        case _:
            said = ""
    # Videos, images, slides and the like, whatever the field of their answer is called.
    urls: Sequence[str] = getattr(answer, "urls", ())

    if not urls:
        # Not an image or a video: without its file none of these is an answer at all.
        call.answer(answer, said, out)
        return

    places = urls
    if out is not None:
        progress = call.progress()
        places = [
            download(url, numbered(out, number), call, progress)
            for number, url in enumerate(urls, 1)
        ]
    call.answer(answer, "\n".join(filter(None, (said, *places))))


def numbered(out: str, number: int) -> str:
    """Number the files after the first, unless a directory gives each its own name."""
    path = Path(out)
    if number == 1 or out.endswith(("/", os.sep)) or path.is_dir():
        return out
    return str(path.with_stem(f"{path.stem}-{number}"))


def download(url: str, to: str, call: Invocation, progress: Progress) -> str:
    """Download a file and return its path; an error says where the file can be had.

    Raises:
        ZaiError: It cannot be fetched, or not before the deadline.
        OSError: It cannot be written.
    """
    zai, left = call.zai, call.remaining
    if left is not None:
        # A wait for another try that does not fit does not begin.
        most = min(left, RetryPolicy().longest_retry_after)
        zai = zai.with_options(retry=RetryPolicy(budget=most, longest_retry_after=most))

    async def fetched() -> Path:
        with anyio.move_on_after(left):
            return await zai.download(url, to, on_progress=progress.transfer("download"))
        raise DeadlineError(f"the deadline of {call.options.deadline:g} s has passed")

    try:
        return str(call.run(fetched()))
    except (KeyboardInterrupt, OSError, ZaiError) as error:
        # It was paid for, so it must not be lost with this process.
        error.add_note(f"the file lies at {url}")
        raise


_KINDS: Final[dict[str, Callable[[AsyncZai, str], Task[Any]]]] = {
    "batch": lambda zai, name: zai.batches.task(name),
    "chat": lambda zai, name: zai.chat.completions.task(name),
    "file": lambda zai, name: zai.file_parser.task(name),
    "image": lambda zai, name: zai.images.task(name),
    "video": lambda zai, name: zai.videos.task(name),
}


def task_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai task``."""
    parser = argparse.ArgumentParser(prog="zai task", description="Come back to a task.")
    actions = Actions(parser)
    show = actions.add("show", show_task, "print how far a task is, as the platform says it")
    again = actions.add("wait", wait_again, "wait for a task and print its result")
    for each, out in ((show, None), (again, OUT)):
        each.add_argument("id", metavar="ID", help="as it was printed when the task was submitted")
        each.add_argument(
            "--kind", choices=("agent", *_KINDS), required=True, help="what the task makes"
        )
        each.add_argument(
            "--agent", type=text, metavar="AGENT", help="whose task it is, for --kind agent"
        )
        add_output(each, out, accept=place)
        add_options(each)
    return parser


def run_task(argv: Sequence[str], terminal: Terminal) -> int:
    """Ask about a task, or wait for it."""
    parser = task_parser()
    arguments = parser.parse_args(argv)
    # The platform asks for the agent's name again; argparse cannot require one option for another.
    if arguments.kind == "agent" and not arguments.agent:
        parser.error("an agent's task needs --agent too")
    with connect(arguments, terminal) as call:
        arguments.action(call)
    return 0


def reattach(call: Invocation) -> Task[Any]:
    """Return the handle of the task that the arguments name."""
    arguments = call.arguments
    if arguments.kind == "agent":
        return call.zai.agents.task(agent_id=arguments.agent, async_id=text(arguments.id))
    return _KINDS[arguments.kind](call.zai, arguments.id)


def show_task(call: Invocation) -> None:
    """Ask once and print how far the task is."""
    task = reattach(call)
    answer = call.run(task.fetch())
    call.answer(answer, task.status)


def wait_again(call: Invocation) -> None:
    """Wait for the task and hand over its result."""
    hand_over(wait(reattach(call), call, call.arguments.kind), call)
