"""What the command line says about an error, and with which exit status."""

from zai_async.cli.statuses import FAILED, LIMITED, NO_ACCESS, TOO_LATE, USAGE
from zai_async.cli.terminal import Terminal
from zai_async.errors import (
    AccountError,
    AuthenticationError,
    BillingError,
    ConfigurationError,
    DeadlineError,
    MissingKeyError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    TaskTimeoutError,
    ZaiError,
)

__all__ = ["report"]

# The first class that fits counts: MissingKeyError is a ConfigurationError too.
_STATUSES: tuple[tuple[type[ZaiError], int], ...] = (
    (MissingKeyError, NO_ACCESS),
    (AuthenticationError, NO_ACCESS),
    (PermissionDeniedError, NO_ACCESS),
    (BillingError, NO_ACCESS),
    (AccountError, NO_ACCESS),
    (RateLimitError, LIMITED),
    (QuotaError, LIMITED),
    (DeadlineError, TOO_LATE),
    (TaskTimeoutError, TOO_LATE),
    (ConfigurationError, USAGE),
)


def report(error: ZaiError, terminal: Terminal) -> int:
    """Say in one line what went wrong and return the exit status for it."""
    text = " ".join(str(error).split())
    if error.emitted:
        text = f"{text.removesuffix('.')}. What was printed is not the whole answer."
    terminal.note(f"zai: {text}")
    terminal.notes(error)
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), FAILED)
