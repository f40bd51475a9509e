"""Who reads unfinished JSON in the benchmark comes to the same value."""

import json

import pytest

from benchmarks import partial_json


def test_the_document_is_cut_and_nothing_is_lost():
    text = partial_json.document(3)
    stream = partial_json.pieces(text)
    assert "".join(stream) == text
    assert {len(piece) for piece in stream[:-1]} == {2, 3, 4, 5, 6}


def test_contestants_come_to_the_value_of_the_document():
    stream = partial_json.pieces(partial_json.document(1))
    readers = partial_json.contestants()
    assert "zai-async" in readers
    for read in readers.values():
        assert read(stream) == json.loads("".join(stream))


def test_a_wrong_value_is_no_contestant():
    with pytest.raises(AssertionError, match="is not that of the document"):
        partial_json.timed(lambda stream: None, ["{}"])


def test_the_page_has_a_place_for_the_table():
    page = partial_json.PAGE.read_text(encoding="utf-8")
    (table,) = partial_json.PLACE.findall(page)
    assert table.startswith("| µs for each piece |")
