"""``zai image``: a picture from words."""

import argparse
from collections.abc import Sequence
from typing import Final, cast

from zai_async.cli.arguments import add_words, given, parse, said, text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import add_output
from zai_async.cli.progress import Progress
from zai_async.cli.results import OUT, add_wait, finish, hand_over
from zai_async.cli.terminal import Terminal
from zai_async.models import ImageParams, ImagesResponse

__all__ = ["run"]

DEFAULT_MODEL: Final = "glm-image"


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Make an image, at once or as a task."""
    parser = _parser()
    arguments = parse(parser, argv)
    prompt = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        make = _submit if arguments.as_task or not arguments.wait else _generate
        make(arguments, _request(arguments, prompt, connection), connection, terminal)
    return 0


def _generate(
    arguments: argparse.Namespace,
    request: ImageParams,
    connection: Connection,
    terminal: Terminal,
) -> None:
    progress = Progress(terminal, quiet=arguments.quiet)
    images = connection.run(_made(request, connection, progress))
    hand_over(images, arguments, connection, terminal)


async def _made(request: ImageParams, connection: Connection, progress: Progress) -> ImagesResponse:
    async with progress.waiting(lambda: "image: being made"):
        return await connection.zai.images.generate(**request)


def _submit(
    arguments: argparse.Namespace,
    request: ImageParams,
    connection: Connection,
    terminal: Terminal,
) -> None:
    task = connection.run(connection.zai.images.submit(**request))
    finish(task, arguments, connection, terminal, "image")


def _request(arguments: argparse.Namespace, prompt: str, connection: Connection) -> ImageParams:
    request = given(
        model=arguments.model,
        prompt=prompt,
        size=arguments.size,
        quality=arguments.quality,
        options=connection.options,
    )
    return cast("ImageParams", request)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai image",
        usage="zai image [OPTION ...] PROMPT ...",
        description="Make an image; print its address, or with --out the path of the file.",
    )
    add_words(parser, "PROMPT", "what is to be seen, or - for stdin")
    _add_request(parser)
    add_wait(parser)
    add_output(parser, OUT)
    add_options(parser)
    return parser


def _add_request(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("request")
    group.add_argument(
        "--model", type=text, default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}"
    )
    group.add_argument("--size", type=text, metavar="WxH", help="pixels, such as 1280x1280")
    group.add_argument("--quality", choices=("hd", "standard"), help="default: of the model")
    group.add_argument(
        "--async", dest="as_task", action="store_true", help="submit a task and wait for it"
    )
