"""Turn the recording of a meeting into minutes: a summary, decisions, and who does what.

    pip install .  # in a clone of the repository
    ZAI_API_KEY=... python examples/workflows/audio_to_actions.py meeting.wav

The recording may be of any length; where ffmpeg is installed, it need not be WAV. A part that
fails is tried once more, without hearing the others again.
"""

import asyncio
import sys
from collections.abc import Awaitable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from zai_async import AsyncZai, TranscriptionIncompleteError
from zai_async.models import TranscribedPart, Transcription


class Action(Struct):
    task: str
    owner: Annotated[
        str, Meta(description="Who does it, as far as the meeting says.")
    ]
    due: Annotated[
        str | None, Meta(description="When, in the words of the meeting.")
    ] = None


class Minutes(Struct):
    summary: Annotated[str, Meta(description="Three sentences at most.")]
    decisions: list[str]
    actions: list[Action]


def show(part: TranscribedPart, seconds: float | None) -> None:
    print(f"heard {part.end:.0f} of {seconds or part.end:.0f} s", file=sys.stderr)


async def main(recording: str) -> Minutes:
    async with AsyncZai() as zai:

        def hear(
            finished: Sequence[TranscribedPart] = (),
        ) -> Awaitable[Transcription]:
            return zai.audio.transcriptions.create(
                model="glm-asr-2512",
                file=recording,
                split="silence",
                finished=finished,
                on_part=show,
            )

        try:
            meeting = await hear()
        except TranscriptionIncompleteError as error:
            meeting = await hear(error.finished)
        # With its times, a summary can say when something was said.
        lines = [f"{each.start:.0f} s: {each.text}" for each in meeting.segments]
        answer = await zai.chat.completions.parse(
            Minutes,
            model="glm-5.3",
            messages="Write the minutes of this meeting.\n\n" + "\n".join(lines),
        )
    return answer.parsed


if __name__ == "__main__":
    minutes = asyncio.run(main(sys.argv[1]))
    print(minutes.summary)
    for action in minutes.actions:
        print(
            f"- {action.task} ({action.owner}{f', {action.due}' if action.due else ''})"
        )
