"""What ``zai chat`` attaches, continues, extracts, and reads on a terminal."""

from __future__ import annotations

import json
import os
import stat
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from tests.command_line import Screen, pipe_in, sent, surround
from zai_async.cli import main, repl
from zai_async.cli.conversation import first_code

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


@pytest.fixture(autouse=True)
def home(monkeypatch, zai_emulator, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    surround(monkeypatch, zai_emulator, home)
    return home


@pytest.fixture
def typed(monkeypatch):
    """Put a person in front of stdin and stdout who types these lines."""

    def type_lines(*lines):
        left = iter(lines)
        monkeypatch.setattr(sys, "stdin", Screen())
        monkeypatch.setattr(sys, "stdout", Screen())
        monkeypatch.setattr("builtins.input", lambda _prompt: strike(next(left, EOFError())))

    return type_lines


def strike(key):
    if isinstance(key, BaseException):
        raise key
    return key


# Attachments


def test_picture_is_shown_to_a_model_that_can_see(zai_emulator, tmp_path):
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    assert main(["chat", "What is this?", "--attach", str(path)]) == 0
    body = sent(zai_emulator)
    assert body["model"] == "glm-5.3-flash"
    picture, question = body["messages"][0]["content"]
    assert b64decode(picture["image_url"]["url"].rpartition(",")[2]) == PNG
    assert question == {"type": "text", "text": "What is this?"}


def test_picture_without_words(zai_emulator):
    assert main(["chat", "-a", "https://a.example/b.jpg?x=1"]) == 0
    assert sent(zai_emulator)["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://a.example/b.jpg?x=1"}}
    ]


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("https://a.example/b.mp4", {"video_url": {"url": "https://a.example/b.mp4"}}),
        ("https://a.example/b", {"file": {"file_url": "https://a.example/b"}}),
        ("https://a.example/b.wav", {"file": {"file_url": "https://a.example/b.wav"}}),
        ("data:image/png;base64,AA==", {"image_url": {"url": "data:image/png;base64,AA=="}}),
    ],
)
def test_addresses_are_what_their_names_say(zai_emulator, word, part):
    assert main(["chat", "Hi", "--file", word, "-m", "glm-4.6v"]) == 0
    body = sent(zai_emulator)
    assert body["model"] == "glm-4.6v"
    assert part.items() <= body["messages"][0]["content"][0].items()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.mp4", b"\0\0\0\x18ftypmp42", "video_url"),
        ("a.wav", b"RIFF$\0\0\0WAVE", "input_audio"),
        ("a.PDF", b"%PDF-1.4", "file"),
    ],
)
def test_files_are_what_their_names_say(zai_emulator, tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)
    assert main(["chat", "Hi", "-a", str(path)]) == 0
    assert sent(zai_emulator)["messages"][0]["content"][0]["type"] == kind


def test_texts_join_the_prompt(zai_emulator, tmp_path):
    path = tmp_path / "app.py"
    path.write_bytes(b"if x:\r\n    y\n")
    assert main(["chat", "Explain.", "-a", str(path), "-a", str(path)]) == 0
    body = sent(zai_emulator)
    shown = "app.py:\n\nif x:\r\n    y\n"
    assert body["messages"][0]["content"] == f"Explain.\n\n{shown}\n\n{shown}"
    assert body["model"] == "glm-5.3"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.png", "No such file"),
        ("none.txt", "No such file"),
        ("", "Is a directory"),
        ("\0", "embedded null"),
        ("x.bin", "neither text in UTF-8"),
    ],
)
def test_file_that_cannot_be_attached(capsys, zai_emulator, tmp_path, name, said):
    (tmp_path / "x.bin").write_bytes(b"\xff")
    assert main(["chat", "Hi", "-a", str(tmp_path / name)]) == 2
    assert said in capsys.readouterr().err
    assert zai_emulator.requests == []


# Going on


def test_conversation_goes_on(zai_emulator, home):
    zai_emulator.chat.reply("Red.", thinking="hm")
    zai_emulator.chat.reply("Blue.")
    assert main(["chat", "A colour", "-s", "Be brief.", "-m", "glm-5"]) == 0
    assert main(["chat", "-c", "Another"]) == 0
    assert main(["chat", "--continue", "A third", "-m", "glm-5.2", "-s", "Rhyme."]) == 0
    second, third = sent(zai_emulator, 1), sent(zai_emulator, 2)
    assert second["model"] == "glm-5"
    assert second["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A colour"},
        {"role": "assistant", "content": "Red.", "reasoning_content": "hm"},
        {"role": "user", "content": "Another"},
    ]
    assert third["model"] == "glm-5.2"
    assert third["messages"][0]["content"] == "Rhyme."
    assert len(third["messages"]) == 6
    path = home / "state/zai/conversation.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["conversation.json"]


def test_files_of_a_conversation_are_not_kept(zai_emulator, home, tmp_path):
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    assert main(["chat", "What is this?", "-a", str(path)]) == 0
    assert main(["chat", "-c", "Sure?"]) == 0
    assert sent(zai_emulator)["messages"][0] == {
        "role": "user",
        "content": "[a file that was shown: image_url]\n\nWhat is this?",
    }
    assert "base64" not in (home / "state/zai/conversation.json").read_text()


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"model": 1}', b"\xff", b"[" * 10_000])
def test_nothing_to_continue(capsys, zai_emulator, home, content):
    if content is not None:
        (home / "state/zai").mkdir(parents=True)
        (home / "state/zai/conversation.json").write_bytes(content)
    with pytest.raises(SystemExit, match="2"):
        main(["chat", "-c", "Hi"])
    assert "no conversation to continue" in capsys.readouterr().err
    assert zai_emulator.requests == []


def test_nothing_is_kept_where_it_is_not_wanted(monkeypatch, home, typed):
    monkeypatch.setenv("ZAI_HISTORY", "off")
    assert main(["chat", "Hi"]) == 0
    typed("Hi")
    assert main(["chat"]) == 0
    assert list(home.iterdir()) == []


def test_answer_needs_no_place_to_be_kept(capsys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    assert main(["chat", "Hi"]) == 0
    assert capsys.readouterr().out


def test_interrupted_save_leaves_the_last_one(monkeypatch, home):
    def interrupted(*_):
        raise KeyboardInterrupt

    assert main(["chat", "One"]) == 0
    path = home / "state/zai/conversation.json"
    before = path.read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", interrupted)
    assert main(["chat", "Two"]) == 130
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["conversation.json"]


# Code

REPLY = "Like this:\n\n```python\nprint(1)\n\nprint(2)\n```\n\nOr:\n\n```\n3\n```\n"


@pytest.mark.parametrize("options", [[], ["--no-stream"]], ids=["stream", "whole"])
def test_only_the_code_is_printed(capsys, zai_emulator, options):
    zai_emulator.chat.reply(REPLY)
    assert main(["chat", "Code", "-x", *options]) == 0
    assert capsys.readouterr() == ("print(1)\n\nprint(2)\n", "")


def test_answer_without_code_is_printed_whole(capsys, zai_emulator):
    zai_emulator.chat.reply("There is none.")
    assert main(["chat", "Code", "--extract"]) == 0
    output, said = capsys.readouterr()
    assert output == "There is none.\n"
    assert said == "zai: the answer has no block of code; this is all of it\n"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("```\na\n```", "a\n"),
        ("```sh\na\n", "a\n"),
        ("````md\n```\na\n```\n````\nb", "```\na\n```\n"),
        ("~~~\na\n```\n~~~\n", "a\n```\n"),
        ("1. So:\n   ```c\n   a\n   ```\n", "   a\n"),
        ("```\n```\n", ""),
        ("`a` and ```b``` c\n", None),
        ("", None),
    ],
)
def test_first_block_of_code(answer, code):
    assert first_code(answer) == code


# On a terminal


def test_text_of_several_lines(typed, zai_emulator):
    typed('"""Sum up:', "  one", "", '  two"""', '"""three"""', "four\nfive")
    assert main(["chat"]) == 0
    asked = [request.json["messages"][-1]["content"] for request in zai_emulator.requests]
    assert asked == ["Sum up:\n  one\n\n  two", "three", "four\nfive"]


def test_person_may_leave_within_a_text(typed, zai_emulator):
    typed('"""one')
    assert main(["chat"]) == 0
    assert zai_emulator.requests == []


def test_file_goes_along_with_the_next_question(typed, zai_emulator, capsys):
    typed("/attach https://a.example/b.png", "/attach none.png", "What?", "And?", "/exit")
    assert main(["chat", "-a", "https://a.example/a.png"]) == 0
    first, second = (request.json["messages"] for request in zai_emulator.requests)
    assert [part["type"] for part in first[0]["content"]] == ["image_url", "image_url", "text"]
    assert second[-1]["content"] == "And?"
    assert "none.png" in capsys.readouterr().err


def test_lines_are_remembered_privately(typed, home, monkeypatch):
    readline = pytest.importorskip("readline")
    typed("Hi")
    monkeypatch.setattr(repl, "read_question", remembering(readline, repl.read_question))
    assert main(["chat"]) == 0
    path = home / "state/zai/history"
    assert path.read_text().splitlines()[-1] == "Hi"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    typed("/exit")
    assert main(["chat"]) == 0
    assert readline.get_history_item(1) == "Hi" or "Hi" in path.read_text()


def remembering(readline, read):
    """Add each line to the history, as input() does on a real terminal."""

    def read_and_remember(*_):
        line = read()
        readline.add_history(line)
        return line

    return read_and_remember


def test_piped_text_and_a_file(monkeypatch, zai_emulator):
    pipe_in(monkeypatch, b"piped")
    assert main(["chat", "words", "-a", "https://a.example/a.png"]) == 0
    question = sent(zai_emulator)["messages"][0]["content"][-1]
    assert question["text"] == "words\n\npiped"


def test_saved_conversation_is_plain_json(home):
    assert main(["chat", "caf\u00e9"]) == 0
    data = (home / "state/zai/conversation.json").read_bytes()
    assert data.isascii()
    assert json.loads(data)["messages"][0]["content"] == "caf\u00e9"
    assert os.environ["XDG_STATE_HOME"] == str(home / "state")


# Tools, types, and scripts


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """Put a module of tools where the command finds it."""
    (tmp_path / "my_functions.py").write_text(FUNCTIONS)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "city.json").write_text('{"type": "object", "required": ["name"]}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_functions", None)


FUNCTIONS = """
from msgspec import Struct
from zai_async import tool

class City(Struct):
    name: str
    people: int

def add(a: int, b: int) -> int:
    "Add numbers."
    return a + b

@tool(approve=True)
def remove(name: str) -> str:
    "Remove a file."
    return f"removed {name}"

number = 7
"""
ADD = ["chat", "--tools", "my_functions:add"]


def test_model_calls_functions(zai_emulator, capsys, functions, home):
    assert main([*ADD, "add 2 and 3"]) == 0
    said = capsys.readouterr()
    assert 'add({"a":2,"b":3})' in said.err.replace(": ", ":").replace(", ", ",")
    assert "add: completed: 5" in said.err
    assert said.out.endswith("\n")
    assert sent(zai_emulator)["messages"][-1]["content"] == "5"
    kept = json.loads((home / "state/zai/conversation.json").read_bytes())
    roles = [message["role"] for message in kept["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert main([*ADD, "-c", "--quiet", "--hide-thinking", "And?"]) == 0
    assert [m["role"] for m in sent(zai_emulator)["messages"]][:4] == roles
    assert capsys.readouterr().err == ""


def test_thinking_is_shown_between_calls(zai_emulator, capsys, functions):
    zai_emulator.chat.reply(
        "One moment.", thinking="Hm.", tool_calls=[{"name": "add", "arguments": {"a": 1, "b": 2}}]
    )
    zai_emulator.chat.reply("Three.\n")
    assert main([*ADD, "--show-thinking", "add"]) == 0
    said = capsys.readouterr()
    assert said.out == "One moment.Three.\n"
    assert "Hm." in said.err


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("y", "completed"), ("no", "denied"), (EOFError(), "denied")],
)
@pytest.mark.usefixtures("functions")
def test_person_is_asked_about_calls(zai_emulator, typed, monkeypatch, answer, outcome):
    zai_emulator.chat.reply(tool_calls=[{"name": "remove", "arguments": {"name": "a.txt"}}])
    zai_emulator.chat.reply("Done.")
    typed("remove it", answer, "/exit")
    screen = monkeypatch.setattr(sys, "stderr", Screen()) or sys.stderr
    assert main(["chat", "--tools", "my_functions:remove"]) == 0
    assert f"remove: {outcome}: " in screen.getvalue()


def test_nobody_agrees_where_nobody_is_asked(zai_emulator, capsys, functions):
    zai_emulator.chat.reply(tool_calls=[{"name": "remove", "arguments": {"name": "a.txt"}}])
    zai_emulator.chat.reply("Sorry.")
    assert main(["chat", "--tools", "my_functions:remove", "remove a.txt"]) == 0
    said = capsys.readouterr()
    assert "remove needs somebody who agrees" in said.err
    assert said.out == "Sorry.\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tools", "my_functions:nothing"], "is no MODULE:FUNCTION"),
        (["--tools", "no_such_module:add"], "is no MODULE:FUNCTION"),
        (["--tools", "my_functions:number"], "is no function"),
        (["--schema", "my_functions:City", "-x"], "goes with neither"),
        (["--schema", "my_functions.py"], "neither MODULE:TYPE nor a file of JSON"),
        (["--schema", "list.json"], "holds no JSON Schema"),
        (["--schema", "my_functions:City", "--tools", "my_functions:add"], "goes with neither"),
    ],
)
def test_tools_and_types_that_cannot_be_used(zai_emulator, capsys, functions, options, said):
    with pytest.raises(SystemExit, match="2"):
        main(["chat", *options, "Hi"])
    assert said in capsys.readouterr().err
    assert zai_emulator.requests == []


def test_answer_is_a_value(zai_emulator, capsys, functions):
    zai_emulator.chat.reply('```json\n{"name": "Oslo", "people": "709000"}\n```', times=2)
    assert main(["chat", "--schema", "my_functions:City", "A city"]) == 0
    assert capsys.readouterr().out == '{"name": "Oslo", "people": 709000}\n'
    assert main(["chat", "--schema", "my_functions:City", "--json", "A city"]) == 0
    assert json.loads(capsys.readouterr().out)["choices"]
    zai_emulator.chat.reply('{"name": "Rome"}')
    assert main(["chat", "--schema", "city.json", "A city"]) == 0
    assert capsys.readouterr().out == '{"name": "Rome"}\n'


SCRIPT = '''\
# Ask twice.
/image https://a.example/a.png
What is this?

"""And
# this?"""
/save talk.json
/reset
Third
/load talk.json
Fourth
/exit
Never
'''


def test_script_is_one_conversation(zai_emulator, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.txt").write_text(SCRIPT)
    assert main(["run", "script.txt", "-m", "glm-5.3-flash"]) == 0
    asked = [request.json["messages"] for request in zai_emulator.requests]
    assert [len(messages) for messages in asked] == [1, 3, 1, 5]
    assert asked[0][0]["content"][0]["type"] == "image_url"
    assert asked[1][-1]["content"] == "And\n# this?"
    assert asked[3][2]["content"] == "And\n# this?"
    assert stat.S_IMODE((tmp_path / "talk.json").stat().st_mode) == 0o600
    assert "saved in talk.json" in capsys.readouterr().err


def test_script_from_a_pipe_ends_where_a_question_fails(zai_emulator, capsys, monkeypatch):
    zai_emulator.chat.reply("One.")
    zai_emulator.chat.reply("Half", finish_reason="network_error")
    pipe_in(monkeypatch, b"first\nsecond\nthird\n")
    assert main(["run", "-"]) == 1
    assert len(zai_emulator.requests) == 2
    pipe_in(monkeypatch, b"third\n")
    assert main(["run", "-"]) == 0
    pipe_in(monkeypatch, b"/nope\nfirst\n")
    assert main(["run", "-"]) != 0
    assert "no command /nope" in capsys.readouterr().err
    assert len(zai_emulator.requests) == 3


def test_script_that_cannot_be_read(capsys, tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(SystemExit, match="2"):
        main(["run", str(tmp_path / "bytes")])
    assert "is not text in UTF-8" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "nothing")]) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/save", "/save needs the name of a file"),
        ("/save /proc/none/a.json", "zai: /proc/none/a.json: "),
        ("/load none.json", "none.json: No such file"),
        ("/load text.json", "text.json: "),
    ],
)
@pytest.mark.usefixtures("functions")
def test_conversation_that_cannot_be_saved_or_loaded(typed, zai_emulator, capsys, line, said):
    Path("text.json").write_text("no JSON")
    typed(line, "Hi", "/exit")
    assert main(["chat"]) == 0
    assert said in capsys.readouterr().err
    assert len(zai_emulator.requests) == 1
