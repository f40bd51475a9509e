"""``zai transcribe``: what is said in a recording."""

import argparse
from collections.abc import Sequence
from typing import Final, cast

from zai_async.cli.arguments import given, text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import Output, add_output
from zai_async.cli.progress import Progress
from zai_async.cli.terminal import Terminal
from zai_async.models import Transcription, TranscriptionParams

__all__ = ["run"]

DEFAULT_MODEL: Final = "glm-asr-2512"


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the text of a recording, with --stream while it is written."""
    arguments = _parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        request = _request(arguments, connection, Progress(terminal, quiet=arguments.quiet))
        if arguments.stream and not (arguments.json or arguments.out):
            connection.run(_streamed(connection, request, terminal))
            return 0
        heard = connection.run(connection.zai.audio.transcriptions.create(**request))
    Output(arguments, terminal, arguments.out).answer(heard, heard.text)
    return 0


def _request(
    arguments: argparse.Namespace, connection: Connection, progress: Progress
) -> TranscriptionParams:
    request = given(
        model=arguments.model,
        file=arguments.file,
        prompt=arguments.prompt,
        hotwords=arguments.hotword,
        on_progress=progress.transfer("upload"),
        options=connection.options,
    )
    return cast("TranscriptionParams", request)


async def _streamed(
    connection: Connection, request: TranscriptionParams, terminal: Terminal
) -> Transcription:
    async with connection.zai.audio.transcriptions.stream(**request) as stream:
        async for piece in stream.text:
            terminal.data(piece)
    terminal.data("\n")
    return stream.snapshot


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai transcribe", description="Write down what is said in a WAV or MP3 of 30 seconds."
    )
    parser.add_argument("file", metavar="FILE", help="a path")
    group = parser.add_argument_group("request")
    group.add_argument(
        "--model", type=text, default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}"
    )
    group.add_argument("--prompt", type=text, metavar="TEXT", help="what was said before")
    group.add_argument(
        "--hotword",
        action="append",
        type=text,
        metavar="WORD",
        help="a name or term to expect; may be repeated",
    )
    group.add_argument("--stream", action="store_true", help="print the text while it is written")
    add_output(parser, "write to this file")
    add_options(parser)
    return parser
