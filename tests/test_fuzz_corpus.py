"""What the fuzzer has found interesting, played again: one input for each way through the code."""

import pytest

from fuzz import corpus
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name):
    inputs = corpus.load(name)
    assert inputs
    for data in inputs:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name):
    for data in (b"", b"\0", b"\xff" * 7, bytes(range(256))):
        TARGETS[name](data)


def test_inputs_are_kept_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    inputs = [bytes(range(256)), b"data: 'a'\n\n", b""]
    corpus.save("parser", [*inputs, b""])
    assert sorted(corpus.load("parser")) == sorted(inputs)
    corpus.unpack("parser", tmp_path / "files")
    assert sorted(path.read_bytes() for path in (tmp_path / "files").iterdir()) == sorted(inputs)
