"""`--schema`: a type of a module, or a JSON Schema in a file."""

import argparse
import json
import sys

import pytest

from tests.command_line import surround
from zai_async.cli import main
from zai_async.cli.schemas import schema

MODULE = """
import dataclasses

class Outer:
    @dataclasses.dataclass
    class City:
        name: str
"""
PLAIN = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, zai_emulator, tmp_path):
    surround(monkeypatch, zai_emulator, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    (tmp_path / "cities_of_a_test.py").write_text(MODULE, "utf-8")
    (tmp_path / "city.json").write_text(json.dumps(PLAIN), "utf-8")
    (tmp_path / "rows.jsonl").write_text('{"custom_id": "a", "prompt": "A city?"}\n', "utf-8")
    yield
    sys.modules.pop("cities_of_a_test", None)


def test_types_are_found_in_the_current_directory():
    assert schema("cities_of_a_test:Outer.City").__name__ == "City"
    assert schema("cities_of_a_test:Outer.City") is schema("cities_of_a_test:Outer.City")
    assert schema("city.json") == PLAIN


def test_a_file_may_have_a_colon_in_its_name(tmp_path):
    (tmp_path / "C:city.json").write_text(json.dumps(PLAIN), "utf-8")
    assert schema("C:city.json") == PLAIN


@pytest.mark.parametrize(
    "word", ["cities_of_a_test:Town", "no_such_module:T", "missing.json", "rows.txt", "a:b:c", ":"]
)
def test_what_is_no_type(word, tmp_path):
    (tmp_path / "rows.txt").write_text("[1]", "utf-8")
    with pytest.raises(argparse.ArgumentTypeError, match=r"neither MODULE:TYPE nor|no JSON Schema"):
        schema(word)


@pytest.mark.parametrize("word", ["cities_of_a_test:Outer.City", "city.json"])
def test_rows_are_answered_with_values(capsys, zai_emulator, word):
    batch = ["rows.jsonl", "--model", "glm-4.6", "--schema", word]
    zai_emulator.chat.reply('{"name": 7}')
    zai_emulator.chat.reply('{"name": "Oslo"}')
    assert main(["batch", "run", *batch[:1], "out.jsonl", *batch[1:]]) == 0
    assert len(zai_emulator.requests) == 2
    assert main(["batch", "validate", *batch]) == 0
    assert "rows" in capsys.readouterr().out


def test_a_type_without_schema_is_refused(capsys, zai_emulator):
    options = ["--model", "glm-4.6", "--schema", "builtins:object"]
    assert main(["batch", "run", "rows.jsonl", "out.jsonl", *options]) == 2
    assert "has no schema" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["batch", "run", "rows.jsonl", "out.jsonl", "--schema", "missing:T"])
    assert "neither MODULE:TYPE nor a file of JSON" in capsys.readouterr().err
    assert not zai_emulator.requests
