"""What calls cost, and what they may cost."""

import math

from msgspec import Struct

from zai_async.errors import BudgetExceededError


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
            if price is not None and not 0 <= price < math.inf:
                raise ValueError(f"{name} must be a price of 0 or more, not {price!r}")


class Budget(Struct, kw_only=True):
    """Refuse to send requests once so much is spent; for a client, or for some of its calls.

    What a call used is known when it has ended, so that calls in flight may go beyond the budget.
    Usage that nobody told, such as that of a cancelled stream, is not counted.

    Raises ValueError for a limit that is not above zero.
    """

    tokens: int | None = None
    """Tokens, of prompts and of answers."""
    cost: float | None = None
    """Money, by the prices that the client was given."""
    tokens_spent: int = 0
    cost_spent: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tokens", "cost"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
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
