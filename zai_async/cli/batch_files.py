"""``zai batch`` without the platform: inputs that are checked, outputs that are put together."""

import argparse
from collections.abc import Iterator

import anyio

from zai_async._threads import to_the_end
from zai_async.batch.outputs import merge_outputs, write_parquet
from zai_async.batch.rows import RowParser
from zai_async.batch.sources import LineRows, open_rows
from zai_async.batch.validation import Estimate, Validation
from zai_async.cli.arguments import Actions
from zai_async.cli.batch_arguments import add_request
from zai_async.cli.output import add_output, table, to_json
from zai_async.cli.terminal import Terminal

__all__ = ["INCOMPLETE", "add_files"]

INCOMPLETE = 5
"""The exit status where some rows have failed, or would."""


def add_files(actions: Actions) -> None:
    """Add the actions that send nothing."""
    check = actions.add("validate", validate, "say what is wrong with rows and what they will take")
    check.add_argument("rows", metavar="IN", help="what `zai batch run` would read")
    add_request(check)
    add_output(check)
    merge = actions.add("merge", merge_files, "put outputs together, one line for each key")
    merge.add_argument("outs", metavar="OUT", nargs="+", help="an answer in any of them counts")
    merge.add_argument("--into", metavar="FILE", required=True, help="a new file")
    tabulate = actions.add("to-parquet", write_table, "write outputs as a table in parquet")
    tabulate.add_argument("outs", metavar="OUT", nargs="+", help="together, one row for each key")
    tabulate.add_argument("--into", metavar="FILE", required=True, help="a new file")


def validate(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print what is wrong, line by line, and what the rows will take."""
    parser = RowParser(
        model=arguments.model,
        system=arguments.system,
        template=arguments.template,
        params=dict(arguments.params),
        schema=arguments.schema,
    )
    check = Validation(parser, dict(arguments.prices))
    as_json: bool = arguments.json

    async def look() -> None:
        source, number = await to_the_end(lambda: open_rows(arguments.rows)), 0
        unit = "line" if isinstance(source, LineRows) else "row"
        try:
            async for row in source:
                number = source.line if isinstance(source, LineRows) else number + 1
                fault = check.check(row)
                if fault is not None:
                    said = {unit: number, "message": fault}
                    terminal.data(f"{to_json(said) if as_json else f'{unit} {number}: {fault}'}\n")
        finally:
            await source.aclose()

    anyio.run(look)
    estimate = check.estimate
    shown = to_json(estimate) if as_json else table(list(described(estimate)))
    terminal.data(f"{shown}\n")
    return INCOMPLETE if estimate.wrong else 0


def described(estimate: Estimate) -> Iterator[tuple[str, str]]:
    """Yield what there is to say about rows, by name."""
    yield "rows", f"{estimate.rows:,}"
    yield "wrong", f"{estimate.wrong:,}"
    yield "prompts", f"about {estimate.prompt_tokens:,} tokens"
    if estimate.rows > estimate.unbounded:
        yield "answers", f"at most {estimate.completion_tokens:,} tokens, where rows say max_tokens"
    if estimate.unbounded:
        yield "unbounded", f"{estimate.unbounded:,} rows without max_tokens"
    if estimate.rows > estimate.unpriced:
        yield "cost", f"about {estimate.cost:,.2f}, for the tokens above"


def merge_files(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Merge outputs and say what is in the new one."""
    counts = merge_outputs(arguments.outs, arguments.into)
    terminal.note(f"zai: {counts['done']:,} done, {counts['failed']:,} failed")
    return 0


def write_table(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Write a table and say how long it is."""
    rows = write_parquet(arguments.outs, arguments.into)
    terminal.note(f"zai: {rows:,} rows")
    return 0
