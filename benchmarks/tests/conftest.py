"""The guards of every other test stand around these, too."""

from tests.conftest import (
    blocking_calls_raise,
    eavesdropper,
    hidden_lookups_are_audited,
    leak_check,
    nothing_is_left,
    nothing_is_told,
    pytest_runtest_makereport,
)

__all__ = [
    "blocking_calls_raise",
    "eavesdropper",
    "hidden_lookups_are_audited",
    "leak_check",
    "nothing_is_left",
    "nothing_is_told",
    "pytest_runtest_makereport",
]
