"""Counting, reading, searching, embedding, ranking, judging; models and quota."""

from datetime import UTC, datetime

import pytest

from tests.reading import read
from zai_async.models import (
    EmbeddingResponse,
    Layout,
    Model,
    ModerationResponse,
    Page,
    Quota,
    ReaderResponse,
    RerankResponse,
    SearchResponse,
    TokenCount,
)


def test_a_count_of_tokens_is_read():
    usage = {"prompt_tokens": 5, "image_tokens": 6, "video_tokens": 7, "total_tokens": 18}
    count = read(TokenCount, {"id": "1", "created": 1790000000, "usage": usage})
    assert (count.total_tokens, count.usage.image_tokens) == (18, 6)


def test_a_document_is_read():
    element = {
        "index": 1,
        "label": "text",
        "bbox_2d": [0, 0.1, 1, 0.2],
        "content": "A",
        "height": 9,
    }
    layout = read(
        Layout,
        {
            "model": "GLM-OCR",
            "md_results": "# A",
            "layout_details": [[element], []],
            "layout_visualization": ["https://cdn.example/1.png"],
            "data_info": {"num_pages": 2, "pages": [{"width": 600, "height": 800}]},
            "usage": {"total_tokens": 4},
        },
    )
    assert layout.text == "# A"
    assert [len(page) for page in layout.layout_details] == [1, 0]
    assert layout.layout_details[0][0].bbox_2d == [0.0, 0.1, 1.0, 0.2]
    assert (layout.data_info.num_pages, layout.data_info.pages[0].height) == (2, 800)
    assert layout.usage.total_tokens == 4


def test_results_of_a_search_are_read():
    intent = {"query": "q", "intent": "SEARCH_ALL", "keywords": "k"}
    page = {"title": "T", "link": "", "refer": "ref_1"}
    found = read(SearchResponse, {"id": "1", "search_intent": [intent], "search_result": [page]})
    assert [(result.title, result.link, result.refer) for result in found.results] == [
        ("T", "", "ref_1")
    ]
    assert found.search_intent[0].intent == "SEARCH_ALL"


@pytest.mark.parametrize("name", ["search_intent", "search_result"])
def test_a_lone_object_is_read_as_a_list_of_one(name):
    assert len(getattr(read(SearchResponse, {name: {}}), name)) == 1


def test_a_page_is_read():
    page = read(
        ReaderResponse,
        {
            "reader_result": {
                "content": "Text",
                "title": "T",
                "publishedTime": "2026-11-20",
                "metadata": {"format-detection": "telephone=no", "n": 1},
                "external": {"stylesheet": {"https://example.org/a.css": {"type": "text/css"}}},
            }
        },
    )
    assert (page.text, page.title) == ("Text", "T")
    assert page.reader_result.published_time == "2026-11-20"
    assert page.reader_result.metadata["format-detection"] == "telephone=no"
    assert list(page.reader_result.external) == ["stylesheet"]


def test_vectors_come_in_the_order_of_the_texts():
    data = [{"index": 1, "embedding": [0.5, 1]}, {"index": 0, "embedding": [0.25, 0]}]
    found = read(EmbeddingResponse, {"object": "list", "data": data, "usage": {"total_tokens": 3}})
    assert found.vectors == [[0.25, 0.0], [0.5, 1.0]]
    assert [item.index for item in found.data] == [1, 0]


def test_a_ranking_is_read_also_without_its_texts():
    results = [{"index": 1, "relevance_score": 0.9, "document": "b"}, {"index": 0}]
    best, rest = read(RerankResponse, {"results": results}).results
    assert (best.index, best.relevance_score, best.document) == (1, 0.9, "b")
    assert (rest.index, rest.document) == (0, None)


@pytest.mark.parametrize(
    ("levels", "flagged"),
    [(["PASS"], False), (["PASS", "REVIEW"], True), (["REJECT"], True), ([], False)],
)
def test_a_judgement_is_read(levels, flagged):
    results = [{"content_type": "text", "risk_level": level, "risk_type": []} for level in levels]
    found = read(
        ModerationResponse,
        {"result_list": results, "usage": {"moderation_text": {"call_count": 1}}},
    )
    assert [result.risk_level for result in found.results] == levels
    assert (found.flagged, found.usage.moderation_text.call_count) == (flagged, 1)


def test_models_are_read():
    entry = {"id": "glm-5.3", "object": "model", "created": 1786665600, "owned_by": "z-ai"}
    (model,) = read(Page[Model], {"object": "list", "data": [entry]}).data
    assert (model.id, model.owned_by) == ("glm-5.3", "z-ai")
    assert model.released == datetime(2026, 8, 14, tzinfo=UTC)


def test_the_quota_of_a_plan_is_read():
    tokens = {"type": "TOKENS_LIMIT", "unit": 3, "number": 5, "percentage": 12}
    tools = {
        "type": "TIME_LIMIT",
        "usage": 1000,
        "currentValue": 3,
        "remaining": 997,
        "percentage": 0.3,
        "nextResetTime": 1790000000000,
        "usageDetails": [{"modelCode": "search-prime", "usage": 3}],
    }
    quota = read(Quota, {"code": 200, "data": {"level": "pro", "limits": [tokens, tools]}})
    first, second = quota.limits
    assert (quota.level, first.percentage, first.remaining, first.resets_at) == (
        "pro",
        12.0,
        None,
        None,
    )
    assert (second.current_value, second.remaining) == (3, 997)
    assert second.resets_at == datetime.fromtimestamp(1790000000, UTC)
    assert second.usage_details[0].model_code == "search-prime"
