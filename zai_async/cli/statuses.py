"""The exit statuses that scripts see."""

from typing import Final

__all__ = [
    "BROKEN_PIPE",
    "FAILED",
    "INTERRUPTED",
    "LIMITED",
    "NO_ACCESS",
    "TOO_LATE",
    "USAGE",
]

FAILED: Final = 1
USAGE: Final = 2
NO_ACCESS: Final = 3
LIMITED: Final = 4
TOO_LATE: Final = 124
INTERRUPTED: Final = 130
# What shells report for a program that SIGPIPE ended; only `set -o pipefail` makes it visible.
BROKEN_PIPE: Final = 141
