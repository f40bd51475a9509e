"""The contract with type checkers, for every operation beside chat; checked, never run.

Commands: `mypy tests/typing` and `basedpyright tests/typing`.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from zai_async import AsyncZai
from zai_async.models import (
    AgentContent,
    AgentMessage,
    AgentReply,
    Batch,
    BatchErrors,
    BatchResult,
    BinaryReply,
    ChatCompletion,
    ClonedVoice,
    ContentFilter,
    Embedding,
    EmbeddingResponse,
    File,
    FileDeletion,
    Handwriting,
    HandwritingLine,
    Image,
    ImagesResponse,
    Layout,
    LayoutElement,
    Model,
    ModerationResponse,
    ModerationResult,
    Page,
    ParsedFile,
    Quota,
    QuotaLimit,
    ReaderResponse,
    RerankResponse,
    RerankResult,
    SearchResponse,
    SearchResult,
    TaskState,
    TokenCount,
    Transcription,
    Voice,
    VoiceDeletion,
    VoiceList,
)
from zai_async.resources import Listing


async def images(zai: AsyncZai) -> None:
    answer = await zai.images.generate(
        model="glm-image", prompt="x", quality="hd", size="1280x1280"
    )
    assert_type(answer, ImagesResponse)
    assert_type(answer.url, str | None)
    assert_type(answer.urls, list[str])
    assert_type(answer.data, list[Image])
    assert_type(answer.content_filter, list[ContentFilter])
    assert_type(answer.request_id, str | None)


async def tools(zai: AsyncZai) -> None:
    count = await zai.tokenizer.count(model="glm-4.6", messages="Hi")
    assert_type(count, TokenCount)
    assert_type(count.total_tokens, int)
    layout = await zai.layout_parsing.parse(model="glm-ocr", file="https://example.org/a.pdf")
    assert_type(layout, Layout)
    assert_type(layout.text, str)
    assert_type(layout.layout_details, list[list[LayoutElement]])
    found = await zai.web_search.create(search_engine="search-prime", search_query="q", count=3)
    assert_type(found, SearchResponse)
    assert_type(found.results, list[SearchResult])
    page = await zai.reader.read(url="https://example.org", timeout=5)
    assert_type(page, ReaderResponse)
    assert_type(page.text, str)
    assert_type(page.reader_result.metadata, dict[str, Any])


async def judging(zai: AsyncZai) -> None:
    vectors = await zai.embeddings.create(model="embedding-3", input=["a"], dimensions=256)
    assert_type(vectors, EmbeddingResponse)
    assert_type(vectors.vectors, list[list[float]])
    assert_type(vectors.data, list[Embedding])
    ranking = await zai.rerank.create(model="rerank", query="q", documents=["a"])
    assert_type(ranking, RerankResponse)
    assert_type(ranking.results, list[RerankResult])
    judgement = await zai.moderations.create(
        model="moderation",
        input=[{"type": "image_url", "image_url": {"url": "https://example.org"}}],
    )
    assert_type(judgement, ModerationResponse)
    assert_type(judgement.results, list[ModerationResult])
    assert_type(judgement.flagged, bool)


async def voices(zai: AsyncZai) -> None:
    cloned = await zai.voices.clone(model="m", voice_name="me", input="Hello", file_id="f")
    assert_type(cloned, ClonedVoice)
    found = await zai.voices.list(voice_type="PRIVATE")
    assert_type(found, VoiceList)
    assert_type(found.voice_list, list[Voice])
    assert_type(await zai.voices.delete(voice="v"), VoiceDeletion)


async def files(zai: AsyncZai) -> None:
    listing: Listing[File] = zai.files.list(purpose="batch", limit=5)
    page = await listing
    assert_type(page, Page[File])
    assert_type(page.data, list[File])
    async for file in listing:
        assert_type(file, File)
        assert_type(file.created, datetime | None)
    assert_type(await zai.files.delete("f-1"), FileDeletion)
    assert_type(await zai.files.create(file=b"x", purpose="agent"), File)
    assert_type(await zai.files.content("f-1"), BinaryReply)
    parsed = await zai.file_parser.parse(file=Path("a.pdf"), file_type="PDF")
    assert_type(parsed, ParsedFile)
    assert_type(parsed.state, TaskState)
    written = await zai.ocr.handwriting(file=("a.png", b"x", "image/png"), probability=True)
    assert_type(written, Handwriting)
    assert_type(written.lines, list[HandwritingLine])


async def audio(zai: AsyncZai) -> None:
    said = await zai.audio.transcriptions.create(model="glm-asr-2512", file="a.wav")
    assert_type(said, Transcription)
    assert_type(said.text, str)
    spoken = await zai.audio.speech.create(model="glm-tts", input="Hello", response_format="wav")
    assert_type(spoken, BinaryReply)


async def batches(zai: AsyncZai) -> None:
    batch = await zai.batches.create(input_file_id="f-1", endpoint="/v4/chat/completions")
    assert_type(batch, Batch)
    assert_type(batch.state, TaskState)
    assert_type(batch.created, datetime | None)
    assert_type(batch.request_counts.completed, int)
    assert_type(batch.errors, BatchErrors | None)
    assert_type(await zai.batches.retrieve("b-1"), Batch)
    for result in await zai.batches.results(batch):
        assert_type(result, BatchResult)
        assert_type(result.completion, ChatCompletion | None)
    assert_type(await zai.batches.cancel("b-1"), Batch)
    assert_type(await zai.batches.list(limit=1), Page[Batch])
    async for each in zai.batches.list():
        assert_type(each, Batch)


async def agents(zai: AsyncZai) -> None:
    reply = await zai.agents.invoke(
        agent_id="general_translation",
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        custom_variables={"target_lang": "de", "strategy": "two_step"},
    )
    assert_type(reply, AgentReply)
    assert_type(reply.text, str)
    assert_type(reply.urls, list[str])
    assert_type(reply.messages, list[AgentMessage])
    assert_type(reply.messages[0].parts, list[AgentContent])
    slides = await zai.agents.conversation(
        agent_id="slides_glm_agent",
        conversation_id="c",
        custom_variables={"include_pdf": True, "pages": [{"position": 1, "width": 960}]},
    )
    assert_type(slides, AgentReply)


async def account(zai: AsyncZai) -> None:
    assert_type(await zai.models.list(), Page[Model])
    async for model in zai.models.list():
        assert_type(model.released, datetime | None)
    quota = await zai.quota()
    assert_type(quota, Quota)
    assert_type(quota.limits, list[QuotaLimit])
    assert_type(quota.limits[0].resets_at, datetime | None)


async def mistakes(zai: AsyncZai) -> None:
    """Each line is an error that both checkers report."""
    await zai.images.generate(model="glm-image")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await zai.reader.read(url=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await zai.rerank.create(model="m", query="q", documents=["a"], top=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
