"""Images and videos: ``zai image`` and ``zai video``."""

import argparse
from collections.abc import Sequence
from typing import Final, cast

from zai_async.cli.arguments import add_words, count, given, media, parse, place, said, text
from zai_async.cli.connection import add_options, connect
from zai_async.cli.output import add_output
from zai_async.cli.tasks import OUT, add_wait, finish, hand_over
from zai_async.cli.terminal import Terminal
from zai_async.models import ImageParams, ImagesResponse, VideoParams

__all__ = ["image_parser", "run_image", "run_video", "video_parser"]

IMAGE_MODEL: Final = "glm-image"
VIDEO_MODEL: Final = "cogvideox-3"
# These take one image; the others take a list, also of one.
_ONE_IMAGE: Final = ("-image", "cogvideox-2", "cogvideox-flash")


def image_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai image``."""
    parser = argparse.ArgumentParser(
        prog="zai image",
        usage="zai image [OPTION ...] PROMPT ...",
        description="Make an image; print its address, or with --out the path of the file.",
    )
    add_words(parser, "PROMPT", "what is to be seen, or - for stdin")
    group = parser.add_argument_group("request")
    group.add_argument("--model", type=text, default=IMAGE_MODEL, help=f"default: {IMAGE_MODEL}")
    group.add_argument("--size", type=text, metavar="WxH", help="pixels, such as 1280x1280")
    group.add_argument("--quality", choices=("hd", "standard"), help="default: of the model")
    group.add_argument(
        "--async", dest="as_task", action="store_true", help="submit a task and wait for it"
    )
    add_wait(parser)
    add_output(parser, OUT, accept=place)
    add_options(parser)
    return parser


def run_image(argv: Sequence[str], terminal: Terminal) -> int:
    """Make an image, at once or as a task."""
    parser = image_parser()
    arguments = parse(parser, argv)
    prompt = said(parser, arguments.words)
    with connect(arguments, terminal) as call:
        request = cast(
            "ImageParams",
            given(
                model=arguments.model,
                prompt=prompt,
                size=arguments.size,
                quality=arguments.quality,
                options=call.options,
            ),
        )
        # A task can be left and found again; an open request cannot.
        if arguments.as_task or not arguments.wait:
            finish(call.run(call.zai.images.submit(**request)), call, "image")
            return 0
        # It takes a minute without a word, so the seconds are counted.
        progress = call.progress()

        async def generate() -> ImagesResponse:
            async with progress.waiting(lambda: "image: being made"):
                return await call.zai.images.generate(**request)

        hand_over(call.run(generate()), call)
    return 0


def video_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai video``."""
    parser = argparse.ArgumentParser(
        prog="zai video",
        usage="zai video [OPTION ...] PROMPT ...",
        description="Make a video; print its address, or with --out the path of the file.",
    )
    add_words(parser, "PROMPT", "what is to be seen, or - for stdin")
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
    add_wait(parser)
    add_output(parser, OUT, accept=place)
    add_options(parser)
    return parser


def run_video(argv: Sequence[str], terminal: Terminal) -> int:
    """Submit a video, and wait for it unless --no-wait is given."""
    parser = video_parser()
    arguments = parse(parser, argv)
    # Images alone are enough of a request.
    prompt = said(parser, arguments.words) if arguments.words or not arguments.image else None
    images = [media(word) for word in arguments.image]
    alone = len(images) == 1 and arguments.model.endswith(_ONE_IMAGE)
    with connect(arguments, terminal) as call:
        request = given(
            model=arguments.model,
            prompt=prompt,
            image_url=images[0] if alone else images or None,
            size=arguments.size,
            quality=arguments.quality,
            duration=arguments.duration,
            fps=arguments.fps,
            with_audio=arguments.audio,
            options=call.options,
        )
        task = call.run(call.zai.videos.submit(**cast("VideoParams", request)))
        finish(task, call, "video")
    return 0
