"""``zai models``: what there is to talk to."""

import argparse
from collections.abc import Sequence

from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import Output, add_output
from zai_async.cli.terminal import Terminal
from zai_async.models import Model

__all__ = ["run"]


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the names of the models, one in a line."""
    arguments = _parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        models = connection.run(_models(connection))
    Output(arguments, terminal).answer(models, "\n".join(model.id for model in models))
    return 0


async def _models(connection: Connection) -> list[Model]:
    return [model async for model in connection.zai.models.list(options=connection.options)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai models",
        description="List the models; some that are left out can be used all the same.",
    )
    add_output(parser)
    add_options(parser)
    return parser
