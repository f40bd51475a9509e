"""What the page says about relays is what was published, and that meets the goals."""

import json

import pytest

from benchmarks import pages, relay
from tests.effort import THOROUGH
from tests.nginx import needs_nginx

RESULTS = json.loads(relay.PUBLISHED.read_text(encoding="utf-8"))


def test_the_page_says_what_was_published():
    text = (pages.DOCS / "web.md").read_text(encoding="utf-8")
    assert text == pages.replaced(text, "relay", relay.part(RESULTS))


@pytest.mark.parametrize("setup", relay.SETUPS)
def test_the_published_run_meets_the_goals(setup):
    costs = RESULTS["tokens"][setup]
    for name, cost in costs.items():
        if name.startswith("ours"):
            assert (name, costs[relay.BASE] / cost >= 8) == (name, True)
        if name.startswith("ours, UI") and "coalesced" in name:
            assert costs[relay.BASE] / cost >= 20


def test_nothing_was_left_of_a_storm():
    found = RESULTS["storm"]
    assert (found["open"], found["permits"], found["tracebacks"]) == (0, 0, 0)
    assert found["readers"] >= 1_000
    assert found["left"] * 3 >= found["readers"] * found["rounds"]
    assert found["faults"] * 5 == found["requests"]
    assert found["memory"][-1] <= found["memory"][1] * 1.1
    assert RESULTS["first"]["relayed"] - RESULTS["first"]["direct"] <= 1


@needs_nginx
@pytest.mark.skipif(not THOROUGH, reason="it starts four processes")
def test_a_small_storm_leaves_nothing():
    pytest.importorskip("httptools")
    found = relay.storm(0.05)
    assert (found["open"], found["permits"], found["tracebacks"]) == (0, 0, 0)
    assert found["faults"] * 5 == found["requests"] == 50 * found["rounds"]
