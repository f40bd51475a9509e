"""Programs of others, started for a test and stopped after it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def find(program: str) -> str:
    """Return where a program is, or skip the test."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return path or pytest.skip(f"{program} is not installed")


@contextmanager
def running(
    port: int, program: str, *arguments: object, log: Path, cwd: Path | None = None
) -> Iterator[None]:
    """Run a program that listens at a port of loopback; what it says goes to the log."""
    command = [find(program), *map(str, arguments)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=cwd,
        ) as process,
    ):
        try:
            _wait(port, process, log)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            pytest.fail(f"{process.args} has ended:\n{log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"{process.args} does not listen:\n{log.read_text()}")
