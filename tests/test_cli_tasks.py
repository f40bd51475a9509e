"""The commands that take a while: waiting, coming back, downloading, telling how far it is."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.command_line import sent, surround, watch
from zai_async.cli import main, output
from zai_async.cli.connection import Invocation
from zai_async.cli.output import Progress
from zai_async.cli.terminal import Terminal
from zai_async.tasks import PollBackoff

ERASED = "\r\x1b[K"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, zai_emulator, tmp_path_factory):
    surround(monkeypatch, zai_emulator, tmp_path_factory.mktemp("home"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(PollBackoff, "wait", lambda _backoff, _now, _interval: 0.0)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    return str(path)


def run(capsys, *argv):
    """Run a command that ends well and return its data."""
    assert main(argv) == 0
    return capsys.readouterr().out


# Images


def test_image_is_an_address(capsys, zai_emulator):
    assert main(["image", "A", "cat", "--size", "1024x1024", "--quality", "hd"]) == 0
    output, said = capsys.readouterr()
    assert re.fullmatch(r"http://\S+\.png\n", output)
    assert said == "image: being made\n"
    assert sent(zai_emulator) == {
        "model": "glm-image",
        "prompt": "A cat",
        "size": "1024x1024",
        "quality": "hd",
    }


@pytest.mark.parametrize("options", [[], ["--async"]])
def test_image_is_downloaded(capsys, tmp_path, options):
    path = tmp_path / "cat.png"
    assert run(capsys, "image", "A cat", *options, "--out", str(path)) == f"{path}\n"
    assert path.read_bytes().startswith(PNG)


def test_image_in_a_directory_has_a_name_of_its_own(capsys, tmp_path):
    folder = tmp_path / "new"
    output = run(capsys, "image", "A cat", "--out", f"{folder}/", "--quiet")
    assert output == f"{next(folder.iterdir())}\n"


@pytest.fixture
def twice(capsys, zai_emulator):
    """Have the next answer name the same image twice."""
    url = run(capsys, "image", "A cat").strip()
    body = json.dumps({"data": [{"url": url}] * 2}).encode()
    zai_emulator.fault(path="images/generations", status=200, body=body)


@pytest.mark.usefixtures("twice")
def test_several_files_are_numbered(capsys, tmp_path):
    first, second = tmp_path / "cat.png", tmp_path / "cat-2.png"
    assert run(capsys, "image", "Cats", "--out", str(first)) == f"{first}\n{second}\n"
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.usefixtures("twice")
def test_several_files_in_a_directory_are_named_by_their_server(capsys, tmp_path):
    first, second = map(Path, run(capsys, "image", "Cats", "--out", str(tmp_path)).splitlines())
    assert (second.stem, second.suffix) == (f"{first.stem}-2", first.suffix)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([first, second])


@pytest.mark.parametrize("options", [[], ["--out", "cat.png"], ["--json"]])
def test_no_image_is_a_failure(capsys, monkeypatch, tmp_path, zai_emulator, options):
    monkeypatch.chdir(tmp_path)
    zai_emulator.fault(path="images/generations", status=200, body=b'{"data": []}')
    assert main(["image", "A cat", "-q", *options]) == 1
    output, said = capsys.readouterr()
    assert output == ""
    assert re.fullmatch(r"zai: the answer holds no image.*\n", said)
    assert list(tmp_path.iterdir()) == []


def test_address_of_what_cannot_be_downloaded_is_told(capsys, tmp_path, zai_emulator):
    zai_emulator.fault(path="cdn", status=404, body=b"", times=None)
    assert main(["image", "A cat", "--out", str(tmp_path / "cat.png"), "-q"]) == 1
    output, said = capsys.readouterr()
    assert output == ""
    failure, place = said.splitlines()
    assert "HTTP 404 instead of the file" in failure
    assert place.startswith("zai: the file lies at http://")


@pytest.fixture
def hurried(capsys, monkeypatch, tmp_path, zai_emulator):
    """Return what makes an image whose download is short of time, and meets a fault."""
    monkeypatch.setattr(Invocation, "remaining", 0.05)

    def make(**fault):
        seen = zai_emulator.fault(path="cdn", times=None, **fault)
        out = str(tmp_path / "cat.png")
        ended = main(["image", "A cat", "--deadline", "1", "--out", out, "-q"])
        return ended, capsys.readouterr().err, seen.seen

    return make


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        ({"status": 503, "headers": {"Retry-After": "60"}}, 1, "HTTP 503 instead of the file"),
        ({"hang": True}, 124, "the deadline of 1 s has passed"),
    ],
    ids=["a wait that does not fit", "silence"],
)
def test_a_deadline_is_for_the_download_as_well(hurried, fault, status, told):
    ended, complaints, asked = hurried(**fault)
    failure, place = complaints.splitlines()
    assert (ended, asked) == (status, 1)
    assert told in failure
    assert place.startswith("zai: the file lies at http://")


# Videos


def test_video_from_words(capsys, tmp_path, zai_emulator):
    path = tmp_path / "film.mp4"
    options = "--duration 5 --fps 30 --audio --size 1920x1080 --quality speed"
    assert main(["video", "A", "cat", *options.split(), "--out", str(path)]) == 0
    output, said = capsys.readouterr()
    assert output == f"{path}\n"
    assert path.stat().st_size > 1000
    assert re.fullmatch(r"video (\w+): submitted\nvideo \1: PROCESSING\nvideo \1: SUCCESS\n", said)
    assert sent(zai_emulator, 0) == {
        "model": "cogvideox-3",
        "prompt": "A cat",
        "size": "1920x1080",
        "quality": "speed",
        "duration": 5,
        "fps": 30,
        "with_audio": True,
    }


@pytest.mark.parametrize(
    ("model", "count", "kind"),
    [("cogvideox-3", 1, list), ("viduq1-image", 1, str), ("viduq1-start-end", 2, list)],
)
def test_video_from_images(capsys, picture, zai_emulator, *, model, count, kind):
    images = ["--image", picture] * count
    assert run(capsys, "video", *images, "--model", model).endswith(".mp4\n")
    body = sent(zai_emulator, 0)
    assert "prompt" not in body
    assert isinstance(body["image_url"], kind)
    assert str(body["image_url"]).count("iVBORw0KGgo=") == count


def test_video_of_nothing_is_a_usage_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["video"])
    assert "no text" in capsys.readouterr().err


def test_video_that_failed(capsys, zai_emulator):
    zai_emulator.tasks.script("FAIL")
    assert main(["video", "A cat"]) == 1
    output, said = capsys.readouterr()
    assert output == ""
    assert "zai: the task ended as 'FAIL'" in said
    assert "to come back" not in said


# Coming back


def test_task_that_nobody_waits_for(capsys):
    assert main(["video", "A cat", "--no-wait"]) == 0
    task, said = capsys.readouterr()
    assert said == f"zai: to come back: zai task wait {task.strip()} --kind video\n"
    show = ("task", "show", task.strip(), "--kind", "video")
    assert run(capsys, *show) == "PROCESSING\n"
    assert run(capsys, *show) == "SUCCESS\n"
    assert json.loads(run(capsys, *show, "--json"))["task_status"] == "SUCCESS"


def test_way_back_can_be_pasted(capsys, zai_emulator):
    argv = ["video", "A cat", "--no-wait", "--base-url", f"{zai_emulator.url}"]
    assert main(argv) == 0
    task, said = capsys.readouterr()
    way = said.removeprefix("zai: to come back: zai ").split()
    assert way == ["task", "wait", task.strip(), "--kind", "video", *argv[3:]]
    assert run(capsys, *way).endswith(".mp4\n")


def test_way_back_is_quoted_for_a_shell(capsys, zai_emulator):
    body = json.dumps({"id": "1; reboot", "task_status": "PROCESSING"}).encode()
    zai_emulator.fault(status=200, body=body)
    assert main(["video", "A cat", "--no-wait"]) == 0
    assert "zai task wait '1; reboot' --kind video\n" in capsys.readouterr().err


def test_emulated_task_has_no_way_back(capsys, monkeypatch):
    async def interrupted(*_):
        raise KeyboardInterrupt

    assert main(["video", "A cat", "--no-wait", "--emulate"]) == 0
    hint = "the emulated task ends with this command; `zai emulator` serves one that stays"
    assert capsys.readouterr().err == f"zai: {hint}\n"
    monkeypatch.setattr("zai_async.tasks.Task.wait", interrupted)
    assert main(["video", "A cat", "--emulate"]) == 130
    assert capsys.readouterr().err == f"zai: {hint}\n"


def test_id_alone_for_scripts(capsys):
    assert main(["image", "A cat", "--no-wait", "--quiet", "--json"]) == 0
    output, said = capsys.readouterr()
    answer = json.loads(output)
    assert answer.keys() == {"id", "kind"}
    assert answer["kind"] == "image"
    assert said == ""
    wait = ("task", "wait", answer["id"], "--kind", "image")
    assert run(capsys, *wait).endswith(".png\n")


def test_deadline_of_a_wait(capsys, zai_emulator):
    zai_emulator.tasks.polls = 10**9
    assert main(["image", "A cat", "--async", "--deadline", "0.2"]) == 124
    said = capsys.readouterr().err
    assert "was not done within 0." in said
    assert re.search(r"zai: the task goes on; .*: zai task wait \w+ --kind image\n$", said)


def test_interrupted_wait(capsys, monkeypatch, zai_emulator):
    async def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setenv("ZHIPUAI_BASE_URL", zai_emulator.url)
    monkeypatch.setattr("zai_async.tasks.Task.wait", interrupted)
    argv = [
        "agents",
        "invoke",
        "vidu_template_agent",
        "Dance",
        "--image",
        "https://a.example/b.png",
    ]
    assert main([*argv, "--set", "template=bodyshake", "--provider", "bigmodel"]) == 130
    said = capsys.readouterr().err
    way = r"zai task wait \w+ --kind agent --agent vidu_template_agent --provider bigmodel"
    assert re.search(rf"the task goes on; to come back: {way}\n$", said)


def test_task_of_an_agent(capsys):
    argv = [
        "agents",
        "invoke",
        "vidu_template_agent",
        "Dance",
        "--image",
        "https://a.example/b.png",
    ]
    assert run(capsys, *argv, "--set", "template=bodyshake").endswith(".mp4\n")


def test_task_of_an_agent_needs_its_name(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["task", "wait", "1", "--kind", "agent"])
    assert "--agent" in capsys.readouterr().err


def answer_of(**fields):
    return json.dumps(fields).encode()


CHAT = answer_of(
    id="1",
    task_status="SUCCESS",
    choices=[{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
)
AGENT = answer_of(
    status="success", choices=[{"messages": [{"content": {"type": "text", "text": "Done"}}]}]
)


@pytest.mark.parametrize(
    ("kind", "body", "output"),
    [
        ("chat", CHAT, "Hi\n"),
        ("agent", AGENT, "Done\n"),
        ("file", answer_of(status="succeeded", content="Text"), "Text\n"),
        ("batch", answer_of(status="completed", output_file_id="a", error_file_id="b"), "a\nb\n"),
        ("batch", answer_of(status="completed", output_file_id="a"), "a\n"),
    ],
)
def test_results_of_other_kinds(capsys, tmp_path, zai_emulator, *, kind, body, output):
    wait = ("task", "wait", "1", "--kind", kind, "--agent", "general_translation")
    zai_emulator.fault(status=200, body=body, times=2)
    assert run(capsys, *wait) == output
    path = tmp_path / "result.txt"
    assert run(capsys, *wait, "--out", str(path)) == ""
    assert path.read_text(encoding="utf-8") == output


# Progress


def test_progress_is_a_line_that_goes_away(monkeypatch, capsys):
    watched = watch(monkeypatch)
    assert main(["video", "A cat"]) == 0
    assert capsys.readouterr().out.endswith(".mp4\n")
    *lines, last = watched.getvalue().split(ERASED)
    assert re.fullmatch(r"video \w+: submitted, 0 s", lines[0])
    assert last == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0123456789", "012345678"),
        ("视频正在处理", "视频正在"),  # two columns each
        ("e\u0301" * 10, "e\u0301" * 9),
        ("a\nb\x1b\u202ec", "a b\ufffd\ufffdc"),
    ],
)
def test_progress_fits_the_screen(monkeypatch, text, shown):
    monkeypatch.setenv("COLUMNS", "10")
    watched = watch(monkeypatch)
    terminal = Terminal()
    terminal.progress(text)
    terminal.note("done")
    assert watched.getvalue() == f"{shown}{ERASED}done\n"


@pytest.mark.parametrize(
    ("columns", "variable", "width"), [(20, "", 20), (0, "", 80), (20, "x", 20)]
)
def test_width_is_that_of_stderr(monkeypatch, columns, variable, width):
    monkeypatch.setenv("COLUMNS", variable)
    monkeypatch.setattr("os.get_terminal_size", lambda _fd: os.terminal_size((columns, 0)))
    watched = watch(monkeypatch)
    monkeypatch.setattr(watched, "fileno", lambda: 2)
    Terminal().progress("x" * 100)
    assert watched.getvalue() == "x" * (width - 1)


@pytest.mark.parametrize("write", ["data", "aside"])
def test_output_takes_the_place_of_progress(monkeypatch, write):
    watched = watch(monkeypatch)
    monkeypatch.setattr(sys, "stdout", watched)
    terminal = Terminal()
    getattr(terminal, write)("one")
    terminal.progress("10 %")
    getattr(terminal, write)("two\n")
    assert watched.getvalue() == f"one\n10 %{ERASED}two\n"


def test_interrupt_leaves_the_progress_where_it_was(monkeypatch):
    watched = watch(monkeypatch)
    terminal = Terminal()
    terminal.progress("10 %")
    terminal.interrupted()
    terminal.note("the task goes on")
    assert watched.getvalue() == "10 %\nthe task goes on\n"


def test_poor_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    watched = watch(monkeypatch)
    terminal = Terminal()
    terminal.progress("10 %")
    terminal.progress("20 %")
    assert watched.getvalue() == "10 %\n20 %\n"


@pytest.mark.parametrize(
    ("total", "lines"), [(4_000_000, "50 % of 4.0 MB"), (None, "2.0 MB"), (0, "2.0 MB")]
)
def test_transfer_on_a_terminal(monkeypatch, total, lines):
    watched = watch(monkeypatch)
    show = Progress(Terminal(), quiet=False).transfer("upload")
    show(2_000_000, total)
    show(2_000_001, total)
    assert watched.getvalue() == f"upload: {lines}"


def test_transfer_in_a_log_is_a_line_now_and_then(monkeypatch, capsys):
    times = iter([0.0, 1.0, 5.0, 5.0, 9.0, 10.0, 10.0])
    monkeypatch.setattr(output, "monotonic", lambda: next(times))
    show = Progress(Terminal(), quiet=False).transfer("upload")
    for done in (1, 2, 3, 4):
        show(done, 4)
    assert capsys.readouterr().err == "upload: 50 % of 0.0 MB\nupload: 100 % of 0.0 MB\n"


def test_quiet_transfer(monkeypatch):
    watched = watch(monkeypatch)
    Progress(Terminal(), quiet=True).transfer("upload")(1, 2)
    assert watched.getvalue() == ""


async def test_waiting_counts_the_seconds(monkeypatch):
    watched = watch(monkeypatch)
    times = itertools.count()
    monkeypatch.setattr(output, "monotonic", lambda: next(times))
    monkeypatch.setattr(output, "_TICK", 0.0)
    seen = asyncio.Event()

    def describe():
        if "9 s" in watched.getvalue():
            seen.set()
        return "video 1"

    async with Progress(Terminal(), quiet=False).waiting(describe):
        await seen.wait()
    assert watched.getvalue().startswith(f"video 1, 1 s{ERASED}video 1, 3 s{ERASED}")


def test_log_and_progress_do_not_mix(monkeypatch):
    watched = watch(monkeypatch)
    monkeypatch.setattr("logging.root.handlers", [])
    assert main(["image", "A cat", "-v"]) == 0
    assert "image: being made, 0 s" in watched.getvalue()
    assert f"{ERASED}zai: images.generate: " in watched.getvalue()
