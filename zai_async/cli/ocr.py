"""``zai ocr``: what a picture or a pdf says."""

import argparse
from collections.abc import Sequence
from typing import Final, cast

from zai_async.cli.arguments import count, given, text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import Output, add_output
from zai_async.cli.progress import Progress
from zai_async.cli.sources import media
from zai_async.cli.terminal import Terminal
from zai_async.models import Handwriting, Layout, LayoutParams

__all__ = ["run"]

DEFAULT_MODEL: Final = "glm-ocr"


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print a document as Markdown, or handwriting line by line."""
    arguments = _parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        progress = Progress(terminal, quiet=arguments.quiet)
        found = connection.run(_read(arguments, connection, progress))
    Output(arguments, terminal, arguments.out).answer(found, found.text)
    return 0


async def _read(
    arguments: argparse.Namespace, connection: Connection, progress: Progress
) -> Layout | Handwriting:
    if arguments.handwriting:
        return await connection.zai.ocr.handwriting(
            file=arguments.file,
            on_progress=progress.transfer("upload"),
            options=connection.options,
        )
    return await connection.zai.layout_parsing.parse(**_document(arguments, connection))


def _document(arguments: argparse.Namespace, connection: Connection) -> LayoutParams:
    request = given(
        model=arguments.model,
        file=media(arguments.file),
        start_page_id=arguments.first,
        end_page_id=arguments.last,
        options=connection.options,
    )
    return cast("LayoutParams", request)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai ocr", description="Print a picture or a pdf as Markdown."
    )
    parser.add_argument("file", metavar="FILE", help="a path, or the address of a document")
    group = parser.add_argument_group("request")
    group.add_argument(
        "--model", type=text, default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}"
    )
    group.add_argument("--first", type=count, metavar="PAGE", help="first page of a pdf, from 1")
    group.add_argument("--last", type=count, metavar="PAGE", help="last page of a pdf")
    group.add_argument(
        "--handwriting", action="store_true", help="read handwriting in an image file (bigmodel)"
    )
    add_output(parser, "write to this file")
    add_options(parser)
    return parser
