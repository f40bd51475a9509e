"""The commands that answer at once: what they send, print and write."""

from __future__ import annotations

import errno
import json
import os
import sys
import wave
from base64 import b64decode

import pytest

from tests.command_line import Screen, pipe_in, sent, surround
from tests.test_recordings import MEETING
from zai_async.cli import main
from zai_async.errors import TranscriptionIncompleteError
from zai_async.models import TranscribedPart, Transcription
from zai_async.resources import Transcriptions
from zai_async.uploads.waves import WaveFormat

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, zai_emulator, tmp_path_factory):
    surround(monkeypatch, zai_emulator, tmp_path_factory.mktemp("home"))


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "one.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 8000, "NONE", "none"))
        file.writeframes(bytes(16000))
    return str(path)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    return str(path)


def run(capsys, *argv):
    """Run a command that ends well, silently, and return its data."""
    assert main(argv) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


# Text and JSON, to stdout and to files


def test_page(capsys, zai_emulator):
    assert run(capsys, "read", "https://a.example", "--format", "text", "--no-images")
    body = sent(zai_emulator)
    assert body == {
        "url": "https://a.example",
        "return_format": "text",
        "retain_images": False,
        "no_cache": False,
    }


def test_answer_goes_to_a_file(capsys, tmp_path):
    path = tmp_path / "page.md"
    assert run(capsys, "read", "https://a.example", "--out", str(path)) == ""
    assert path.read_text(encoding="utf-8").startswith("# The page https://a.example\n")


def test_json_of_an_answer_goes_to_a_file(capsys, tmp_path):
    path = tmp_path / "page.json"
    assert run(capsys, "read", "https://a.example", "--json", "--out", str(path)) == ""
    assert json.loads(path.read_bytes())["reader_result"]["url"] == "https://a.example"


def test_file_that_cannot_be_written(capsys, tmp_path):
    assert main(["read", "https://a.example", "--out", str(tmp_path)]) == 1
    output, said = capsys.readouterr()
    assert output == ""
    assert said.startswith(f"zai: {tmp_path}: ")


def test_failure_of_the_machine_without_a_file(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdin, "read", lambda: strike(OSError("gone")))
    assert main(["tokens", "-"]) == 1
    assert capsys.readouterr() == ("", "zai: gone\n")


def strike(error):
    raise error


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no/page.md", "there is no directory"),
        ("a\0b", "no file can be called so"),
        ("\0/a", "no file can be called so"),
        ("x" * 300, os.strerror(errno.ENAMETOOLONG)),
    ],
)
def test_path_that_takes_no_file_is_a_usage_error(capsys, tmp_path, zai_emulator, name, said):
    with pytest.raises(SystemExit, match="2"):
        main(["read", "https://a.example", "--out", f"{tmp_path}/{name}"])
    assert said in capsys.readouterr().err
    assert zai_emulator.requests == []


# Searching, counting


def test_results_are_paragraphs(capsys, zai_emulator):
    output = run(capsys, "search", "asyncio", "--count", "2", "--", "-x")
    first, second = output.split("\n\n")
    assert first.splitlines() == [
        "asyncio -x (1)",
        "https://example.com/1",
        "Page 1 about asyncio -x.",
    ]
    assert second.count("\n") == 2  # the emulator leaves out an address, as the platform does
    assert sent(zai_emulator) == {
        "search_engine": "search-prime",
        "search_query": "asyncio -x",
        "count": 2,
    }


def test_search_has_wishes(capsys, zai_emulator):
    options = ["--recency", "week", "--domain", "a.example", "--engine", "search_pro"]
    run(capsys, "search", "asyncio", *options)
    body = sent(zai_emulator)
    assert body["search_recency_filter"] == "oneWeek"
    assert body["search_domain_filter"] == "a.example"
    assert body["search_engine"] == "search_pro"


def test_mainland_searches_with_its_own_engine(capsys, monkeypatch, zai_emulator):
    monkeypatch.setenv("ZHIPUAI_BASE_URL", zai_emulator.url)
    run(capsys, "search", "asyncio", "--provider", "bigmodel")
    body = sent(zai_emulator)
    assert (body["search_engine"], body["search_intent"]) == ("search_std", False)


def test_tokens_of_what_is_piped_in(capsys, monkeypatch, zai_emulator):
    pipe_in(monkeypatch, b"one two\r\n")
    assert int(run(capsys, "tokens", "-", "--model", "glm-4.5")) > 2
    assert sent(zai_emulator)["model"] == "glm-4.5"
    assert sent(zai_emulator)["messages"] == [{"role": "user", "content": "one two\r\n"}]


@pytest.mark.parametrize("words", [[], ["-"], [""]])
def test_no_text_is_a_usage_error(capsys, words):
    with pytest.raises(SystemExit, match="2"):
        main(["tokens", *words])
    assert "no text" in capsys.readouterr().err


# The account


def test_models(capsys):
    names = run(capsys, "models").splitlines()
    assert "glm-5.3" in names
    models = json.loads(run(capsys, "models", "--json"))
    assert [model["id"] for model in models] == names


def test_key_that_is_accepted(capsys):
    assert run(capsys, "check") == "zai  yes  accepted\n"


def test_key_that_is_accepted_nowhere(capsys, monkeypatch):
    monkeypatch.setenv("ZAI_API_KEY", "bad.key")
    assert main(["check"]) == 3
    output = capsys.readouterr().out
    assert output.startswith("zai  no  Auth")
    assert output.count("\n") == 1
    assert main(["check", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)[0]["ok"] is False


def test_quota(capsys):
    plan, tools, tokens = run(capsys, "quota").splitlines()
    assert plan == "plan    pro"
    assert tools.startswith("tools   10 % used  of 1 months  until 2")
    assert tokens.startswith("tokens  10 % used  of 5 h       until 2")


def test_quota_of_a_kind_that_nobody_knows(capsys, zai_emulator):
    limit = {"type": "NEW_LIMIT", "unit": 9, "number": 2, "percentage": 12.5}
    body = {"code": 200, "success": True, "data": {"level": "max", "limits": [limit]}}
    zai_emulator.fault(status=200, body=json.dumps(body).encode())
    assert run(capsys, "quota") == "plan       max\nNEW_LIMIT  12.5 % used  of 2 of unit 9\n"


# Documents


def test_document_by_its_address(capsys, zai_emulator):
    output = run(capsys, "ocr", "https://a.example/b.pdf", "--first", "2", "--last", "2")
    assert output.startswith("# Page 2\n")
    assert "# Page 3" not in output
    body = sent(zai_emulator)
    assert (body["file"], body["model"]) == ("https://a.example/b.pdf", "glm-ocr")


def test_document_on_this_machine(capsys, picture, zai_emulator):
    assert run(capsys, "ocr", picture).startswith("# Page 1\n")
    assert b64decode(sent(zai_emulator)["file"].partition(",")[2]) == PNG


def test_document_that_is_not_there(capsys):
    assert main(["ocr", "nowhere.png"]) == 2
    assert capsys.readouterr().err == "zai: nowhere.png: No such file or directory\n"


def test_handwriting(capsys, picture):
    assert run(capsys, "ocr", picture, "--handwriting") == f"dot.png has {len(PNG)} bytes.\n"


# Sound


def test_recording(capsys, recording, zai_emulator):
    options = ["--prompt", "Before.", "--hotword", "GLM", "--hotword", "Z.AI"]
    output = run(capsys, "transcribe", recording, *options)
    assert output == "This recording is 1.0 seconds long.\n"
    form = zai_emulator.requests[-1].body
    assert form.count(b'name="hotwords"') == 2
    assert b"Before." in form


def test_recording_as_a_stream(capsys, recording):
    output = run(capsys, "transcribe", recording, "--stream")
    assert output == "This recording is 1.0 seconds long.\n"


SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"


@pytest.mark.parametrize(
    ("form", "kind", "body", "output"),
    [
        ("srt", "text/plain", SUBTITLES, SUBTITLES),
        ("vtt", "text/vtt", "WEBVTT\n\n" + SUBTITLES, "WEBVTT\n\n" + SUBTITLES),
        ("text", "text/plain; charset=utf-8", "Hello\n", "Hello\n"),
        ("json", "application/json", '{"text": "Hello"}', "Hello\n"),
    ],
)
def test_recording_in_a_form(
    capsys, recording, zai_emulator, tmp_path, *, form, kind, body, output
):
    answer = {"status": 200, "body": body.encode(), "headers": {"Content-Type": kind}}
    zai_emulator.fault(**answer, times=2)
    assert run(capsys, "transcribe", recording, "--format", form) == output
    sent_form = zai_emulator.requests[-1].body
    assert f'name="response_format"\r\n\r\n{form}\r\n'.encode() in sent_form
    path = tmp_path / "words"
    assert run(capsys, "transcribe", recording, "--format", form, "--out", str(path)) == ""
    assert path.read_text(encoding="utf-8") == output


def test_recording_with_its_times(capsys, recording, zai_emulator):
    body = {
        "task": "transcribe",
        "language": "english",
        "duration": 1.0,
        "text": "Hello",
        "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": "Hello"}],
    }
    zai_emulator.fault(status=200, body=json.dumps(body).encode())
    answer = json.loads(run(capsys, "transcribe", recording, "--format", "verbose_json"))
    assert (answer["language"], answer["text"]) == ("english", "Hello")
    assert answer["segments"][0]["end"] == 1.0


@pytest.mark.parametrize("form", ["srt", "vtt", "verbose_json"])
def test_subtitles_cannot_be_streamed(capsys, recording, zai_emulator, form):
    with pytest.raises(SystemExit, match="2"):
        main(["transcribe", recording, "--stream", "--format", form])
    assert "cannot be streamed" in capsys.readouterr().err
    assert zai_emulator.requests == []


@pytest.fixture
def meeting(tmp_path):
    path = tmp_path / "meeting.wav"
    path.write_bytes(MEETING)
    return str(path)


def test_long_recording(capsys, meeting, zai_emulator):
    assert main(["transcribe", meeting, "--split"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("This recording is") == len(zai_emulator.requests) == 4
    assert "heard: 82 of 82 s" in captured.err
    assert run(capsys, "transcribe", meeting, "--split", "--stream") == captured.out
    with pytest.raises(SystemExit, match="2"):
        main(["transcribe", meeting, "--split", "--format", "srt"])
    assert "cannot be split" in capsys.readouterr().err


def test_long_recording_from_a_pipe_whose_length_nobody_knows(capsys, zai_emulator, tmp_path):
    path = tmp_path / "endless.wav"
    path.write_bytes(WaveFormat(2000).header(2**32 - 37) + MEETING[44:])
    assert main(["transcribe", str(path), "--split"]) == 0
    assert "heard: 82 s" in capsys.readouterr().err


def test_what_was_heard_of_a_long_recording_is_printed(capsys, zai_emulator, monkeypatch, meeting):
    heard = TranscribedPart(end=25.0, transcription=Transcription(text="Good morning."))
    failures = [
        TranscriptionIncompleteError("part 2", finished=[heard], partial=heard.transcription),
        TranscriptionIncompleteError("part 1"),
    ]

    async def create(self, **params):
        raise failures.pop(0)

    monkeypatch.setattr(Transcriptions, "create", create)
    for output in ("Good morning.\n", ""):
        assert main(["transcribe", meeting, "--split"]) != 0
        assert capsys.readouterr().out == output


def test_json_is_never_streamed(capsys, recording, zai_emulator):
    answer = json.loads(run(capsys, "transcribe", recording, "--stream", "--json"))
    assert answer["text"] == "This recording is 1.0 seconds long."
    assert b'name="stream"' not in zai_emulator.requests[-1].body


@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["whole", "stream"])
def test_speech_in_a_file(capsys, tmp_path, zai_emulator, options):
    path = tmp_path / "hello.wav"
    assert run(capsys, "speech", "Hello", "--voice", "jam", "--out", str(path), *options) == ""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24000)
        assert file.getnframes() == len(file.readframes(10**6)) // 2 > 0
    assert sent(zai_emulator)["voice"] == "jam"


@pytest.mark.parametrize(
    ("options", "start"), [([], b"RIFF"), (["--stream"], b""), (["--format", "pcm"], b"")]
)
def test_speech_in_a_pipe(capfdbinary, options, start):
    assert main(["speech", "Hello", *options]) == 0
    sound, said = capfdbinary.readouterr()
    assert sound.startswith(start)
    assert len(sound) > 1000
    assert (sound[:4] == b"RIFF") == (start == b"RIFF")
    assert said == b""


def test_speech_is_nothing_for_a_terminal(capsys, monkeypatch, zai_emulator):
    monkeypatch.setattr(sys, "stdout", Screen())
    with pytest.raises(SystemExit, match="2"):
        main(["speech", "Hello"])
    assert "--out" in capsys.readouterr().err
    assert zai_emulator.requests == []


# Files


def test_files_come_and_go(capsys, tmp_path):
    path = tmp_path / "batch.jsonl"
    path.write_text('{"custom_id": "line-1"}\n')
    file = run(capsys, "files", "upload", str(path), "--purpose", "batch").strip()
    assert run(capsys, "files", "content", file) == path.read_text()
    listed = run(capsys, "files", "list", "--purpose", "batch").split()
    assert (listed[0], listed[1], listed[-1]) == (file, "24", "batch.jsonl")
    assert run(capsys, "files", "delete", file) == f"{file}\n"
    assert run(capsys, "files", "list", "--purpose", "batch") == ""


def test_content_goes_to_a_file(capsys, picture, tmp_path):
    copy = tmp_path / "copy.png"
    answer = json.loads(run(capsys, "files", "upload", picture, "--json"))
    assert answer["purpose"] == "agent"
    assert run(capsys, "files", "content", answer["id"], "--out", str(copy)) == ""
    assert copy.read_bytes() == PNG


def test_content_does_not_drive_a_terminal(capsys, monkeypatch, picture):
    file = run(capsys, "files", "upload", picture).strip()
    monkeypatch.setattr(sys, "stdout", Screen())
    assert main(["files", "content", file]) == 0
    assert sys.stdout.getvalue().startswith("\ufffdPNG\n\ufffd\n")


def test_file_without_a_time(capsys, zai_emulator):
    page = {"object": "list", "data": [{"id": "file-1", "bytes": 3, "filename": "a"}]}
    zai_emulator.fault(status=200, body=json.dumps(page).encode())
    assert run(capsys, "files", "list") == "file-1  3  -  a\n"


def test_no_action_is_a_usage_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["files"])
    assert "ACTION" in capsys.readouterr().err


# Agents


def test_translation(capsys, zai_emulator):
    options = ["--to", "de", "--from", "en", "--strategy", "cot"]
    assert run(capsys, "agents", "translate", *options, "Good", "morning") == "[de] Good morning\n"
    body = sent(zai_emulator)
    assert body["custom_variables"] == {
        "source_lang": "en",
        "target_lang": "de",
        "strategy": "cot",
    }


def test_what_an_agent_wants_to_know(capsys, zai_emulator):
    options = ["--set", "target_lang=de", "--set", 'strategy_config={"cot": {}}']
    output = run(capsys, "agents", "stream", "general_translation", "Hi", *options, "--quiet")
    assert output == "[de] Hi\n"
    assert sent(zai_emulator)["custom_variables"] == {
        "target_lang": "de",
        "strategy_config": {"cot": {}},
    }


@pytest.mark.parametrize("word", ["=x", "x"])
def test_setting_that_is_none(capsys, word):
    with pytest.raises(SystemExit, match="2"):
        main(["agents", "invoke", "a", "Hi", "--set", word])
    assert f"'{word}' is not NAME=VALUE" in capsys.readouterr().err


def test_slides_and_their_conversation(capsys, tmp_path):
    argv = ["agents", "stream", "slides_glm_agent", "Tides", "--out", str(tmp_path / "slides")]
    assert main(argv) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Done")
    pages = sorted((tmp_path / "slides").iterdir())
    assert [page.name for page in pages] == ["1.html", "2.html", "3.html"]
    assert "Tides" in pages[0].read_text(encoding="utf-8")
    conversation = captured.err.split()[-1]
    urls = run(capsys, "agents", "conversation", conversation, "--pdf")
    assert all(url.startswith("http") for url in urls.split())
    assert ".pdf" in urls


def test_streamed_agent_as_json(capsys):
    assert main(["agents", "stream", "slides_glm_agent", "Tides", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["agent_id"] == "slides_glm_agent"


def test_agent_that_answers_at_once(capsys):
    assert run(capsys, "agents", "invoke", "general_translation", "Hi") == "[zh-CN] Hi\n"


# Arguments that are no text: paths may hold any bytes, and so may what comes out of a pipe

ODD, MARKED = "caf\udce9", "caf\ufffd"


@pytest.mark.parametrize(
    "argv",
    [
        ["agents", "conversation", ODD],
        ["agents", "invoke", ODD, "Hi"],
        ["agents", "invoke", "agent", "Hi", "--image", f"https://a.example/{ODD}"],
        *[
            ["agents", "translate", "Hi", option, ODD]
            for option in ("--to", "--from", "--strategy")
        ],
        *[["chat", "Hi", option, ODD] for option in ("--effort", "--model")],
        ["doctor", "--ask", ODD],
        *[["image", "A cat", option, ODD] for option in ("--model", "--size")],
        ["ocr", f"https://a.example/{ODD}"],
        ["ocr", "https://a.example/b.png", "--model", ODD],
        ["read", f"https://a.example/{ODD}"],
        ["search", "cats", "--engine", ODD],
        *[["speech", "Hi", "--out", os.devnull, option, ODD] for option in ("--model", "--voice")],
        ["task", "show", ODD, "--kind", "agent", "--agent", "agent"],
        ["task", "show", "1", "--kind", "agent", "--agent", ODD],
        ["tokens", "Hi", "--model", ODD],
        ["video", "A cat", "--image", f"https://a.example/{ODD}", "--no-wait"],
        *[["video", "A cat", option, ODD, "--no-wait"] for option in ("--model", "--size")],
    ],
    ids=lambda argv: ascii(" ".join(argv)),
)
def test_an_argument_that_is_no_text_is_sent_with_marks(argv, zai_emulator):
    main([*argv, "-q"])
    assert MARKED in json.dumps(sent(zai_emulator), ensure_ascii=False)


@pytest.mark.parametrize(
    "argv",
    [
        ["task", "show", ODD, "--kind", "video"],
        ["task", "wait", ODD, "--kind", "batch"],
        ["files", "content", ODD],
        ["files", "delete", ODD],
        ["chat", "Hi", "--base-url", f"https://{ODD}"],
        ["chat", "Hi", "--base-url", f"https://a.example/{ODD}"],
    ],
    ids=lambda argv: ascii(" ".join(argv)),
)
def test_a_name_or_an_address_must_be_text(argv, capsys, zai_emulator):
    assert main([*argv, "-q"]) == 2
    output, said = capsys.readouterr()
    assert output == ""
    assert said.splitlines()[0].startswith("zai: ")
    assert zai_emulator.requests == []


def test_a_file_may_be_called_anything(capsys, tmp_path, zai_emulator):
    path = tmp_path / f"{ODD}.txt"
    path.write_bytes(b"Hi")
    assert run(capsys, "files", "upload", str(path), "-q")
    assert b'filename="caf?.txt"' in zai_emulator.requests[-1].body
    for command in (["ocr"], ["transcribe"], ["video", "A cat", "--image"]):
        assert main([*command, str(tmp_path / ODD), "-q"]) == 2
        assert capsys.readouterr().err.endswith(": No such file or directory\n")
