"""The ledger of a client: what its calls used, by model and by tag.

A call is written down once, when it is over. Tokens are those that the platform reported; what a
cancelled or broken call used is reported by nobody, and counted as unknown rather than guessed.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from zai_async.models import Budget, Price, Usage

__all__ = ["Ledger", "Spending"]


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """Add up what some calls used."""

    calls: int = 0
    """Calls that sent something, however they ended."""
    attempts: int = 0
    """Requests sent for them."""
    unknown: int = 0
    """Calls that may have used tokens which nobody reported: cancelled, cut, lost."""
    prompt_tokens: int = 0
    """Cached ones included."""
    cached_tokens: int = 0
    completion_tokens: int = 0
    """Thinking included."""
    reasoning_tokens: int = 0
    cost: float = 0.0
    """In the currency of the prices, as far as there are prices."""
    unpriced: int = 0
    """Calls that used tokens at a price that is not known."""

    @property
    def tokens(self) -> int:
        """Tokens of prompts and of answers."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Spending") -> "Spending":
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        sums = (mine + theirs for mine, theirs in pairs)
        return Spending(**dict(zip(self.__struct_fields__, sums, strict=True)))


class _Account(NamedTuple):
    model: str
    tag: str | None


_Accounts: TypeAlias = dict[_Account, Spending]


class Ledger:
    """``zai.usage``: what a client and those derived from it have used.

    Args:
        prices: What models cost, by their names.
    """

    def __init__(self, prices: Mapping[str, Price] | None = None) -> None:
        self._prices = dict(prices or {})
        self._accounts: _Accounts = {}
        # A client may be used by several threads; the garbage collector may end a call inside.
        self._lock = threading.RLock()

    @property
    def total(self) -> Spending:
        """Everything."""
        return sum(self._accounts.copy().values(), Spending())

    def by_model(self) -> dict[str, Spending]:
        """Return what each model used; operations without one go by their own name."""
        sums: dict[str, Spending] = {}
        for account, spent in self._accounts.copy().items():
            sums[account.model] = sums.get(account.model, Spending()) + spent
        return sums

    def by_tag(self) -> dict[str | None, Spending]:
        """Return what was used under each ``CallOptions(tag=...)``, and without one."""
        sums: dict[str | None, Spending] = {}
        for account, spent in self._accounts.copy().items():
            sums[account.tag] = sums.get(account.tag, Spending()) + spent
        return sums

    def price(self, model: str) -> Price | None:
        """Return what a model costs, if that is known."""
        return self._prices.get(model)

    def record(
        self,
        model: str,
        tag: str | None,
        *,
        attempts: int,
        usage: Usage | None = None,
        unknown: bool = False,
        budgets: Iterable[Budget] = (),
    ) -> None:
        """Write down a call that is over, and charge it to these budgets."""
        spent = _spending(usage or Usage(), self.price(model), attempts, unknown=unknown)
        account = _Account(model, tag)
        with self._lock:
            self._accounts[account] = self._accounts.get(account, Spending()) + spent
            for budget in budgets:
                budget.charge(tokens=spent.tokens, cost=spent.cost)


def _spending(usage: Usage, price: Price | None, attempts: int, *, unknown: bool) -> Spending:
    spent = Spending(
        calls=1,
        attempts=attempts,
        unknown=int(unknown),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )
    if price is None:
        return msgspec.structs.replace(spent, unpriced=int(spent.tokens > 0))
    return msgspec.structs.replace(spent, cost=_cost(spent, price))


def _cost(spent: Spending, price: Price) -> float:
    cached = price.prompt if price.cached is None else price.cached
    tokens = (
        (spent.prompt_tokens - spent.cached_tokens) * price.prompt
        + spent.cached_tokens * cached
        + spent.completion_tokens * price.completion
    )
    return price.call + tokens / 1e6
