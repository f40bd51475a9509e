"""Make a video that goes from one picture to another.

pip install .  # in a clone of the repository
ZAI_API_KEY=... python examples/workflows/video_between_frames.py A.png B.png "Sunset" out.mp4
"""

import asyncio
import sys
from base64 import b64encode
from pathlib import Path

from zai_async import AsyncZai
from zai_async.models import Video


async def frame(path: str) -> str:
    data = await asyncio.to_thread(Path(path).read_bytes)
    return f"data:image/png;base64,{b64encode(data).decode()}"


def show(video: Video) -> None:
    print(video.task_status or "waiting", file=sys.stderr)


async def main(first: str, last: str, prompt: str, target: str) -> Path:
    async with AsyncZai() as zai:
        video = await zai.videos.generate(
            model="cogvideox-3",
            prompt=prompt,
            image_url=[await frame(first), await frame(last)],
            timeout=900,
            on_update=show,
        )
        return await video.download(target)


if __name__ == "__main__":
    print(asyncio.run(main(*sys.argv[1:5])))
