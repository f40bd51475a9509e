"""The simple operations over a real socket, answered by an emulator that is written apart."""

import json
import math

import pytest

from zai_async import AsyncZai, BadRequestError

AGENT_MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "Good morning"}]}]


@pytest.fixture
async def zai(zai_emulator):
    async with AsyncZai(base_url=zai_emulator.url, api_key="test", trust_env=False) as client:
        yield client


async def test_an_image_has_an_address(zai):
    images = await zai.images.generate(model="glm-image", prompt="A lighthouse")
    assert images.url.startswith("http://127.0.0.1")
    assert images.urls == [images.url]


async def test_tokens_are_counted(zai):
    short = await zai.tokenizer.count(model="glm-4.6", messages="Hello")
    long = await zai.tokenizer.count(model="glm-4.6", messages="Hello " * 50)
    assert 0 < short.total_tokens < long.total_tokens


async def test_a_document_and_a_page_have_text(zai):
    layout = await zai.layout_parsing.parse(model="glm-ocr", file="https://example.org/a.png")
    page = await zai.reader.read(url="https://example.org")
    assert layout.text
    assert all(element.label for each in layout.layout_details for element in each)
    assert page.text
    assert page.title


async def test_a_search_finds_as_many_pages_as_are_wanted(zai):
    found = await zai.web_search.create(
        search_engine="search-prime", search_query="lighthouses", count=3
    )
    assert len(found.results) == 3
    assert all(result.title for result in found.results)


async def test_vectors_have_the_wanted_length(zai):
    answer = await zai.embeddings.create(model="embedding-3", input=["a", "b"], dimensions=256)
    assert [len(vector) for vector in answer.vectors] == [256, 256]
    assert math.isclose(math.hypot(*answer.vectors[0]), 1, rel_tol=1e-3)


async def test_the_best_document_comes_first(zai):
    documents = ["tax law", "the light of a lighthouse"]
    ranking = await zai.rerank.create(model="rerank", query="lighthouse", documents=documents)
    scores = [result.relevance_score for result in ranking.results]
    assert ranking.results[0].index == 1
    assert scores == sorted(scores, reverse=True)


async def test_harmless_text_passes(zai):
    judgement = await zai.moderations.create(model="moderation", input="A lighthouse")
    assert [result.risk_level for result in judgement.results] == ["PASS"]
    assert not judgement.flagged


async def test_voices_are_listed_without_a_content_type(zai):
    found = await zai.voices.list(voice_type="OFFICIAL")
    assert "tongtong" in [voice.voice for voice in found.voice_list]


async def test_all_pages_of_files_are_read(zai):
    made = [
        await zai.files.create(file=(f"{number}.txt", b"terms"), purpose="agent")
        for number in range(3)
    ]
    listing = zai.files.list(purpose="agent", limit=2)
    first = await listing
    assert (len(first.data), first.has_more) == (2, True)
    assert sorted([file.id async for file in listing]) == sorted(file.id for file in made)
    assert (await zai.files.delete(made[0].id)).deleted
    assert made[0].id not in [file.id async for file in listing]


async def test_models_and_quota_are_told(zai):
    assert "glm-5.3" in [model.id async for model in zai.models.list()]
    quota = await zai.quota()
    assert quota.level
    assert all(0 <= limit.percentage <= 100 for limit in quota.limits)


async def test_an_agent_translates(zai):
    reply = await zai.agents.invoke(
        agent_id="general_translation",
        messages=AGENT_MESSAGES,
        custom_variables={"target_lang": "de"},
    )
    assert (reply.agent_id, reply.state) == ("general_translation", "succeeded")
    assert reply.text
    assert reply.usage.total_tokens > 0


async def test_an_agent_that_takes_longer_names_its_task(zai):
    image = {"type": "image_url", "image_url": "https://example.org/a.png"}
    reply = await zai.agents.invoke(
        agent_id="vidu_template_agent",
        messages=[{"role": "user", "content": [*AGENT_MESSAGES[0]["content"], image]}],
        custom_variables={"template": "bodyshake"},
    )
    assert (reply.state, bool(reply.async_id)) == ("processing", True)


async def test_an_unknown_conversation_is_refused(zai):
    with pytest.raises(BadRequestError, match="conversation_id"):
        await zai.agents.conversation(agent_id="slides_glm_agent", conversation_id="none")


async def test_a_batch_is_followed_to_its_end(zai):
    rows = [
        {
            "custom_id": f"row-{number:04}",
            "method": "POST",
            "url": "/v4/chat/completions",
            "body": {"model": "glm-4.5", "messages": [{"role": "user", "content": "Hi"}]},
        }
        for number in range(2)
    ]
    lines = "\n".join(map(json.dumps, rows)).encode()
    source = await zai.files.create(file=("in.jsonl", lines), purpose="batch")
    batch = await zai.batches.create(input_file_id=source.id, endpoint="/v4/chat/completions")
    assert (batch.state, batch.ended) == ("processing", None)
    for _ in range(20):
        batch = await zai.batches.retrieve(batch.id)
        if batch.state != "processing":
            break
    assert (batch.state, batch.request_counts.completed) == ("succeeded", 2)
    assert batch.created <= batch.ended
    assert batch.id in [each.id async for each in zai.batches.list()]
    output = await zai.files.content(batch.output_file_id)
    assert len(output.content.splitlines()) == 2
