"""What the page says about batches is what was published."""

import json

from benchmarks import batch_pages, pages


def test_the_page_says_what_was_published():
    results = json.loads(batch_pages.PUBLISHED.read_text(encoding="utf-8"))
    text = (pages.DOCS / "performance.md").read_text(encoding="utf-8")
    assert batch_pages.part(results) in text


def test_the_goals_that_the_page_calls_met_are_met():
    results = json.loads(batch_pages.PUBLISHED.read_text(encoding="utf-8"))
    cpu = {name: own["us"] for name, own in results["rates"].items()}
    assert cpu["zai.batch"] <= 1.3 * cpu["plain calls"]
    assert cpu["zai.batch"] <= cpu["async-batch-llm, JSONL"] / 5
    assert results["kills"]["requests"] <= results["kills"]["rows"] + 50 * results["kills"]["kills"]
    assert results["kills"]["lines"] == results["kills"]["keys"] == results["kills"]["rows"]
