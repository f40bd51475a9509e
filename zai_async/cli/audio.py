"""Speech and transcription: ``zai speech`` and ``zai transcribe``."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final, cast

from zai_async.cli.arguments import add_words, given, number, parse, said, text
from zai_async.cli.connection import Invocation, add_options, connect
from zai_async.cli.output import add_output, to_json, write_content
from zai_async.cli.terminal import Terminal
from zai_async.errors import TranscriptionIncompleteError
from zai_async.models import SpeechParams, TranscribedPart, Transcription, TranscriptionParams
from zai_async.recordings import LongTranscriptionStream
from zai_async.streams import TranscriptionStream

__all__ = ["run_speech", "run_transcribe", "speech_parser", "transcribe_parser"]

SPEECH_MODEL: Final = "glm-tts"
TRANSCRIPTION_MODEL: Final = "glm-asr-2512"
_FORMATS: Final = ("json", "text", "srt", "vtt", "verbose_json")


def speech_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai speech``."""
    parser = argparse.ArgumentParser(
        prog="zai speech",
        usage="zai speech [OPTION ...] TEXT ...",
        description="Speak a text (bigmodel); the sound goes to --out, or to a pipe.",
    )
    add_words(parser, "TEXT", "what to say, or - for stdin")
    group = parser.add_argument_group("request")
    group.add_argument("--model", type=text, default=SPEECH_MODEL, help=f"default: {SPEECH_MODEL}")
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


def run_speech(argv: Sequence[str], terminal: Terminal) -> int:
    """Write sound to a file or stdout, with --stream while it is made."""
    parser = speech_parser()
    arguments = parse(parser, argv)
    # Before anything is sent: the sound would be paid for and lost.
    if arguments.out is None and sys.stdout.isatty():
        parser.error("a terminal cannot play sound: give --out FILE, or redirect stdout")
    words = said(parser, arguments.words)

    with connect(arguments, terminal) as call:
        request = cast(
            "SpeechParams",
            given(
                model=arguments.model,
                input=words,
                voice=arguments.voice,
                speed=arguments.speed,
                volume=arguments.volume,
                # The platform streams nothing but pcm.
                response_format="pcm" if arguments.stream else arguments.format,
                options=call.options,
            ),
        )
        speech = call.zai.audio.speech
        if not arguments.stream:
            write_content(call.run(speech.create(**request)).content, terminal, arguments.out)
        elif arguments.out is not None:
            call.run(speech.stream(**request).save(arguments.out))
        else:
            # Piece by piece, so that a player at the other end of the pipe begins at once.
            async def play() -> None:
                async with speech.stream(**request) as stream:
                    async for piece in stream:
                        terminal.content(piece)

            call.run(play())
    return 0


def transcribe_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai transcribe``."""
    parser = argparse.ArgumentParser(
        prog="zai transcribe",
        description="Write down what is said in a WAV or MP3; with --split it may be long.",
    )
    parser.add_argument("file", metavar="FILE", help="a path")
    group = parser.add_argument_group("request")
    group.add_argument(
        "--model", type=text, default=TRANSCRIPTION_MODEL, help=f"default: {TRANSCRIPTION_MODEL}"
    )
    group.add_argument("--prompt", type=text, metavar="TEXT", help="what was said before")
    group.add_argument(
        "--hotword",
        action="append",
        type=text,
        metavar="WORD",
        help="a name or term to expect; may be repeated",
    )
    group.add_argument(
        "--format",
        choices=_FORMATS,
        help="of the answer, where a gateway offers it: subtitles, or times and language",
    )
    group.add_argument("--stream", action="store_true", help="print the text while it is written")
    group.add_argument(
        "--split", action="store_true", help="take a recording of any length, in parts"
    )
    add_output(parser, "write to this file")
    add_options(parser)
    return parser


def run_transcribe(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the text of a recording, with --stream while it is written."""
    parser = transcribe_parser()
    arguments = parser.parse_args(argv)
    if arguments.stream and arguments.format not in {None, "json", "text"}:
        # A stream is made of pieces of the words alone.
        parser.error(f"--format {arguments.format} cannot be streamed")
    if arguments.split and arguments.format in {"srt", "vtt"}:
        parser.error(f"--format {arguments.format} cannot be split")
    with connect(arguments, terminal) as call:
        request = cast(
            "TranscriptionParams",
            given(
                model=arguments.model,
                file=arguments.file,
                prompt=arguments.prompt,
                hotwords=arguments.hotword,
                response_format=arguments.format,
                on_progress=None if arguments.split else call.progress().transfer("upload"),
                options=call.options,
            ),
        )
        # JSON and files are written when all of it is known, so there is nothing to stream.
        if arguments.stream and not (arguments.json or arguments.out):
            call.run(show_transcription(call, request))
            return 0
        if arguments.split:
            heard = hear_parts(call, request)
        else:
            heard = call.run(call.zai.audio.transcriptions.create(**request))
    said = heard.text
    if arguments.format == "verbose_json":
        # Who asks for times and language wants to see them, not the words alone.
        said = to_json(heard)
    call.answer(heard, said, arguments.out)
    return 0


async def show_transcription(call: Invocation, request: TranscriptionParams) -> None:
    """Print a text while it is written."""
    stream: TranscriptionStream | LongTranscriptionStream
    if call.arguments.split:
        stream = call.zai.audio.transcriptions.stream(split="silence", **request)
    else:
        stream = call.zai.audio.transcriptions.stream(**request)
    async with stream:
        async for piece in stream.text:
            call.terminal.data(piece)
    call.terminal.data("\n")


def hear_parts(call: Invocation, request: TranscriptionParams) -> Transcription:
    """Return what is said in a recording of any length, and print what there is of it if it fails.

    Raises:
        TranscriptionIncompleteError: A part of it is missing.
    """
    progress = call.progress()

    def on_part(part: TranscribedPart, seconds: float | None) -> None:
        whole = "" if seconds is None else f" of {seconds:.0f}"
        progress.show(f"heard: {part.end:.0f}{whole} s")

    create = call.zai.audio.transcriptions.create
    try:
        return call.run(create(split="silence", on_part=on_part, **request))
    except TranscriptionIncompleteError as error:
        # Most of an hour is better than nothing of it.
        if error.partial is not None:
            call.answer(error.partial, error.partial.text, call.arguments.out)
        raise
