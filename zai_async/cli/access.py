"""What a key opens, and what is in the way: ``zai check``, ``doctor``, ``models`` and ``quota``."""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from zai_async import AsyncZai, CallOptions, EndpointCheck, Hooks, ResponseEvent
from zai_async.cli.arguments import text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import Output, add_output, table
from zai_async.cli.terminal import FAILED, NO_ACCESS, Terminal
from zai_async.errors import ConfigurationError, MissingKeyError, ZaiError
from zai_async.limiter import Snapshot
from zai_async.models import Model, Quota, QuotaLimit
from zai_async.providers import PROVIDERS

__all__ = ["run_check", "run_doctor", "run_models", "run_quota"]

FREE_MODEL: Final = "glm-4.7-flash"

_DOCTOR = """\
Find out what stands between this machine and an answer: key, address, proxy,
clock, and which endpoints accept the key. Nothing is generated without --ask.
"""
# The Date of an answer counts whole seconds, and the answer was under way.
_TOLERATED: Final = 3.0


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

    def run(self, connection: Connection) -> None:
        """Look at everything, from the inside to the outside."""
        zai = connection.zai.with_options(hooks=Hooks(on_response=self._read_clock))
        self.add("key", _source_of_key(self._arguments))
        self.add("address", f"{zai.provider.base_url} ({_source_of_address(self._arguments)})")
        self.add("proxy", _proxy(zai.provider.base_url, self._arguments))
        self._check(connection, zai)
        self.add("clock", _clock(self._skews))
        if self._arguments.ask is not None:
            self._ask(connection, zai, self._arguments.ask)
        for model, figures in zai.limits.snapshot().items():
            if model == self._arguments.ask:
                self.add("limit", f"{model}: {_allowed(figures)}")

    def _read_clock(self, event: ResponseEvent) -> None:
        try:
            moment = parsedate_to_datetime(event.headers.get("Date", ""))
        except ValueError:
            return
        self._skews.append(time.time() - moment.timestamp())

    def _check(self, connection: Connection, zai: AsyncZai) -> None:
        try:
            checks = connection.run(zai.check())
        except ConfigurationError as error:
            self.add("endpoints", str(error))
            return
        for check in checks:
            self.add("endpoint", _verdict(check))
        if not any(check.ok for check in checks):
            self.status = NO_ACCESS

    def _ask(self, connection: Connection, zai: AsyncZai, model: str) -> None:
        options = msgspec.structs.replace(connection.options, allow={"length", "empty"})
        try:
            self.add("answer", connection.run(_first_answer(zai, model, options)))
        except ZaiError as error:
            self.add("answer", f"none from {model}: {error}")
            self.status = self.status or FAILED


def run_doctor(argv: Sequence[str], terminal: Terminal) -> int:
    """Print what was found; the status says whether the key is good for an answer."""
    arguments = _doctor_parser().parse_args(argv)
    examination = Examination(arguments)
    try:
        with connect(arguments, terminal) as connection:
            examination.run(connection)
    except MissingKeyError as error:
        examination.add("key", str(error))
        examination.status = NO_ACCESS
    findings = examination.findings
    rows = [(finding.topic, finding.detail) for finding in findings]
    Output(arguments, terminal).answer(findings, table(rows))
    return examination.status


async def _first_answer(zai: AsyncZai, model: str, options: CallOptions) -> str:
    answer = await zai.chat.completions.create(
        model=model, messages="Hi", max_tokens=1, options=options
    )
    timing, attempts = answer.timing, len(answer.attempts)
    asked = "" if attempts == 1 else f" at attempt {attempts}"
    return f"{model} answered{asked} after {timing.total:.1f} s, {timing.queued:.1f} s in the queue"


def _source_of_key(arguments: argparse.Namespace) -> str:
    if arguments.emulate:
        return "none is needed by the emulator"
    return f"in {next(_set(PROVIDERS[arguments.provider].key_variables))}"


def _source_of_address(arguments: argparse.Namespace) -> str:
    if arguments.emulate:
        return "the emulator"
    if arguments.base_url is not None:
        return "--base-url"
    usual = f"usual for {arguments.provider}"
    return next(_set(PROVIDERS[arguments.provider].url_variables), usual)


def _set(variables: Sequence[str]) -> Iterator[str]:
    """Yield the environment variables that have a value."""
    return (name for name in variables if os.environ.get(name, "").strip())


def _proxy(url: str, arguments: argparse.Namespace) -> str:
    parts = urlsplit(url)
    address = None if arguments.emulate else getproxies().get(parts.scheme)
    if address is None:
        return "none"
    if proxy_bypass(parts.hostname or ""):
        return f"none for {parts.hostname} (NO_PROXY)"
    # What stands before the @ is a name and a password.
    return f"{address.rpartition('@')[2]} ({parts.scheme.upper()}_PROXY)"


def _verdict(check: EndpointCheck) -> str:
    return f"{check.provider}: {'accepts the key' if check.ok else check.detail}"


def _clock(skews: Sequence[float]) -> str:
    if not skews:
        return "not compared: no answer told the time"
    skew = min(skews, key=abs)
    if abs(skew) <= _TOLERATED:
        return "agrees with the server's"
    side = "ahead of" if skew > 0 else "behind"
    return f"{abs(skew):.0f} s {side} the server's: tokens may be refused, and waits be wrong"


def _allowed(figures: Snapshot) -> str:
    if figures.rejected:
        return f"the account allows {figures.limit} at a time ({figures.rejected} refused so far)"
    return f"not found yet; {figures.limit} at a time to begin with"


def _doctor_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai doctor", description=_DOCTOR)
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


_CHECK = """\
Find out which endpoints of the platform accept the key. Nothing is generated or
paid. The key is sent to all of them, with --base-url to that address only.
"""


def run_check(argv: Sequence[str], terminal: Terminal) -> int:
    """Print a line for every endpoint; the status says whether one of them accepts the key."""
    arguments = _check_parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        checks = connection.run(connection.zai.check())
    Output(arguments, terminal).answer(checks, table([_check_row(check) for check in checks]))
    return 0 if any(check.ok for check in checks) else NO_ACCESS


def _check_row(check: EndpointCheck) -> tuple[str, str, str]:
    return check.provider, "yes" if check.ok else "no", " ".join(check.detail.split())


def _check_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai check", description=_CHECK)
    add_output(parser)
    add_options(parser)
    return parser


def run_models(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the names of the models, one in a line."""
    arguments = _models_parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        models = connection.run(_listed(connection))
    Output(arguments, terminal).answer(models, "\n".join(model.id for model in models))
    return 0


async def _listed(connection: Connection) -> list[Model]:
    return [model async for model in connection.zai.models.list(options=connection.options)]


def _models_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai models",
        description="List the models; some that are left out can be used all the same.",
    )
    add_output(parser)
    add_options(parser)
    return parser


_LIMITS: Final = {"TOKENS_LIMIT": "tokens", "TIME_LIMIT": "tools"}
_UNITS: Final = {3: "h", 5: "months", 6: "weeks"}


def run_quota(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the plan, and a line for each of its limits."""
    arguments = _quota_parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        quota = connection.run(connection.zai.quota(options=connection.options))
    Output(arguments, terminal).answer(quota, _plan(quota))
    return 0


def _plan(quota: Quota) -> str:
    rows = [("plan", quota.level), *map(_limit_row, quota.limits)]
    width = max(map(len, rows))
    return table([(*row, *[""] * (width - len(row))) for row in rows])


def _limit_row(limit: QuotaLimit) -> tuple[str, ...]:
    unit = _UNITS.get(limit.unit, f"of unit {limit.unit}")
    reset = f"until {limit.resets_at:%Y-%m-%d %H:%M} UTC" if limit.resets_at else ""
    name = _LIMITS.get(limit.type, limit.type)
    return name, f"{limit.percentage:g} % used", f"of {limit.number} {unit}", reset


def _quota_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai quota", description="Show what is left of a Coding Plan."
    )
    add_output(parser)
    add_options(parser)
    return parser
