"""``zai quota``: what is left of a Coding Plan."""

import argparse
from collections.abc import Sequence
from typing import Final

from zai_async.cli.connection import add_options, connect
from zai_async.cli.output import Output, add_output, table
from zai_async.cli.terminal import Terminal
from zai_async.models import Quota
from zai_async.models.account import QuotaLimit

__all__ = ["run"]

_NAMES: Final = {"TOKENS_LIMIT": "tokens", "TIME_LIMIT": "tools"}
_UNITS: Final = {3: "h", 5: "months", 6: "weeks"}


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the plan, and a line for each of its limits."""
    arguments = _parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        quota = connection.run(connection.zai.quota(options=connection.options))
    Output(arguments, terminal).answer(quota, _described(quota))
    return 0


def _described(quota: Quota) -> str:
    rows = [("plan", quota.level), *map(_row, quota.limits)]
    width = max(map(len, rows))
    return table([(*row, *[""] * (width - len(row))) for row in rows])


def _row(limit: QuotaLimit) -> tuple[str, ...]:
    unit = _UNITS.get(limit.unit, f"of unit {limit.unit}")
    reset = f"until {limit.resets_at:%Y-%m-%d %H:%M} UTC" if limit.resets_at else ""
    name = _NAMES.get(limit.type, limit.type)
    return name, f"{limit.percentage:g} % used", f"of {limit.number} {unit}", reset


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai quota", description="Show what is left of a Coding Plan."
    )
    add_output(parser)
    add_options(parser)
    return parser
