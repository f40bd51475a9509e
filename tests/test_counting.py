"""What is counted grows as the work does: linear code is told from quadratic code."""

import sys

import pytest

from tests.counting import counted

SOURCE = """
import re

class Linear:
    def __init__(self):
        self.held = bytearray()

    def feed(self, data):
        self.held += data
        if data.endswith(b"."):
            return bytes(self.held).split(b" ")

def concatenates(pieces):
    text = b""
    for piece in pieces:
        text = text + piece
    return text

def adds(pieces):
    text = b""
    for piece in pieces:
        text += piece

def searches_again(pieces):
    text = bytearray()
    for piece in pieces:
        text += piece
        text.find(b"!")

def searches_on(pieces):
    text, done = bytearray(), 0
    for piece in pieces:
        text += piece
        text.find(b"!", done)
        done = len(text)

def cuts_off(pieces):
    text = b"".join(pieces)
    while text:
        text = text[3:]

def matches(pieces):
    text = ""
    for piece in pieces:
        text += piece.decode()
        re.compile("!").search(text)

def loops(pieces):
    for piece in pieces:
        for other in pieces:
            pass

def joins(pieces):
    return b"".join(piece for piece in pieces if piece[:1] != b"!")
"""


@pytest.fixture
def sample(tmp_path, monkeypatch):
    (tmp_path / "sample_to_count.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return counted("sample_to_count")


def growth(counter, work, short, long):
    counts = []
    for pieces in (short, long):
        before = counter.work
        work(pieces)
        counts.append(counter.work - before)
    return counts[1] / counts[0]


@pytest.mark.parametrize(
    ("name", "linear"),
    [
        ("concatenates", False),
        ("adds", False),
        ("searches_again", False),
        ("searches_on", True),
        ("cuts_off", False),
        ("matches", False),
        ("loops", False),
        ("joins", True),
    ],
)
def test_growth_is_told(sample, name, linear):
    module, counter = sample
    grown = growth(counter, getattr(module, name), [b"abc"] * 100, [b"abc"] * 800)
    assert 7 < grown < 9 if linear else grown > 40


def test_a_copy_does_the_same_and_is_not_the_module(sample):
    module, _ = sample
    linear = module.Linear()
    assert linear.feed(b"a b") is None
    assert linear.feed(b" c.") == [b"a", b"b", b"c."]
    assert "sample_to_count" not in sys.modules
