"""``zai check``: which endpoints accept the key."""

import argparse
from collections.abc import Sequence

from zai_async import EndpointCheck
from zai_async.cli.connection import add_options, connect
from zai_async.cli.output import Output, add_output, table
from zai_async.cli.statuses import NO_ACCESS
from zai_async.cli.terminal import Terminal

__all__ = ["run"]

_DESCRIPTION = """\
Find out which endpoints of the platform accept the key. Nothing is generated or
paid. The key is sent to all of them, with --base-url to that address only.
"""


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print a line for every endpoint; the status says whether one of them accepts the key."""
    arguments = _parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        checks = connection.run(connection.zai.check())
    Output(arguments, terminal).answer(checks, table([_row(check) for check in checks]))
    return 0 if any(check.ok for check in checks) else NO_ACCESS


def _row(check: EndpointCheck) -> tuple[str, str, str]:
    return check.provider, "yes" if check.ok else "no", " ".join(check.detail.split())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai check", description=_DESCRIPTION)
    add_output(parser)
    add_options(parser)
    return parser
