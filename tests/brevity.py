"""Failures as long as a person reads them: the reason, and what was written last.

A stream read byte by byte logs thousands of lines before the one that matters, and hypothesis
prints every field of what it drew. ``-v`` shows all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from _pytest._code.code import ExceptionChainRepr, ReprEntryNative, ReprTraceback

if TYPE_CHECKING:
    from collections.abc import Generator

LIMIT: Final = 37
"""Lines of one failure; its title, its worker and its line in the summary make it forty."""
TRACEBACK: Final = 26
EXPLANATION: Final = 12


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport]:
    report = yield
    if report.failed and item.config.get_verbosity() < 1:
        shorten(report)
    return report


def shorten(report: pytest.TestReport) -> None:
    whole = report.longreprtext.splitlines()
    traceback = shortened(explained_briefly(whole), TRACEBACK)
    if len(traceback) < len(whole):
        entry = ReprEntryNative([f"{line}\n" for line in traceback])
        crash = getattr(report.longrepr, "reprcrash", None)  # the summary shows its message
        shown = ReprTraceback([entry], extraline=None, style="native")
        report.longrepr = ExceptionChainRepr([(shown, crash, None)])
    left = LIMIT - len(traceback)
    kept = []
    for title, text in reversed(report.sections):  # the last written tells most
        lines = last_of(text.splitlines(), left - 1)
        if lines:
            kept.append((title, "\n".join(lines)))
            left -= 1 + len(lines)
    report.sections[:] = reversed(kept)


def explained_briefly(lines: list[str]) -> list[str]:
    """Cut runs of explanations, whose first lines compare and whose last are drawn values."""
    kept: list[str] = []
    run = 0
    for line in [*lines, ""]:
        run = run + 1 if line.startswith("E ") else 0
        if run <= EXPLANATION:
            kept.append(line)
        elif run == EXPLANATION + 1:
            kept.append("E   ... (-v shows the rest)")
    return kept[:-1]


def shortened(lines: list[str], limit: int) -> list[str]:
    """Keep how the test came there and how it ended."""
    if len(lines) <= limit:
        return lines
    head = limit // 3
    tail = limit - head - 1
    left_out = f"... ({len(lines) - limit + 1} lines; -v shows them)"
    return [*lines[:head], left_out, *lines[-tail:]]


def last_of(lines: list[str], limit: int) -> list[str]:
    if len(lines) <= limit:
        return lines
    if limit < 2:
        return []
    return [f"... ({len(lines) - limit + 1} lines before)", *lines[1 - limit :]]
