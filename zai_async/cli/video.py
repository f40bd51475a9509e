"""``zai video``: a film from words and pictures."""

import argparse
from collections.abc import Sequence
from typing import Final, cast

from zai_async.cli.arguments import add_words, count, given, parse, said, text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import add_output
from zai_async.cli.results import OUT, add_wait, finish
from zai_async.cli.sources import media
from zai_async.cli.terminal import Terminal
from zai_async.models import VideoParams

__all__ = ["run"]

DEFAULT_MODEL: Final = "cogvideox-3"
# The others take a list, also of one.
_ONE_IMAGE: Final = ("-image", "cogvideox-2", "cogvideox-flash")


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Submit a video, and wait for it unless nobody wants to."""
    parser = _parser()
    arguments = parse(parser, argv)
    prompt = said(parser, arguments.words) if arguments.words or not arguments.image else None
    with connect(arguments, terminal) as connection:
        request = _request(arguments, prompt, connection)
        task = connection.run(connection.zai.videos.submit(**request))
        finish(task, arguments, connection, terminal, "video")
    return 0


def _request(
    arguments: argparse.Namespace, prompt: str | None, connection: Connection
) -> VideoParams:
    request = given(
        model=arguments.model,
        prompt=prompt,
        image_url=_images(arguments),
        size=arguments.size,
        quality=arguments.quality,
        duration=arguments.duration,
        fps=arguments.fps,
        with_audio=arguments.audio,
        options=connection.options,
    )
    return cast("VideoParams", request)


def _images(arguments: argparse.Namespace) -> str | list[str] | None:
    images = [media(word) for word in arguments.image]
    if len(images) == 1 and arguments.model.endswith(_ONE_IMAGE):
        return images[0]
    return images or None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai video",
        usage="zai video [OPTION ...] PROMPT ...",
        description="Make a video; print its address, or with --out the path of the file.",
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
    group.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="FILE",
        help="a path or an address; may be repeated for first and last frame, or references",
    )
    group.add_argument("--size", type=text, metavar="WxH", help="pixels, such as 1920x1080")
    group.add_argument("--quality", choices=("speed", "quality"), help="default: speed")
    group.add_argument("--duration", type=count, metavar="SECONDS", help="such as 5 or 10")
    group.add_argument("--fps", type=int, choices=(30, 60), help="frames a second; default: 30")
    group.add_argument(
        "--audio", action=argparse.BooleanOptionalAction, help="whether to make sound too"
    )
