"""``zai doctor``: what stands between this machine and an answer."""

import argparse
import os
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from zai_async import AsyncZai, Hooks, ResponseEvent
from zai_async.cli.arguments import text
from zai_async.cli.connection import Invocation, add_options, connect
from zai_async.cli.keys import stored_key
from zai_async.cli.output import add_output, table, write_text
from zai_async.cli.terminal import FAILED, NO_ACCESS, USAGE, Terminal
from zai_async.errors import ConfigurationError, MissingKeyError, ZaiError
from zai_async.providers import PROVIDERS

__all__ = ["doctor_parser", "run_doctor"]

FREE_MODEL: Final = "glm-4.7-flash"

_DESCRIPTION: Final = """\
Find out what stands between this machine and an answer: key, address, proxy,
clock, and which endpoints accept the key. Nothing is generated without --ask.
"""
# Seconds. The Date of an answer has no fractions, and the answer was under way for a while.
_CLOCK_TOLERANCE: Final = 3.0


def doctor_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai doctor``."""
    parser = argparse.ArgumentParser(prog="zai doctor", description=_DESCRIPTION)
    parser.add_argument(
        "--ask",
        type=text,
        nargs="?",
        const=FREE_MODEL,
        metavar="MODEL",
        help=f"ask for one token, of {FREE_MODEL} unless told otherwise, which is free",
    )
    add_output(parser)
    add_options(parser)
    return parser


class Finding(msgspec.Struct, frozen=True):
    """One line of the report."""

    topic: str
    detail: str


class Examination:
    """Collects findings, and remembers whether something is wrong."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.findings: list[Finding] = []
        self.status = 0
        self._arguments = arguments
        self._skews: list[float] = []

    def add(self, topic: str, detail: str) -> None:
        """Note what was found."""
        self.findings.append(Finding(topic, " ".join(detail.split())))

    def run(self, call: Invocation) -> None:
        """Look at everything, from this machine outwards."""
        # Hooks see the headers of every answer, those of refusals included.
        zai = call.zai.with_options(hooks=Hooks(on_response=self.read_clock))
        self.add("key", source_of_key(self._arguments))
        self.add("address", f"{zai.provider.base_url} ({source_of_url(self._arguments)})")
        self.add("proxy", proxy_for(zai.provider.base_url, self._arguments))

        try:
            checks = call.run(zai.check())
        except ConfigurationError as error:
            # A gateway without a list of models cannot be asked for free.
            self.add("endpoints", str(error))
        else:
            for check in checks:
                verdict = "accepts the key" if check.ok else check.detail
                self.add("endpoint", f"{check.provider}: {verdict}")
            if not any(check.ok for check in checks):
                self.status = NO_ACCESS

        self.add("clock", compare_clocks(self._skews))
        if self._arguments.ask is not None:
            self.ask(zai, self._arguments.ask, call)

    def read_clock(self, event: ResponseEvent) -> None:
        """Compare this machine's clock with the Date of an answer."""
        # RFC 9110 section 6.6.1: an origin server with a clock sends it; a proxy may not.
        try:
            moment = parsedate_to_datetime(event.headers.get("Date", ""))
        except ValueError:
            return
        self._skews.append(time.time() - moment.timestamp())

    def ask(self, zai: AsyncZai, model: str, call: Invocation) -> None:
        """Ask for one token, and say how long it took and which limit was found."""
        # One token is seldom a whole answer, and a thinking model has said nothing by then.
        options = msgspec.structs.replace(call.options, allow={"length", "empty"})
        try:
            work = zai.chat.completions.create(
                model=model, messages="Hi", max_tokens=1, options=options
            )
            answer = call.run(work)
        except ZaiError as error:
            self.add("answer", f"none from {model}: {error}")
            self.status = self.status or FAILED
        else:
            timing, attempts = answer.timing, len(answer.attempts)
            asked = "" if attempts == 1 else f" at attempt {attempts}"
            waited = f"after {timing.total:.1f} s, {timing.queued:.1f} s in the queue"
            self.add("answer", f"{model} answered{asked} {waited}")

        if figures := zai.limits.snapshot().get(model):
            allowed = f"not found yet; {figures.limit} at a time to begin with"
            if figures.rejected:
                refused = f"({figures.rejected} refused so far)"
                allowed = f"the account allows {figures.limit} at a time {refused}"
            self.add("limit", f"{model}: {allowed}")


def run_doctor(argv: Sequence[str], terminal: Terminal) -> int:
    """Print what was found; the status says whether the key is good for an answer."""
    arguments = doctor_parser().parse_args(argv)
    examination = Examination(arguments)
    try:
        with connect(arguments, terminal) as call:
            examination.run(call)
    except MissingKeyError as error:
        examination.add("key", str(error))
        examination.status = NO_ACCESS
    except ConfigurationError as error:
        # Such as a key that was pasted with its quotes, or an invalid base URL.
        examination.add("settings", str(error))
        examination.status = USAGE
    findings = examination.findings
    rows = table([(finding.topic, finding.detail) for finding in findings])
    write_text(findings, rows, terminal, None, as_json=arguments.json)
    return examination.status


def first_set(variables: Sequence[str], default: str = "") -> str:
    """Return the first environment variable that has a value, or else the default."""
    return next((name for name in variables if os.environ.get(name, "").strip()), default)


def source_of_key(arguments: argparse.Namespace) -> str:
    """Say where the key was found."""
    if arguments.emulate:
        return "none is needed by the emulator"
    place = first_set(PROVIDERS[arguments.provider].key_variables)
    if kept := None if place else stored_key(arguments.provider):
        place = kept[1]
    return f"in {place}"


def source_of_url(arguments: argparse.Namespace) -> str:
    """Say where the base URL was found."""
    if arguments.emulate:
        return "the emulator"
    if arguments.base_url is not None:
        return "--base-url"
    default = f"usual for {arguments.provider}"
    return first_set(PROVIDERS[arguments.provider].url_variables, default)


def proxy_for(url: str, arguments: argparse.Namespace) -> str:
    """Say which proxy stands in between, and which variable says so."""
    parts = urlsplit(url)
    # As urllib reads them, which is how the client does.
    proxy = None if arguments.emulate else getproxies().get(parts.scheme)
    if proxy is None:
        return "none"
    if proxy_bypass(parts.hostname or ""):
        return f"none for {parts.hostname} (NO_PROXY)"
    # What stands before the @ is a name and a password.
    return f"{proxy.rpartition('@')[2]} ({parts.scheme.upper()}_PROXY)"


def compare_clocks(skews: Sequence[float]) -> str:
    """Say how far this machine's clock is from the server's."""
    if not skews:
        return "not compared: no answer told the time"
    # The smallest is the most exact: it was the least time under way.
    skew = min(skews, key=abs)
    if abs(skew) <= _CLOCK_TOLERANCE:
        return "agrees with the server's"
    side = "ahead of" if skew > 0 else "behind"
    return f"{abs(skew):.0f} s {side} the server's: tokens may be refused, and waits be wrong"
