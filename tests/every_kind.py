"""Requests of every kind that the client makes, for who has to see all of them."""

from tests.calls import ASK, ask


async def every_kind(zai, folder):
    """Make a call, a stream, a task with its polls, an upload and a download."""
    await ask(zai)
    async with zai.chat.completions.stream(**ASK) as stream:
        await stream.completion()
    task = await zai.videos.submit(model="cogvideox-3", prompt="a lighthouse")
    await zai.files.create(file=("a.txt", b"text"), purpose="agent")
    await zai.download((await task.wait()).url, folder)


def arrived(platform):
    """Return method and address of each request of the emulator."""
    host = platform.url.partition("/api")[0]
    requests = [f"{each.method} {host}{each.path}" for each in platform.requests]
    assert len(requests) >= 6
    return requests
