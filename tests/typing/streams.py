"""The contract with type checkers, for streams beside chat and the client itself; never run."""

from pathlib import Path
from typing import assert_type

from zai_async import AsyncZai, Task
from zai_async.models import (
    AgentChunk,
    AgentReply,
    Batch,
    ImageResult,
    ParsedFile,
    Transcription,
    TranscriptionEvent,
    Video,
)
from zai_async.resources.account import EndpointCheck
from zai_async.streams import AgentStream, SlidePage, SpeechStream, TranscriptionStream


async def hearing(zai: AsyncZai) -> None:
    stream = zai.audio.transcriptions.stream(model="glm-asr-2512", file=Path("a.wav"))
    assert_type(stream, TranscriptionStream)
    async with stream as opened:
        assert_type(opened, TranscriptionStream)
        async for event in opened:
            assert_type(event, TranscriptionEvent)
        async for piece in opened.text:
            assert_type(piece, str)
        assert_type(await opened.transcription(), Transcription)


async def speaking(zai: AsyncZai) -> None:
    async with zai.audio.speech.stream(model="glm-tts", input="hi") as stream:
        assert_type(stream, SpeechStream)
        async for piece in stream:
            assert_type(piece, bytes)
        assert_type(stream.sample_rate, int)
        assert_type(await stream.save("a.wav"), int)


async def working(zai: AsyncZai) -> None:
    async with zai.agents.stream(
        agent_id="a",
        messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    ) as stream:
        assert_type(stream, AgentStream)
        async for chunk in stream:
            assert_type(chunk, AgentChunk)
        assert_type(stream.pages, list[SlidePage])
        assert_type(await stream.reply(), AgentReply)
    task = await zai.agents.submit(agent_id="a", messages=[])
    assert_type(task, Task[AgentReply])


async def coming_back(zai: AsyncZai) -> None:
    assert_type(zai.videos.task("id"), Task[Video])
    assert_type(zai.images.task("id"), Task[ImageResult])
    assert_type(zai.batches.task("id"), Task[Batch])
    assert_type(await zai.file_parser.submit(file=b"", tool_type="lite"), Task[ParsedFile])


async def client(zai: AsyncZai) -> None:
    assert_type(await zai.check(), tuple[EndpointCheck, ...])
    await zai.drain(grace=1.0)
    await zai.aclose()


async def unknown(zai: AsyncZai) -> None:
    assert_type(await zai.request("POST", "new/thing", body={"a": 1}, into=bytes), bytes)
    assert_type(await zai.request("GET", "files", into=Batch), Batch)
