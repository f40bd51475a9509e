"""``zai batch``: many rows, each answered once, and what becomes of the outputs."""

import argparse
import asyncio
from collections.abc import Sequence

import msgspec

from zai_async import Budget, CallOptions
from zai_async.batch import Failed, JournalError, Ok, Report
from zai_async.batch.status import read_report
from zai_async.cli.arguments import Actions
from zai_async.cli.batch_arguments import add_request, add_run
from zai_async.cli.batch_files import add_files
from zai_async.cli.batch_progress import counted_failures, how_to_go_on, moment, showing
from zai_async.cli.connection import Invocation, add_options, connect
from zai_async.cli.output import add_output, table, to_json, write_text
from zai_async.cli.terminal import INTERRUPTED, TOO_LATE, Terminal

__all__ = ["batch_parser", "run_batch"]


def batch_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai batch``."""
    parser = argparse.ArgumentParser(
        prog="zai batch",
        description="Answer many rows, each once; the same command goes on where it was stopped.",
    )
    actions = Actions(parser)
    run = actions.add(
        "run", answer_rows, "answer the rows of a file, those that have no answer yet"
    )
    retry = actions.add("retry", answer_rows, "try rows again that failed")
    retry.add_argument(
        "--only-failed", action="store_true", help="none of those that were never tried"
    )
    for each in (run, retry):
        each.add_argument(
            "rows", metavar="IN", help="JSON lines, also compressed, or parquet; - for stdin"
        )
        each.add_argument("out", metavar="OUT", help="JSON lines of answers, which are appended")
        add_request(each)
        add_run(each)
        add_output(each)
        add_options(each)
    status = actions.add("status", show_status, "show what became of the rows of an output")
    status.add_argument("out", metavar="OUT", help="what `zai batch run` writes to")
    add_output(status)
    add_files(actions)
    return parser


def run_batch(argv: Sequence[str], terminal: Terminal) -> int:
    """Do what an action says and return its exit status."""
    parser = batch_parser()
    arguments = parser.parse_args(argv)
    arguments.command = ["zai", "batch", *argv]
    if getattr(arguments, "budget_cost", None) is not None and not arguments.prices:
        parser.error("--budget-cost needs --price too")
    status: int = arguments.action(arguments, terminal)
    return status


def answer_rows(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Answer rows until there are none left, or something stops it."""
    with connect(arguments, terminal, prices=dict(arguments.prices)) as call:
        try:
            report, late = call.run(answered(call))
        except JournalError as error:
            if error.reason == "changed":
                error.add_note("--force-resume goes on all the same")
            raise
    if arguments.json:
        call.answer(msgspec.to_builtins(report), "")
    if not call.quiet:
        tell(report, arguments.command, terminal)
    return TOO_LATE if late and report.exit_code == INTERRUPTED else report.exit_code


async def answered(call: Invocation) -> tuple[Report, bool]:
    """Run a batch to its end; return its report, and whether the deadline was the end."""
    arguments, late = call.arguments, asyncio.Event()
    run = call.zai.batch.run(
        arguments.rows,
        out=arguments.out,
        schema=arguments.schema,
        model=arguments.model,
        system=arguments.system,
        template=arguments.template,
        params=dict(arguments.params),
        ordered=arguments.ordered,
        replay=arguments.ordered,
        concurrency=arguments.concurrency,
        budget=budget_of(arguments),
        options=CallOptions(retries=arguments.retries),
        resume="failed" if getattr(arguments, "only_failed", False) else "unfinished",
        force_resume=arguments.force_resume,
        handle_signals=True,
    )

    def stop() -> None:
        late.set()
        run.stop()

    if call.remaining is not None:
        asyncio.get_running_loop().call_later(call.remaining, stop)
    async with showing(lambda: run.progress, call.terminal, quiet=call.quiet):
        if arguments.ordered:
            async for result in run:
                call.terminal.data(line_of(result))
        return await run, late.is_set()


def line_of(result: Ok | Failed) -> str:
    """Return a result as a line of JSON, in the shape that it has in the output."""
    if isinstance(result, Failed):
        return f"{to_json({'custom_id': result.key, 'error': result.error, 'response': None})}\n"
    response = {"status_code": 200, "body": result.answer}
    return f"{to_json({'custom_id': result.key, 'error': None, 'response': response})}\n"


def budget_of(arguments: argparse.Namespace) -> Budget | None:
    """Return what may be spent, None if nobody has said."""
    if arguments.budget is None and arguments.budget_cost is None:
        return None
    return Budget(tokens=arguments.budget, cost=arguments.budget_cost)


def tell(report: Report, command: Sequence[str], terminal: Terminal) -> None:
    """Say on stderr what became of the rows, and how to go on."""
    said = f"{report.done:,} done"
    if report.failures:
        said += f", {report.failures:,} failed ({counted_failures(report.failed)})"
    if report.state != "finished":
        said += f"; {report.state}"
    if report.state == "paused":
        said += f": {report.message}"
    terminal.note(f"zai: {said}")
    hint = how_to_go_on(report, command)
    if hint is not None:
        terminal.note(f"zai: {hint}")


def show_status(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print what became of the rows; the status is that of the run."""
    report = read_report(arguments.out)
    shown = table(described(report))
    write_text(msgspec.to_builtins(report), shown, terminal, None, as_json=arguments.json)
    return 0


def described(report: Report) -> list[tuple[str, str]]:
    """Return what there is to say about an output, by name."""
    killed = report.state == "running" and not report.active
    rows = [
        ("state", "killed" if killed else report.state),
        ("because", report.message),
        ("go on", report.retry_at and moment(report.retry_at)),
        ("done", f"{report.done:,}"),
        ("failed", report.failures and f"{report.failures:,} ({counted_failures(report.failed)})"),
        ("damaged", report.damaged and f"{report.damaged:,} lines"),
        ("model", report.model),
        ("tokens", report.tokens and f"{report.tokens:,}"),
        ("cost", report.cost and f"{report.cost:,.2f}"),
        ("started", report.started and f"{report.started.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("ended", report.ended and f"{report.ended.astimezone():%Y-%m-%d %H:%M:%S}"),
    ]
    return [(name, str(value)) for name, value in rows if value]
