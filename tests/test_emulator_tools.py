"""The small operations of the emulator: one JSON document in, one out."""

import math

import openai
import pytest
import zai

from tests.emulator_wire import error_of, wire
from zai_async.testing import Emulator

SEARCH = {"search_engine": "search-prime", "search_query": "asyncio sse"}
EMBED = {"model": "embedding-3", "input": "hello"}
RERANK = {"model": "rerank", "query": "red tea", "documents": ["blue tea", "red tea", "water"]}
COUNT = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello there"}]}
JUDGE = {"model": "moderation", "input": "hello"}
LAYOUT = {"model": "glm-ocr", "file": "https://example.com/a.pdf"}
STAMP = {"id", "created", "request_id"}


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def post(emulator):
    async with wire(emulator) as client:
        yield lambda path, body: client.post(f"/paas/v4/{path}", json=body)


# Search and reader


@pytest.mark.parametrize("intent", [True, False])
async def test_search_finds_as_many_pages_as_wanted(post, intent):
    body = SEARCH | {"count": 3, "search_intent": intent, "search_domain_filter": "docs.z.ai"}
    found = (await post("web_search", body)).json()
    assert found.keys() == STAMP | {"search_intent", "search_result"}
    assert found["search_intent"][0]["intent"] == ("SEARCH_ALL" if intent else "SEARCH_ALWAYS")
    links = [page["link"] for page in found["search_result"]]
    assert links == ["https://docs.z.ai/1", "", "https://docs.z.ai/3"]
    assert [page["refer"] for page in found["search_result"]] == ["ref_1", "ref_2", "ref_3"]


async def test_reader_reads_markdown_or_text(post):
    page = (await post("reader", {"url": "https://example.com"})).json()
    assert page.keys() == STAMP | {"model", "reader_result"}
    result = page["reader_result"]
    assert result["content"].startswith("# The page https://example.com")
    assert result.keys() == {
        *("content", "description", "title", "url", "metadata", "external"),
    }
    body = {"url": "https://example.com", "return_format": "text", "timeout": "20"}
    body |= {"with_images_summary": True, "with_links_summary": True}
    result = (await post("reader", body)).json()["reader_result"]
    assert result["content"].startswith("The page")
    assert result.keys() >= {"images", "links"}


# Vectors


def length(vector):
    return math.hypot(*vector)


@pytest.mark.parametrize("size", [256, 512, 1024, 2048])
async def test_vectors_have_length_one_and_depend_on_the_text_alone(post, size):
    body = EMBED | {"input": ["hello", "world", "hello"], "dimensions": size}
    answer = (await post("embeddings", body)).json()
    one, two, three = [item["embedding"] for item in answer["data"]]
    assert one == three != two
    assert [len(one), len(two)] == [size, size]
    assert length(one) == pytest.approx(1, abs=1e-6)
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}


@pytest.mark.parametrize(("model", "size"), [("embedding-3", 2048), ("embedding-2", 1024)])
async def test_vectors_have_a_usual_size(post, model, size):
    answer = (await post("embeddings", EMBED | {"model": model})).json()
    assert len(answer["data"][0]["embedding"]) == size


async def test_documents_are_ranked_by_common_words(post):
    answer = (await post("rerank", RERANK)).json()
    assert answer.keys() == STAMP | {"results", "usage"}
    assert answer["results"] == [
        {"index": 1, "relevance_score": 1.0},
        {"index": 0, "relevance_score": 0.5},
        {"index": 2, "relevance_score": 0.0},
    ]
    body = RERANK | {"top_n": 1, "return_documents": True, "return_raw_scores": True}
    assert (await post("rerank", body)).json()["results"] == [
        {"index": 1, "relevance_score": 10.0, "document": "red tea"}
    ]


# Checks


async def test_tokens_are_counted_by_kind(post):
    content = [
        {"type": "text", "text": "Hello there"},
        {"type": "image_url", "image_url": {"url": "https://example.com/1.png"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/1.mp4"}},
    ]
    body = COUNT | {"messages": [*COUNT["messages"], {"role": "user", "content": content}]}
    answer = (await post("tokenizer", body)).json()
    assert answer.keys() == STAMP | {"usage"}
    assert answer["usage"] == {
        "prompt_tokens": 4,
        "image_tokens": 1_000,
        "video_tokens": 10_000,
        "total_tokens": 11_004,
    }


async def test_content_is_judged_part_by_part(post):
    parts = [
        {"type": "text", "text": "This is unsafe"},
        {"type": "image_url", "image_url": {"url": "https://example.com/doubtful.png"}},
    ]
    answer = (await post("moderations", JUDGE | {"input": parts})).json()
    assert answer["result_list"] == [
        {"content_type": "text", "risk_level": "REJECT", "risk_type": ["unsafe"]},
        {"content_type": "image", "risk_level": "REVIEW", "risk_type": ["doubtful"]},
    ]
    assert answer["usage"] == {"moderation_text": {"call_count": 2}}


@pytest.mark.parametrize("content", ["hello", {"type": "text", "text": "hello"}])
async def test_a_text_may_come_alone(post, content):
    (result,) = (await post("moderations", JUDGE | {"input": content})).json()["result_list"]
    assert result == {"content_type": "text", "risk_level": "PASS", "risk_type": []}


# Layout


async def test_a_document_is_parsed_page_by_page(post):
    answer = (await post("layout_parsing", LAYOUT | {"start_page_id": 2})).json()
    assert answer["model"] == "GLM-OCR"
    assert answer["md_results"].startswith("# Page 2")
    assert answer["data_info"] == {"num_pages": 2, "pages": [{"width": 595, "height": 842}] * 2}
    assert answer["layout_visualization"] == []
    page = answer["layout_details"][0]
    assert [element["label"] for element in page] == ["text", "table", "formula", "image"]
    assert all(0 <= side <= 1 for element in page for side in element["bbox_2d"])


async def test_an_image_has_one_page_and_pictures_on_demand(emulator, post):
    body = LAYOUT | {"file": "iVBORw0KGgo=", "return_crop_images": True, "end_page_id": 5}
    answer = (await post("layout_parsing", body | {"need_layout_visualization": True})).json()
    assert answer["data_info"]["num_pages"] == 1
    assert answer["layout_visualization"][0].startswith(emulator.root_url.removesuffix("api"))
    assert "/cdn/" in answer["layout_details"][0][3]["content"]


# Refusals


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("web_search", {"search_engine": "search-prime"}, "1213"),
        ("web_search", SEARCH | {"search_engine": "search_prime"}, "1210"),
        ("web_search", SEARCH | {"count": 51}, "1210"),
        ("reader", {}, "1213"),
        ("reader", {"url": "example.com"}, "1210"),
        ("embeddings", EMBED | {"model": "embedding-9"}, "1211"),
        ("embeddings", EMBED | {"model": "glm-5"}, "1212"),
        ("embeddings", EMBED | {"dimensions": 3}, "1210"),
        ("embeddings", EMBED | {"model": "embedding-2", "dimensions": 256}, "1210"),
        ("embeddings", EMBED | {"model": "embedding-2", "input": "a " * 513}, "1210"),
        ("embeddings", EMBED | {"input": ["a"] * 65}, "1210"),
        ("rerank", RERANK | {"documents": ["a"] * 129}, "1210"),
        ("rerank", RERANK | {"query": "q" * 4097}, "1210"),
        ("tokenizer", COUNT | {"messages": []}, "1214"),
        ("tokenizer", COUNT | {"model": "glm-image"}, "1212"),
        ("moderations", JUDGE | {"input": "x" * 2001}, "1210"),
        ("layout_parsing", LAYOUT | {"start_page_id": 9}, "1210"),
        ("layout_parsing", {"model": "glm-ocr"}, "1213"),
    ],
)
async def test_what_cannot_be_is_refused(post, path, body, code):
    assert error_of(await post(path, body)) == (400, code)


# Other people's clients


async def test_openai_embeds(emulator):
    async with openai.AsyncOpenAI(api_key="key.secret", base_url=emulator.url) as client:
        answer = await client.embeddings.create(model="embedding-3", input=["a", "b"])
    assert [len(item.embedding) for item in answer.data] == [2048, 2048]


def test_zai_uses_the_small_operations():
    with Emulator() as emulator, zai.ZaiClient(api_key="key.secret", base_url=emulator.url) as sdk:
        assert len(sdk.embeddings.create(**EMBED).data[0].embedding) == 2048
        assert sdk.moderations.create(**JUDGE).id
        assert sdk.web_reader.web_reader(url="https://example.com").reader_result.title
        assert sdk.layout_parsing.create(**LAYOUT).md_results
