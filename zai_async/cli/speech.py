"""``zai speech``: a text, spoken (bigmodel.cn)."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from zai_async.cli.arguments import add_words, given, number, parse, said, text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import add_output
from zai_async.cli.terminal import Terminal
from zai_async.models import SpeechParams

__all__ = ["run"]

DEFAULT_MODEL: Final = "glm-tts"


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Write sound to a file or stdout, with --stream while it is made."""
    parser = _parser()
    arguments = parse(parser, argv)
    if arguments.out is None and sys.stdout.isatty():
        parser.error("a terminal cannot play sound: give --out FILE, or redirect stdout")
    words = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        request = _request(arguments, words, connection)
        if not arguments.stream:
            _whole(connection, request, terminal, arguments.out)
        elif arguments.out is None:
            connection.run(_played(connection, request, terminal))
        else:
            connection.run(connection.zai.audio.speech.stream(**request).save(arguments.out))
    return 0


def _request(arguments: argparse.Namespace, words: str, connection: Connection) -> SpeechParams:
    request = given(
        model=arguments.model,
        input=words,
        voice=arguments.voice,
        speed=arguments.speed,
        volume=arguments.volume,
        # Nothing else can be streamed.
        response_format="pcm" if arguments.stream else arguments.format,
        options=connection.options,
    )
    return cast("SpeechParams", request)


def _whole(
    connection: Connection, request: SpeechParams, terminal: Terminal, out: str | None
) -> None:
    sound = connection.run(connection.zai.audio.speech.create(**request))
    if out is None:
        terminal.content(sound.content)
    else:
        Path(out).write_bytes(sound.content)


async def _played(connection: Connection, request: SpeechParams, terminal: Terminal) -> None:
    async with connection.zai.audio.speech.stream(**request) as stream:
        async for piece in stream:
            terminal.content(piece)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai speech",
        usage="zai speech [OPTION ...] TEXT ...",
        description="Speak a text (bigmodel); the sound goes to --out, or to a pipe.",
    )
    add_words(parser, "TEXT", "what to say, or - for stdin")
    group = parser.add_argument_group("request")
    group.add_argument(
        "--model", type=text, default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}"
    )
    group.add_argument("--voice", type=text, metavar="NAME", help="default: tongtong")
    group.add_argument("--speed", type=number, metavar="X", help="0.5 to 2; default: 1")
    group.add_argument("--volume", type=number, metavar="X", help="up to 10; default: 1")
    group.add_argument("--format", choices=("wav", "pcm"), default="wav", help="default: wav")
    group.add_argument(
        "--stream", action="store_true", help="write sound while it is made: pcm, or WAV with --out"
    )
    add_output(parser, "write to this file", json=False)
    add_options(parser)
    return parser
