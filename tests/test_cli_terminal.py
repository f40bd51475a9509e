"""The command line as a process of its own: on a real terminal, in a pipe, under signals."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.command_line import UNSET, surroundings_of

pty = pytest.importorskip("pty")  # Windows has none

MAIN = "import sys; from zai_async.cli import main; sys.exit(main())"
# A session leader makes its terminal the one that Ctrl-C comes from.
ON_TERMINAL = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {MAIN}"
# Writes a dot when main() begins to import; what comes before is Python's own start, which no
# package can guard.
TELLING = """
import sys
from zai_async.cli import main

class Telling:
    @staticmethod
    def find_spec(name, *_):
        if name == "zai_async.cli.commands":
            sys.stdout.write(".")
            sys.stdout.flush()

sys.meta_path.insert(0, Telling)
sys.exit(main())
"""
CTRL_C, CTRL_D, UP = b"\x03", b"\x04", b"\x1b[A"
BRACKETED_PASTE = re.compile(rb"\x1b\[\?2004[hl]\r?")


@pytest.fixture
def environment(zai_emulator, tmp_path):
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    return inherited | surroundings_of(zai_emulator, tmp_path)


class Window:
    """A terminal with a command in it."""

    def __init__(self, argv, environment):
        self._master, slave = pty.openpty()
        command = [sys.executable, "-c", ON_TERMINAL, *argv]
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.screen = b""

    def wait_for(self, text):
        """Read until the text stands on the screen, and return what came up to it."""
        while text not in self.screen:
            if not self._read():
                pytest.fail(f"{text} did not come, but {self.screen}")
        shown, _, self.screen = self.screen.partition(text)
        return shown + text

    def _read(self):
        piece = b""
        with contextlib.suppress(OSError):  # how Linux reports that the command has gone
            piece = os.read(self._master, 65536)
        self.screen = BRACKETED_PASTE.sub(b"", self.screen + piece)
        return piece

    def type(self, keys):
        os.write(self._master, keys)

    def finish(self):
        """Read to the end and return the exit status."""
        while self._read():
            pass
        return self._process.wait()

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.fixture
def window(environment):
    with contextlib.ExitStack() as stack:

        def open_window(*argv):
            return stack.enter_context(contextlib.closing(Window(argv, environment)))

        yield open_window


def test_thinking_answer_and_usage_on_a_terminal(window, zai_emulator):
    zai_emulator.chat.reply("Yes.", thinking="hm", chunk_size=9)
    terminal = window("chat", "Hi")
    assert terminal.finish() == 0
    thinking, answer, usage = terminal.screen.split(b"\r\n\r\n")
    assert (thinking, answer) == (b"\x1b[2mhm\x1b[0m", b"Yes.")
    assert usage.startswith(b"\x1b[2mglm-5.3 ")
    assert usage.endswith(b"\x1b[0m\r\n")


def test_interrupt_ends_the_line_and_the_connection(window, zai_emulator):
    zai_emulator.chat.reply("one two", chunk_size=4)
    zai_emulator.fault(path="chat", silence_after=(300, 60.0))
    terminal = window("chat", "Hi")
    terminal.wait_for(b"one ")
    terminal.type(CTRL_C)
    assert terminal.finish() == 130
    assert terminal.screen == b"^C\r\n"
    zai_emulator.wait_disconnected(timeout=1000).result()


def test_conversation_on_a_terminal(window, zai_emulator):
    zai_emulator.chat.reply("Hello.")
    terminal = window("chat")
    terminal.wait_for(b"> ")
    terminal.type(b"Hi\n")
    terminal.wait_for(b"Hello.")
    terminal.wait_for(b"> ")
    terminal.type(CTRL_D)
    assert terminal.finish() == 0
    assert zai_emulator.requests[0].json["messages"] == [{"role": "user", "content": "Hi"}]


def test_interrupt_stops_an_answer_but_not_the_conversation(window, zai_emulator):
    zai_emulator.chat.reply("one two", chunk_size=4)
    zai_emulator.fault(silence_after=(300, 60.0))
    terminal = window("chat")
    terminal.wait_for(b"> ")
    terminal.type(b"Hi\n")
    terminal.wait_for(b"one ")
    terminal.type(CTRL_C)
    assert terminal.wait_for(b"> ") == b"^C\r\n> "
    zai_emulator.wait_disconnected(timeout=1000).result()
    terminal.type(CTRL_D)
    assert terminal.finish() == 0


def test_paste_of_several_lines_is_one_question(window, zai_emulator):
    terminal = window("chat")
    terminal.wait_for(b"> ")
    terminal.type(b"\x1b[200~if x:\n\ty\x1b[201~\r")
    terminal.wait_for(b"> ")
    terminal.wait_for(b"> ")
    terminal.type(CTRL_D)
    assert terminal.finish() == 0
    (request,) = zai_emulator.requests
    assert request.json["messages"][0]["content"] == "if x:\n\ty"


def test_earlier_lines_are_found_again(window, zai_emulator):
    for keys in (b"Hello\n", UP + b"\n"):
        terminal = window("chat")
        terminal.wait_for(b"> ")
        zai_emulator.chat.reply("Yes.")
        terminal.type(keys)
        terminal.wait_for(b"Yes.")
        terminal.wait_for(b"> ")
        terminal.type(CTRL_D)
        assert terminal.finish() == 0
    asked = [request.json["messages"][0]["content"] for request in zai_emulator.requests]
    assert asked == ["Hello", "Hello"]


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2])
def test_interrupt_at_any_moment_is_quiet(environment, zai_emulator, delay):
    zai_emulator.chat.reply("one two", chunk_size=4)
    zai_emulator.fault(path="chat", silence_after=(300, 60.0))
    command = [sys.executable, "-c", TELLING, "chat", "Hi"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        process.stdin.close()
        assert process.stdout.read(1) == b"."
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
    assert process.returncode == 130


def test_interrupted_wait_tells_how_to_come_back(window):
    terminal = window("image", "A cat", "--async")
    terminal.wait_for(b": submitted, 0 s")
    terminal.type(CTRL_C)
    assert terminal.finish() == 130
    assert re.search(rb"; to come back: zai task wait \w+ --kind image\r\n$", terminal.screen)


def test_reader_that_leaves_ends_the_command_quietly(environment, zai_emulator):
    zai_emulator.chat.reply("one\n" * 500_000, chunk_size=200_000)  # more than any pipe holds
    command = [sys.executable, "-c", MAIN, "chat", "Hi"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdout.readline() == b"one\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_closed_streams_are_no_obstacle(environment):
    script = 'exec "$@" <&- 2>&-'
    command = ["sh", "-c", script, "sh", sys.executable, "-c", MAIN, "chat", "Hi"]
    output = subprocess.check_output(command, env=environment)
    assert b"> Hi\n" in output


def test_verbose_logs_to_stderr(environment):
    command = [sys.executable, "-c", MAIN, "chat", "Hi", "-v"]
    result = subprocess.run(command, env=environment, input=b"", capture_output=True, check=True)
    assert b"zai: chat.completions.create: HTTP 200" in result.stderr
    assert b"tokens/s" in result.stderr


def test_emulator_serves_until_interrupted():
    command = [sys.executable, "-c", MAIN, "emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.terminate()
    assert process.returncode == 0


def test_almost_nothing_is_loaded_before_interrupts_are_handled():
    program = "import sys; own = {*sys.modules}; import zai_async.cli; print(*{*sys.modules} - own)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert "zai_async.cli" in loaded
    assert loaded.isdisjoint({"argparse", "collections.abc", "re", "typing", "zai_async.errors"})


def test_nothing_heavy_is_loaded_before_a_command_runs():
    program = "import sys, zai_async.cli; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert "zai_async.cli" in loaded
    assert loaded.isdisjoint({"aiohttp", "zai_async.cli.chat", "zai_async.testing"})
