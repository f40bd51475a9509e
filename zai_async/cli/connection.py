"""What a command talks to: its options, the client they describe, or the emulator itself."""

import argparse
import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias, TypeVar

from zai_async import AsyncZai, CallOptions
from zai_async.cli.arguments import count, number, seconds
from zai_async.cli.terminal import Terminal
from zai_async.errors import MissingKeyError
from zai_async.providers import PROVIDERS

__all__ = ["Act", "Actions", "Connection", "add_options", "connect", "run_emulator"]

T = TypeVar("T")

_ADDRESSES = "ZAI_BASE_URL; for bigmodel ZHIPUAI_BASE_URL, for lowcodeapi LOWCODEAPI_BASE_URL"
_KEY_PAGES = {"ZAI_API_KEY": " (made at https://z.ai/manage-apikey/apikey-list)"}
_NO_KEY_HINT = "With --emulate the built-in emulator answers, without any key."


class Connection:
    """A client and the event loop that its calls run in, one call after the other."""

    def __init__(self, zai: AsyncZai, runner: asyncio.Runner, options: CallOptions) -> None:
        self.zai = zai
        self.options = options
        """For every call."""
        self._runner = runner
        self._begun = time.monotonic()

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, None without one."""
        deadline = self.options.deadline
        return None if deadline is None else max(0.0, self._begun + deadline - time.monotonic())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a call; Ctrl-C cancels it and is raised as KeyboardInterrupt."""
        return self._runner.run(work)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what all commands that talk to the platform understand."""
    group = parser.add_argument_group("connection")
    group.add_argument("--provider", choices=PROVIDERS, default="zai", help="default: zai")
    group.add_argument("--base-url", metavar="URL", help=f"another address; also {_ADDRESSES}")
    group.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="longest silence of the platform"
    )
    group.add_argument(
        "--deadline", type=seconds, metavar="SECONDS", help="time for everything together"
    )
    group.add_argument(
        "--retries", type=count, metavar="N", help="repetitions of a refused request"
    )
    group.add_argument("-v", "--verbose", action="store_true", help="log requests to stderr")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    group.add_argument("--emulate", action="store_true", help="let the built-in emulator answer")
    group.add_argument(
        "--pace", type=number, default=1.0, help="of the emulator: 0 full speed, 1 like a model"
    )


@contextmanager
def connect(arguments: argparse.Namespace, terminal: Terminal) -> Generator[Connection]:
    """Open what the options of a command describe.

    Raises:
        MissingKeyError: There is no key, and the emulator was not asked for.
        ConfigurationError: An option or an environment variable cannot be meant.
    """
    _log_to_stderr(arguments, terminal)
    options = CallOptions(deadline=arguments.deadline, retries=arguments.retries)
    with ExitStack() as stack:
        zai = _emulated(arguments, stack) if arguments.emulate else _client(arguments)
        runner = stack.enter_context(asyncio.Runner())
        stack.callback(lambda: runner.run(zai.aclose()))
        yield Connection(zai, runner, options)


def _client(arguments: argparse.Namespace) -> AsyncZai:
    try:
        return AsyncZai(
            provider=arguments.provider, base_url=arguments.base_url, timeout=arguments.timeout
        )
    except MissingKeyError:
        names = PROVIDERS[arguments.provider].key_variables
        text = f"no API key: set {' or '.join(names)}{_KEY_PAGES.get(names[0], '')}"
        raise MissingKeyError(text, hint=_NO_KEY_HINT) from None


def _emulated(arguments: argparse.Namespace, stack: ExitStack) -> AsyncZai:
    from zai_async.testing import Emulator  # noqa: PLC0415 - an aiohttp server, seldom needed

    emulator = stack.enter_context(Emulator(pace=arguments.pace))
    return AsyncZai(
        api_key="emulated",
        base_url=emulator.url,
        timeout=arguments.timeout,
        trust_env=False,  # a proxy does not reach this machine's loopback
    )


def _log_to_stderr(arguments: argparse.Namespace, terminal: Terminal) -> None:
    """Tell a person why it takes so long: retries on a terminal, every request with -v."""
    if arguments.verbose or (terminal.watched and not arguments.quiet):
        logging.basicConfig(format="zai: %(message)s", handlers=[_Notes(terminal)])
        level = logging.DEBUG if arguments.verbose else logging.INFO
        logging.getLogger("zai_async").setLevel(level)


class _Notes(logging.Handler):
    """Write log records as lines of their own, beside what else is on the screen."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.note(self.format(record))


Act: TypeAlias = Callable[[argparse.Namespace, Connection, Terminal], None]


class Actions:
    """The things that a command does; each is a parser and a function."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(metavar="ACTION", required=True)

    def add(self, name: str, act: Act, summary: str) -> argparse.ArgumentParser:
        """Add one; what its parser understands besides is up to the caller."""
        description = f"{summary[0].upper()}{summary[1:]}."
        parser = self._parsers.add_parser(name, help=summary, description=description)
        parser.set_defaults(act=act)
        return parser


def run_emulator(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the base URL and serve until Ctrl-C."""
    from zai_async.testing.server import serve  # noqa: PLC0415 - an aiohttp server, seldom needed

    del terminal
    return serve(argv, prog="zai emulator")
