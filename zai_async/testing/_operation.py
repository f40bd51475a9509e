"""The table of operations: what the emulator answers under which path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from zai_async.testing._ledger import RecordedRequest
from zai_async.testing._reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Hold one request for an operation: the record, parameters of its path, the reply's id."""

    request: RecordedRequest
    id: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Operation:
    """Name one operation; ``path`` is relative to the root and may hold ``{parameters}``."""

    name: str
    method: str
    path: str
    answer: Callable[[Call], Reply]


class Table:
    """Find the operation of a request."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._rows = [(_pattern(operation.path), operation) for operation in operations]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """Return the operation and the parameters in its path, or ``None``."""
        for pattern, operation in self._rows:
            match = pattern.fullmatch(path)
            if match is not None and operation.method == method:
                return operation, match.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("/api/" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
