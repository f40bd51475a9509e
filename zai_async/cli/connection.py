"""What every command that talks to the platform shares: options, client, answer and progress."""

import argparse
import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Coroutine, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeVar

from zai_async import AsyncZai, CallOptions, Price
from zai_async.cli.arguments import count, number, seconds
from zai_async.cli.keys import stored_key
from zai_async.cli.output import Progress, write_text
from zai_async.cli.terminal import Terminal
from zai_async.errors import MissingKeyError
from zai_async.providers import PROVIDERS

__all__ = ["Invocation", "add_options", "connect"]

T = TypeVar("T")

_URL_VARIABLES: Final = (
    "ZAI_BASE_URL; for bigmodel ZHIPUAI_BASE_URL, for lowcodeapi LOWCODEAPI_BASE_URL"
)
_KEY_PAGES: Final = {"ZAI_API_KEY": " (made at https://z.ai/manage-apikey/apikey-list)"}


class Invocation:
    """One run of a command: its arguments, the client that they describe, and the terminal.

    Args:
        arguments: As the command's parser returned them, those of `add_options` included.
        terminal: Where output goes.
        zai: The client.
        runner: The event loop in which the calls run, one after the other.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        terminal: Terminal,
        zai: AsyncZai,
        runner: asyncio.Runner,
    ) -> None:
        self.arguments = arguments
        self.terminal = terminal
        self.zai = zai
        self.options = CallOptions(deadline=arguments.deadline, retries=arguments.retries)
        """For every call."""
        self.quiet: bool = arguments.quiet
        self._runner = runner
        # A deadline covers all calls of a command: submission, polls and downloads.
        self._begun = time.monotonic()

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, None without one."""
        deadline = self.options.deadline
        return None if deadline is None else max(0.0, self._begun + deadline - time.monotonic())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a call; Ctrl-C cancels it and is raised as KeyboardInterrupt."""
        return self._runner.run(work)

    def progress(self) -> Progress:
        """Return what shows the progress of something, unless --quiet forbids it."""
        return Progress(self.terminal, quiet=self.quiet)

    def answer(self, answer: object, text: str, path: str | None = None) -> None:
        """Write an answer as this text, or whole with --json; to a file where a path is given.

        Raises:
            OSError: The file cannot be written.
        """
        write_text(answer, text, self.terminal, path, as_json=self.arguments.json)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all commands that talk to the platform."""
    group = parser.add_argument_group("connection")
    # Names are those of AsyncZai's keywords, wherever there is one.
    group.add_argument("--provider", choices=PROVIDERS, default="zai", help="default: zai")
    group.add_argument("--base-url", metavar="URL", help=f"another address; also {_URL_VARIABLES}")
    group.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="longest silence of the platform"
    )
    group.add_argument(
        "--deadline", type=seconds, metavar="SECONDS", help="time for everything together"
    )
    group.add_argument("--retries", type=count, metavar="N", help="retries of a refused request")
    group.add_argument("-v", "--verbose", action="store_true", help="log requests to stderr")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    group.add_argument("--emulate", action="store_true", help="let the built-in emulator answer")
    group.add_argument(
        "--pace", type=number, default=1.0, help="of the emulator: 0 full speed, 1 like a model"
    )


@contextmanager
def connect(
    arguments: argparse.Namespace, terminal: Terminal, prices: Mapping[str, Price] | None = None
) -> Generator[Invocation]:
    """Open the client that the options of a command describe; ``prices`` are for its ledger.

    Raises:
        MissingKeyError: There is no key, and the emulator was not asked for.
        ConfigurationError: An option or an environment variable is invalid.
    """
    # A person wants to know why it takes so long: retries on a terminal, every request with -v.
    if arguments.verbose or (terminal.watched and not arguments.quiet):
        logging.basicConfig(format="zai: %(message)s", handlers=[LogLines(terminal)])
        level = logging.DEBUG if arguments.verbose else logging.INFO
        logging.getLogger("zai_async").setLevel(level)

    # Closed in the opposite order: the client within its loop, then the loop, then the emulator.
    with ExitStack() as stack:
        own = emulated(arguments, stack) if arguments.emulate else address_of(arguments)
        zai = AsyncZai(**own, timeout=arguments.timeout, prices=prices)
        with later_interrupts():
            runner = stack.enter_context(asyncio.Runner())
        stack.callback(lambda: runner.run(zai.aclose()))
        yield Invocation(arguments, terminal, zai, runner)


@contextmanager
def later_interrupts() -> Generator[None]:
    """Raise a Ctrl-C at the end of the block: a loop that is half made tells of it when it goes."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal gets here
        return
    came = list[int]()

    def note(number: int, frame: object) -> None:
        del frame
        came.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if came:
        signal.raise_signal(signal.SIGINT)


def address_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the platform that a client calls, and its key.

    Raises:
        MissingKeyError: There is no key; the error says where to get one.
        ConfigurationError: The file of keys cannot be used.
    """
    names = PROVIDERS[arguments.provider].key_variables
    key = None
    # A variable of the environment comes first, as everywhere; the client reads it by itself.
    if not any(os.environ.get(name, "").strip() for name in names):
        kept = stored_key(arguments.provider)
        if kept is None:
            page = _KEY_PAGES.get(names[0], "")
            raise MissingKeyError(
                f"no API key: set {' or '.join(names)}{page}, or save one with `zai keys set`",
                hint="With --emulate the built-in emulator answers, without any key.",
            )
        key = kept[0]
    return {"api_key": key, "provider": arguments.provider, "base_url": arguments.base_url}


def emulated(arguments: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """Start an emulator and return what a client needs to call it."""
    from zai_async.testing import Emulator  # noqa: PLC0415 - an aiohttp server, seldom needed

    emulator = stack.enter_context(Emulator(pace=arguments.pace))
    # A proxy does not reach this machine's loopback.
    return {"api_key": "emulated", "base_url": emulator.url, "trust_env": False}


class LogLines(logging.Handler):
    """Write log records as lines of their own, beside what else is on the screen."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._terminal.note(self.format(record))
