"""What a caller may say about one call: its time limits, its budget, and how it may end."""

import math
from collections.abc import Collection, Mapping
from types import NoneType
from typing import Any, Final, Literal, NotRequired, TypedDict, get_args

from msgspec import Struct
from msgspec.structs import force_setattr

from zai_async._codes import Outcome
from zai_async._kinds import is_a, is_number, is_whole
from zai_async._secrets import masked
from zai_async.errors import BudgetExceededError, ConfigurationError

__all__ = [
    "Budget",
    "CallOptions",
    "CallParams",
    "Outcome",
    "Price",
    "RepetitionGuard",
    "Timeout",
]

_OUTCOMES: frozenset[str] = frozenset(get_args(Outcome))
# Looked up in place where every answer comes by.
BY_FINISH_REASON: dict[str, Outcome] = {
    "stop": "completed",
    "length": "length",
    "tool_calls": "tool_calls",
    "sensitive": "sensitive",
    "network_error": "network_error",
    # As relays put it, with the reason beside it.
    "error": "network_error",
    "model_context_window_exceeded": "context_exceeded",
}


def outcome_of(finish_reason: str | None) -> Outcome:
    """Name the outcome that a ``finish_reason`` of the API stands for.

    A value the SDK does not know is ``"other"``, and so is a missing one: only the reader of a
    stream can tell whether its absence means that the answer was cut.
    Source: https://docs.z.ai/api-reference/llm/chat-completion
    """
    return BY_FINISH_REASON.get((finish_reason or "").lower(), "other")


class Timeout(Struct, frozen=True):
    """Limit the silence of the service with four clocks, each in seconds; ``None`` is no limit.

    Time that the caller's own code spends between two reads counts on none of them.
    Raises ValueError for a limit that is not above zero.
    """

    connect: float | None = 10.0
    """From asking for a connection until it is established, TLS included."""
    first_byte: float | None = 600.0
    """From sending the request until the status line; a plain answer is written in this time."""
    first_progress: float | None = 300.0
    """From the status line until the first content; comments and empty deltas are none."""
    between_progress: float | None = 300.0
    """From one piece of content to the next; of an answer that is read whole, for each 16 KiB."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _require_positive(name, getattr(self, name))


class Price(Struct, frozen=True, kw_only=True):
    """Say what a model costs: a million tokens of each kind, in a currency of your choice.

    Source: https://docs.z.ai/guides/overview/pricing

    Raises ValueError for a price that is below zero, or none at all.
    """

    prompt: float = 0.0
    completion: float = 0.0
    """Thinking included."""
    cached: float | None = None
    """Prompt tokens read from the context cache; None if they cost what others do."""
    call: float = 0.0
    """Each call, whatever its tokens, for models that are billed that way."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            price = getattr(self, name)
            known = is_number(price) or (price is None and name == "cached")
            if not known or not 0 <= (price or 0) < math.inf:
                raise ValueError(f"{name} must be a price of 0 or more, not {price!r}")


class Budget(Struct, kw_only=True):
    """Refuse to send requests once so much is spent; for a client, or for some of its calls.

    What a call used is known when it has ended, so that calls in flight may go beyond the budget.
    Usage that nobody told, such as that of a cancelled stream, is not counted.

    Raises ValueError for a limit that is not above zero.
    """

    tokens: int | None = None
    """Tokens: of prompts, of answers, and those told in a total only."""
    cost: float | None = None
    """Money, by the prices that the client was given."""
    tokens_spent: int = 0
    cost_spent: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tokens", "cost"):
            limit = getattr(self, name)
            if limit is not None and not (is_number(limit) and 0 < limit < math.inf):
                raise ValueError(f"{name} must be None or above 0, not {limit!r}")

    def require_rest(self) -> None:
        """Do nothing while something is left.

        Raises:
            BudgetExceededError: Everything is spent.
        """
        if self.tokens is not None and self.tokens_spent >= self.tokens:
            spent = f"{self.tokens_spent} of {self.tokens} tokens are spent"
        elif self.cost is not None and self.cost_spent >= self.cost:
            spent = f"{self.cost_spent:g} of {self.cost:g} is spent"
        else:
            return
        raise BudgetExceededError(f"the budget is used up: {spent}; nothing was sent")

    def charge(self, *, tokens: int, cost: float) -> None:
        """Take note of what a call used."""
        self.tokens_spent += tokens
        self.cost_spent += cost


class RepetitionGuard(Struct, frozen=True):
    """Close a stream in which the model does nothing but repeat itself, which is paid for.

    Thinking, text and the arguments of tool calls are watched, each on its own.

    Raises ValueError for a number of characters in which the unit would not stand four times.
    """

    chars: int = 1400
    """How long the end of a text has to be nothing but repetition."""
    max_unit: int = 200
    """The longest phrase that is recognized, in characters."""

    def __post_init__(self) -> None:
        numbers = is_whole(self.max_unit) and is_whole(self.chars)
        if not numbers or not 0 < 4 * self.max_unit <= self.chars:
            text = f"max_unit must be above 0 and at most a quarter of chars, not {self.max_unit!r}"
            raise ValueError(text)


class CallOptions(Struct, frozen=True):
    """Change for one call what the client is set to.

    Raises ValueError, naming the field, for a value that no call could follow.
    """

    timeout: Timeout | float | None = None
    """``None`` keeps the client's; a number of seconds sets every clock except ``connect``."""
    deadline: float | None = None
    """Seconds for everything together: queueing, all attempts and the whole stream."""
    retries: int | None = None
    """Attempts after the first; ``None`` leaves it to the policy, 0 sends exactly one request."""
    headers: Mapping[str, str] = {}
    """Request headers to add; they win over the SDK's."""
    allow: Collection[str] = ()
    """Outcomes that are returned instead of raised, for example ``{"truncated", "empty"}``."""
    on_restart: Literal["raise", "reset"] = "raise"
    """When the service begins its answer anew: fail, or drop what came and go on."""
    tag: str | None = None
    """A label under which the usage ledger and the hooks count this call."""
    budget: Budget | None = None
    """What this call is charged to, besides the budget of the client; usually several share it."""
    wait_for_quota: bool | None = None
    """Whether to wait, within the deadline, for a plan's allowance; None keeps the client's."""
    keep_raw: bool = False
    """Whether the answer keeps its bytes in ``raw``."""
    repetition: RepetitionGuard | None = None
    """Whether a chat stream is closed when the model goes in circles."""
    priority: Literal["normal", "background"] = "normal"
    """A call in the background lets others go first that wait for a permit, 20 of them at most."""

    def __post_init__(self) -> None:
        # Any header of the caller's own may be a secret, and error reporters print these options.
        if not is_a(self.headers, Mapping):
            force_setattr(self, "headers", {})
            raise ValueError("headers must be a mapping of names to values")
        force_setattr(self, "headers", masked(self.headers))
        if not isinstance(self.timeout, Timeout):
            _require_positive("timeout", self.timeout)
        _require_positive("deadline", self.deadline)
        if self.retries is not None and not (is_whole(self.retries) and self.retries >= 0):
            raise ValueError(f"retries must be None, or 0 or more, not {self.retries!r}")
        if self.priority not in ("normal", "background"):
            raise ValueError(f"priority must be 'normal' or 'background', not {self.priority!r}")
        if self.on_restart not in ("raise", "reset"):
            raise ValueError(f"on_restart must be 'raise' or 'reset', not {self.on_restart!r}")
        for name, kind in (("budget", Budget), ("repetition", RepetitionGuard), ("tag", str)):
            value = getattr(self, name)
            if not is_a(value, kind, NoneType):
                raise ValueError(f"{name} must be None or {kind.__name__}, not {value!r}")
        # A lone string is a collection too, of its letters.
        alone = not is_a(self.allow, Collection) or isinstance(self.allow, str)
        if alone or not all(is_a(each, str) and each in _OUTCOMES for each in self.allow):
            raise ValueError(
                f"allow must be a collection of {sorted(_OUTCOMES)}, not {self.allow!r}"
            )

    def timeouts(self, usual: Timeout) -> Timeout:
        """Return the timeouts of the call, where ``usual`` are those of its client."""
        if self.timeout is None or isinstance(self.timeout, Timeout):
            return self.timeout or usual
        # A number is about the answer; how long a connection may take has nothing to do with it.
        seconds = float(self.timeout)
        return Timeout(usual.connect, seconds, seconds, seconds)


def options_of(given: CallOptions | None) -> CallOptions:
    """Return the options that a call was given.

    Raises:
        ConfigurationError: They are something else.
    """
    if given is None:
        return NO_OPTIONS
    if not is_a(given, CallOptions):
        text = "options must be CallOptions, such as CallOptions(timeout=30)"
        raise ConfigurationError(f"{text}, not {type(given).__name__}")
    return given


# Nested on purpose: operations have fields of the names that other SDKs use for these.
class CallParams(TypedDict):
    """Give every operation the two keywords that are not fields of its request body."""

    options: NotRequired[CallOptions]
    """Time limits, retries and headers of this call alone."""
    extra: NotRequired[Mapping[str, Any]]
    """Body fields newer than the SDK, sent as they are; they win over keywords."""


def _require_positive(name: str, seconds: float | None) -> None:
    if type(seconds) is float and 0.0 < seconds < math.inf:
        return  # as nearly all are: each poll of a task has some
    if seconds is not None and not (is_number(seconds) and 0 < seconds < math.inf):
        raise ValueError(f"{name} must be None or seconds above 0, not {seconds!r}")


NO_OPTIONS: Final = CallOptions()
"""Those of a call that was given none."""
