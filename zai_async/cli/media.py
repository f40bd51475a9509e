"""Pictures, films and sound: ``zai image``, ``video``, ``speech`` and ``transcribe``."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final, cast

from zai_async.cli.arguments import add_words, count, given, media, number, parse, said, text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import Output, Progress, add_output, write_content
from zai_async.cli.tasks import OUT, add_wait, finish, hand_over
from zai_async.cli.terminal import Terminal
from zai_async.models import (
    ImageParams,
    ImagesResponse,
    SpeechParams,
    Transcription,
    TranscriptionParams,
    VideoParams,
)

__all__ = ["run_image", "run_speech", "run_transcribe", "run_video"]

IMAGE_MODEL: Final = "glm-image"


def run_image(argv: Sequence[str], terminal: Terminal) -> int:
    """Make an image, at once or as a task."""
    parser = _image_parser()
    arguments = parse(parser, argv)
    prompt = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        make = _submit_image if arguments.as_task or not arguments.wait else _generate_image
        make(arguments, _image_request(arguments, prompt, connection), connection, terminal)
    return 0


def _generate_image(
    arguments: argparse.Namespace,
    request: ImageParams,
    connection: Connection,
    terminal: Terminal,
) -> None:
    progress = Progress(terminal, quiet=arguments.quiet)
    images = connection.run(_image_made(request, connection, progress))
    hand_over(images, arguments, connection, terminal)


async def _image_made(
    request: ImageParams, connection: Connection, progress: Progress
) -> ImagesResponse:
    async with progress.waiting(lambda: "image: being made"):
        return await connection.zai.images.generate(**request)


def _submit_image(
    arguments: argparse.Namespace,
    request: ImageParams,
    connection: Connection,
    terminal: Terminal,
) -> None:
    task = connection.run(connection.zai.images.submit(**request))
    finish(task, arguments, connection, terminal, "image")


def _image_request(
    arguments: argparse.Namespace, prompt: str, connection: Connection
) -> ImageParams:
    request = given(
        model=arguments.model,
        prompt=prompt,
        size=arguments.size,
        quality=arguments.quality,
        options=connection.options,
    )
    return cast("ImageParams", request)


def _image_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai image",
        usage="zai image [OPTION ...] PROMPT ...",
        description="Make an image; print its address, or with --out the path of the file.",
    )
    add_words(parser, "PROMPT", "what is to be seen, or - for stdin")
    _add_image_request(parser)
    add_wait(parser)
    add_output(parser, OUT)
    add_options(parser)
    return parser


def _add_image_request(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("request")
    group.add_argument("--model", type=text, default=IMAGE_MODEL, help=f"default: {IMAGE_MODEL}")
    group.add_argument("--size", type=text, metavar="WxH", help="pixels, such as 1280x1280")
    group.add_argument("--quality", choices=("hd", "standard"), help="default: of the model")
    group.add_argument(
        "--async", dest="as_task", action="store_true", help="submit a task and wait for it"
    )


VIDEO_MODEL: Final = "cogvideox-3"
# The others take a list, also of one.
_ONE_IMAGE: Final = ("-image", "cogvideox-2", "cogvideox-flash")


def run_video(argv: Sequence[str], terminal: Terminal) -> int:
    """Submit a video, and wait for it unless nobody wants to."""
    parser = _video_parser()
    arguments = parse(parser, argv)
    prompt = said(parser, arguments.words) if arguments.words or not arguments.image else None
    with connect(arguments, terminal) as connection:
        request = _video_request(arguments, prompt, connection)
        task = connection.run(connection.zai.videos.submit(**request))
        finish(task, arguments, connection, terminal, "video")
    return 0


def _video_request(
    arguments: argparse.Namespace, prompt: str | None, connection: Connection
) -> VideoParams:
    request = given(
        model=arguments.model,
        prompt=prompt,
        image_url=_video_images(arguments),
        size=arguments.size,
        quality=arguments.quality,
        duration=arguments.duration,
        fps=arguments.fps,
        with_audio=arguments.audio,
        options=connection.options,
    )
    return cast("VideoParams", request)


def _video_images(arguments: argparse.Namespace) -> str | list[str] | None:
    images = [media(word) for word in arguments.image]
    if len(images) == 1 and arguments.model.endswith(_ONE_IMAGE):
        return images[0]
    return images or None


def _video_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai video",
        usage="zai video [OPTION ...] PROMPT ...",
        description="Make a video; print its address, or with --out the path of the file.",
    )
    add_words(parser, "PROMPT", "what is to be seen, or - for stdin")
    _add_video_request(parser)
    add_wait(parser)
    add_output(parser, OUT)
    add_options(parser)
    return parser


def _add_video_request(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("request")
    group.add_argument("--model", type=text, default=VIDEO_MODEL, help=f"default: {VIDEO_MODEL}")
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


SPEECH_MODEL: Final = "glm-tts"


def run_speech(argv: Sequence[str], terminal: Terminal) -> int:
    """Write sound to a file or stdout, with --stream while it is made."""
    parser = _speech_parser()
    arguments = parse(parser, argv)
    if arguments.out is None and sys.stdout.isatty():
        parser.error("a terminal cannot play sound: give --out FILE, or redirect stdout")
    words = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        request = _speech_request(arguments, words, connection)
        if not arguments.stream:
            sound = connection.run(connection.zai.audio.speech.create(**request))
            write_content(sound.content, terminal, arguments.out)
        elif arguments.out is None:
            connection.run(_played(connection, request, terminal))
        else:
            connection.run(connection.zai.audio.speech.stream(**request).save(arguments.out))
    return 0


def _speech_request(
    arguments: argparse.Namespace, words: str, connection: Connection
) -> SpeechParams:
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


async def _played(connection: Connection, request: SpeechParams, terminal: Terminal) -> None:
    async with connection.zai.audio.speech.stream(**request) as stream:
        async for piece in stream:
            terminal.content(piece)


def _speech_parser() -> argparse.ArgumentParser:
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


TRANSCRIPTION_MODEL: Final = "glm-asr-2512"


def run_transcribe(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the text of a recording, with --stream while it is written."""
    arguments = _transcription_parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        request = _transcription_request(
            arguments, connection, Progress(terminal, quiet=arguments.quiet)
        )
        if arguments.stream and not (arguments.json or arguments.out):
            connection.run(_transcribed(connection, request, terminal))
            return 0
        heard = connection.run(connection.zai.audio.transcriptions.create(**request))
    Output(arguments, terminal, arguments.out).answer(heard, heard.text)
    return 0


def _transcription_request(
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


async def _transcribed(
    connection: Connection, request: TranscriptionParams, terminal: Terminal
) -> Transcription:
    async with connection.zai.audio.transcriptions.stream(**request) as stream:
        async for piece in stream.text:
            terminal.data(piece)
    terminal.data("\n")
    return stream.snapshot


def _transcription_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai transcribe", description="Write down what is said in a WAV or MP3 of 30 seconds."
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
    group.add_argument("--stream", action="store_true", help="print the text while it is written")
    add_output(parser, "write to this file")
    add_options(parser)
    return parser
