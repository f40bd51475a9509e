"""What a key opens: ``zai check``, ``models`` and ``quota``."""

import argparse
from collections.abc import Sequence
from typing import Final

from zai_async.cli.connection import add_options, connect
from zai_async.cli.output import add_output, table
from zai_async.cli.terminal import NO_ACCESS, Terminal
from zai_async.models import Model

__all__ = [
    "check_parser",
    "models_parser",
    "quota_parser",
    "run_check",
    "run_models",
    "run_quota",
]

_CHECK: Final = """\
Find out which endpoints of the platform accept the key. Nothing is generated or
paid. The key is sent to all of them, with --base-url to that address only.
"""


def check_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai check``."""
    parser = argparse.ArgumentParser(prog="zai check", description=_CHECK)
    add_output(parser)
    add_options(parser)
    return parser


def run_check(argv: Sequence[str], terminal: Terminal) -> int:
    """Print a line for every endpoint; the status says whether one of them accepts the key."""
    arguments = check_parser().parse_args(argv)
    with connect(arguments, terminal) as call:
        checks = call.run(call.zai.check())
    rows = [
        (check.provider, "yes" if check.ok else "no", " ".join(check.detail.split()))
        for check in checks
    ]
    # A row of the table is a line, whatever the platform wrote into its message.
    call.answer(checks, table(rows))
    return 0 if any(check.ok for check in checks) else NO_ACCESS


def models_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai models``."""
    parser = argparse.ArgumentParser(
        prog="zai models",
        description="List the models; some that are left out can be used all the same.",
    )
    add_output(parser)
    add_options(parser)
    return parser


def run_models(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the names of the models, one in a line."""
    arguments = models_parser().parse_args(argv)
    with connect(arguments, terminal) as call:

        async def collect() -> list[Model]:
            return [model async for model in call.zai.models.list(options=call.options)]

        models = call.run(collect())
    call.answer(models, "\n".join(model.id for model in models))
    return 0


# The operation is undocumented; these meanings were seen in answers to Coding Plans.
_LIMITS: Final = {"TOKENS_LIMIT": "tokens", "TIME_LIMIT": "tools"}
_UNITS: Final = {3: "h", 5: "months", 6: "weeks"}


def quota_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai quota``."""
    parser = argparse.ArgumentParser(
        prog="zai quota", description="Show what is left of a Coding Plan."
    )
    add_output(parser)
    add_options(parser)
    return parser


def run_quota(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the plan, and a line for each of its limits."""
    arguments = quota_parser().parse_args(argv)
    with connect(arguments, terminal) as call:
        quota = call.run(call.zai.quota(options=call.options))

    # Rows of one width, because a table needs as many columns everywhere.
    rows = [("plan", quota.level, "", "")]
    for limit in quota.limits:
        unit = _UNITS.get(limit.unit, f"of unit {limit.unit}")
        reset = f"until {limit.resets_at:%Y-%m-%d %H:%M} UTC" if limit.resets_at else ""
        name = _LIMITS.get(limit.type, limit.type)
        rows.append((name, f"{limit.percentage:g} % used", f"of {limit.number} {unit}", reset))
    call.answer(quota, table(rows))
    return 0
