"""How far a batch is, in one line that fits the terminal, and how to go on with it."""

import asyncio
import shlex
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import anyio

from zai_async.batch import BatchProgress, Report
from zai_async.cli.terminal import Terminal

__all__ = ["counted_failures", "how_to_go_on", "moment", "progress_line", "showing"]

_REDRAWN: Final = 0.5
_LOGGED: Final = 10.0
"""Seconds between two looks: a terminal replaces its line, a log keeps all of them."""
_MINUTE: Final = 60
_HOUR: Final = 3600


@asynccontextmanager
async def showing(
    progress: Callable[[], BatchProgress | None], terminal: Terminal, *, quiet: bool
) -> AsyncGenerator[None]:
    """Show for the length of a block how far a run is, unless it must be quiet."""

    async def tick() -> None:
        while True:
            await anyio.sleep(_REDRAWN if terminal.redraws else _LOGGED)
            now = progress()
            if now is not None:
                terminal.progress(progress_line(now, terminal.columns))

    if quiet:
        yield
        return
    ticker = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticker.cancel()
        terminal.erase()


def progress_line(now: BatchProgress, columns: float) -> str:
    """Return how far a run is, with as much beside it as fits into so many columns."""
    of = "" if now.total is None else f" of {now.total:,}"
    kinds = f" ({counted_failures(now.failed)})"
    # In the order in which they stand, and how soon each is left out where there is no room.
    parts = [
        (0, f"{now.done:,}{of} done"),
        (3, f", {now.failures:,} failed" if now.failures else ""),
        (5, kinds if now.failures else ""),
        (1, f", {now.rows_per_second:,.1f} rows/s"),
        (2, "" if now.eta is None else f", {duration(now.eta)} left"),
        (4, f", {load(now)}"),
        (6, f", {now.tokens_per_second:,.0f} tokens/s" if now.tokens else ""),
        (7, f", cost {now.cost:,.2f}" if now.cost else ""),
    ]
    lines = (
        "".join(text for rank, text in parts if rank < least) for least in range(len(parts), 1, -1)
    )
    return next((line for line in lines if len(line) < columns), parts[0][1])


def load(now: BatchProgress) -> str:
    """Say in words how much is in flight, and what holds it back."""
    if now.limit is None:
        return f"{now.in_flight:,} in flight"
    if now.in_flight < now.limit:
        return f"{now.in_flight:,} in flight of {now.limit:,} allowed"
    return f"all {now.limit:,} in flight that are allowed"


def counted_failures(failed: Mapping[str, int]) -> str:
    """Return failures by kind, the most frequent first."""
    ranked = sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in ranked)


def duration(seconds: float) -> str:
    """Return a time in two units at most, such as ``1 h 5 min``."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR:,} h {whole % _HOUR // _MINUTE} min"


def how_to_go_on(report: Report, command: Sequence[str]) -> str | None:
    """Say what to do next, by the state of a run that ``command`` was; None if all is done."""
    again = shlex.join(command)
    match report.exit_code:
        case 0:
            return None
        case 3:
            return f"when that is put right, go on with: {again}"
        case 4:
            return f"go on {moment(report.retry_at)} with: {again}"
        case 5 if set(report.failed) == {"input"}:
            return f"when these rows are put right: {again}"
        case 5:
            return f"to try the failed rows again: {again}"
        case _:
            return f"to go on: {again}"


def moment(when: datetime | None) -> str:
    """Return a time of this machine's clock, or that nobody knows it."""
    return "later" if when is None else f"after {when.astimezone():%Y-%m-%d %H:%M}"
