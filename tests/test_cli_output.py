"""Where ``--out`` leads: files, devices, FIFOs, links and stdout."""

from __future__ import annotations

import os
import re
import stat
import threading
import wave

import pytest

from tests.command_line import surround
from zai_async.cli import main


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, zai_emulator, tmp_path_factory):
    surround(monkeypatch, zai_emulator, tmp_path_factory.mktemp("home"))


COMMANDS = pytest.mark.parametrize(
    "command",
    [
        ["read", "https://a.example"],
        ["read", "https://a.example", "--json"],
        ["ocr", "https://a.example/b.pdf"],
        ["agents", "translate", "Hi"],
        ["speech", "Hi"],
        ["speech", "Hi", "--stream"],
    ],
    ids=" ".join,
)


def without_id(output):
    """Return an output without ids and times, which are others each time."""
    return re.sub(rb"\b[0-9a-f]{8,}", b"", output)


@COMMANDS
def test_device_is_written_to(command):
    before = os.stat(os.devnull)
    assert main([*command, "--out", os.devnull]) == 0
    after = os.stat(os.devnull)
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_rdev) == (after.st_ino, after.st_rdev)


@COMMANDS
def test_fifo_is_written_to(command, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    assert main([*command, "--out", str(fifo)]) == 0
    reader.join()
    path = tmp_path / "file"
    assert main([*command, "--out", str(path)]) == 0
    if command == ["speech", "Hi", "--stream"]:
        # The length in a WAV header is written last, where one can go back to it.
        assert read[0][44:] == path.read_bytes()[44:]
        assert read[0][:4] == b"RIFF"
    else:
        assert without_id(read[0]) == without_id(path.read_bytes()) != b""
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@COMMANDS
def test_link_is_followed_and_stays(command, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    assert main([*command, "--out", str(link)]) == 0
    assert link.is_symlink()
    assert target.read_bytes()


@COMMANDS
def test_dash_is_stdout(command, capfdbinary):
    assert main([*command, "--out", "-"]) == 0
    to_dash = capfdbinary.readouterr().out
    assert main(command) == 0
    assert without_id(capfdbinary.readouterr().out) == without_id(to_dash) != b""


def test_downloads_go_through_fifos_and_links(tmp_path, capsys):
    """Never to a device: a fault here would replace it, for every program of the machine."""
    fifo, link, target = (tmp_path / name for name in ("fifo", "link", "target"))
    os.mkfifo(fifo)
    link.symlink_to(target)
    read = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    for path in (fifo, link):
        assert main(["image", "A cat", "-q", "--out", str(path)]) == 0
        assert capsys.readouterr().out == f"{path.resolve()}\n"
    reader.join()
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert link.is_symlink()
    assert target.read_bytes() == read[0]
    assert read[0].startswith(b"\x89PNG")


@pytest.mark.parametrize("command", [["image", "A cat"], ["video", "A cat"]])
def test_download_needs_a_path(command, capsys, zai_emulator):
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--out", "-"])
    assert "a download needs the path of a file" in capsys.readouterr().err
    assert zai_emulator.requests == []


def test_device_without_room_is_an_error(capsys):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    assert main(["read", "https://a.example", "--out", "/dev/full"]) == 1
    assert "No space left" in capsys.readouterr().err


def test_half_of_a_surrogate_pair_becomes_a_mark(zai_emulator, tmp_path):
    body = b'{"reader_result": {"content": "caf\\u00e9 \\ud800!"}}'
    zai_emulator.fault(status=200, body=body)
    path = tmp_path / "page"
    assert main(["read", "https://a.example", "--out", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == "caf\u00e9 \ufffd!\n"


def test_streamed_speech_is_a_whole_file(tmp_path):
    path = tmp_path / "a.wav"
    assert main(["speech", "Hi", "--stream", "--out", str(path)]) == 0
    with wave.open(str(path)) as file:
        assert file.getnframes() == (path.stat().st_size - 44) // 2


@pytest.mark.parametrize("option", ["--max-tokens", "--retries"])
@pytest.mark.parametrize("word", ["9" * 5000, "1_0", " 1", "\u0661"])
def test_numbers_that_are_none(option, word, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["chat", "Hi", option, word])
    assert "not a whole number" in capsys.readouterr().err
