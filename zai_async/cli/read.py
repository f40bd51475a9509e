"""``zai read``: a web page as Markdown."""

import argparse
from collections.abc import Sequence

from zai_async.cli.arguments import text
from zai_async.cli.connection import add_options, connect
from zai_async.cli.output import Output, add_output
from zai_async.cli.terminal import Terminal

__all__ = ["run"]


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the text of a page."""
    arguments = _parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        work = connection.zai.reader.read(
            url=arguments.url,
            return_format=arguments.format,
            retain_images=arguments.images,
            no_cache=arguments.fresh,
            options=connection.options,
        )
        page = connection.run(work)
    Output(arguments, terminal, arguments.out).answer(page, page.text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai read", description="Print a web page as Markdown.")
    parser.add_argument("url", type=text, metavar="URL", help="the address of the page")
    group = parser.add_argument_group("request")
    group.add_argument(
        "--format", choices=("markdown", "text"), default="markdown", help="default: markdown"
    )
    group.add_argument(
        "--no-images", dest="images", action="store_false", help="leave out the pictures"
    )
    group.add_argument("--fresh", action="store_true", help="take no copy from a cache")
    add_output(parser, "write to this file")
    add_options(parser)
    return parser
