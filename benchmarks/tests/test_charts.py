"""The pictures show ratios, repeat to the byte, and can be read in the light and in the dark."""

import json
import re
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("matplotlib", reason="draws the pictures")

from benchmarks import charts

RESULTS = {
    "step": {
        "ours": {"median": 20.0},
        "openai_default": {"median": 230.0},
        "epoll_python": {"median": 5.0},
        "raw_protocol": {"median": 10.0},
    }
}


def test_ratios_are_to_ours_and_in_order():
    assert charts.ratios(RESULTS, "step") == {
        "raw_protocol": 0.5,
        "ours": 1.0,
        "openai_default": 11.5,
    }
    assert list(charts.ratios(RESULTS, "step")) == ["raw_protocol", "ours", "openai_default"]


def test_what_was_not_measured_is_not_drawn(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"machine": {}, **RESULTS, "memory": {"openai_default": {}}}))
    charts.main(["--results", str(results), "--pictures", str(tmp_path / "pictures")])
    assert charts.measured(RESULTS) == {"streams": ("step",)}
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["benchmark-streams.svg"]


def test_the_same_figures_give_the_same_bytes():
    picture = charts.draw(RESULTS, ("step",))
    assert picture == charts.draw(RESULTS, ("step",))
    assert "<dc:date>" not in picture


def test_every_colour_has_two_values():
    picture = charts.draw(RESULTS, ("step",))
    ET.fromstring(picture)
    drawn = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", picture)) - {"none"}
    assert drawn == {f"var(--{name})" for name, _, _ in charts.COLOURS.values()}
    assert "prefers-color-scheme:dark" in picture


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.05, "0.05x"), (1, "1.0x"), (9.94, "9.9x"), (12, "12x")]
)
def test_a_multiple_has_two_digits(ratio, text):
    assert charts._times(ratio) == text
