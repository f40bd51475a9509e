"""The ledger of a client: what its calls used, by model and by tag.

A call is written down once, when it is over. Tokens are those that the platform reported; what a
cancelled or broken call used is reported by nobody, and counted as unknown rather than guessed.
What submitted work used is told with its result, and written down under the call that submitted it.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from zai_async._kinds import is_a
from zai_async._threads import SharedByCopies
from zai_async.errors import ConfigurationError
from zai_async.models import Budget, Price, Usage

__all__ = ["Ledger", "Spending"]

_MOST_ACCOUNTS: Final = 1000
"""Pairs of model and tag that are told apart; a tag may be the name of each user of a service."""
_MOST_JOBS: Final = 10_000
"""Submitted work that is remembered; what is told later is written down as if it were new."""


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
    undivided_tokens: int = 0
    """Told in a total only, and priced as the dearer of both."""
    cost: float = 0.0
    """In the currency of the prices, as far as there are prices."""
    unpriced: int = 0
    """Calls that used tokens at a price that is not known."""

    @property
    def tokens(self) -> int:
        """All of them: of prompts, of answers, and those told in a total only."""
        return self.prompt_tokens + self.completion_tokens + self.undivided_tokens

    def __add__(self, other: "Spending") -> "Spending":
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        sums = (mine + theirs for mine, theirs in pairs)
        return Spending(**dict(zip(self.__struct_fields__, sums, strict=True)))


class _Account(NamedTuple):
    model: str
    tag: str | None


class _Tally(msgspec.Struct, gc=False):
    """A sum that grows with each call; its fields are those of ``Spending``."""

    calls: int = 0
    attempts: int = 0
    unknown: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    undivided_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0

    def add(self, other: "_Tally") -> None:
        """Add another sum."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def shown(self) -> Spending:
        """Return the sum of this moment."""
        return Spending(**msgspec.structs.asdict(self))


class _Job(NamedTuple):
    """Work that was submitted; what it used is told later, and by any number of answers."""

    account: _Account
    budgets: tuple[Budget, ...]


_Accounts: TypeAlias = OrderedDict[_Account, _Tally]
_Jobs: TypeAlias = OrderedDict[str, "_Job | None"]


class Ledger(SharedByCopies):
    """``zai.usage``: what a client and those derived from it have used.

    Args:
        prices: What models cost, by their names.

    Raises:
        ConfigurationError: One of them is no Price.
    """

    def __init__(self, prices: Mapping[str, Price] | None = None) -> None:
        if prices is not None and not is_a(prices, Mapping):
            text = f"prices must map models to Price, and is {type(prices).__name__}"
            raise ConfigurationError(text)
        for model, price in (prices or {}).items():
            if not (is_a(model, str) and is_a(price, Price)):
                text = f"prices must map models to Price, not {model!r} to {price!r}"
                raise ConfigurationError(text)
        # The platform writes the names of models in small letters and in capitals.
        self._prices = {model.lower(): price for model, price in (prices or {}).items()}
        # By the time of their last use; what does not fit is only counted in the total.
        self._accounts: _Accounts = OrderedDict()
        self._forgotten = _Tally()
        self._jobs: _Jobs = OrderedDict()
        # A client may be used by several threads; the garbage collector may end a call inside.
        self._guard, self._process = threading.RLock(), os.getpid()

    @property
    def _lock(self) -> threading.RLock:
        if self._process != os.getpid():
            # At the moment of a fork, another thread of the parent may have held it.
            self._guard, self._process = threading.RLock(), os.getpid()
        return self._guard

    @property
    def total(self) -> Spending:
        """Everything, also what has been forgotten otherwise."""
        with self._lock:
            tallies = (self._forgotten, *self._accounts.values())
            return sum((tally.shown() for tally in tallies), Spending())

    def by_model(self) -> dict[str, Spending]:
        """Return what each model used; operations without one go by their own name.

        Of more than 1,000 pairs of model and tag, those used least recently are forgotten.
        """
        sums: dict[str, Spending] = {}
        for account, tally in self._accounts.copy().items():
            sums[account.model] = sums.get(account.model, Spending()) + tally.shown()
        return sums

    def by_tag(self) -> dict[str | None, Spending]:
        """Return what was used under each ``CallOptions(tag=...)``, and without one."""
        sums: dict[str | None, Spending] = {}
        for account, tally in self._accounts.copy().items():
            sums[account.tag] = sums.get(account.tag, Spending()) + tally.shown()
        return sums

    def price(self, model: str) -> Price | None:
        """Return what a model costs, if that is known."""
        return self._prices.get(model.lower())

    def cost_of(self, model: str, usage: Usage | None) -> float:
        """Return what a call of a model costs; 0 where its price is not known."""
        price = self.price(model)
        return 0.0 if price is None else _cost(usage, price, billed=True)

    def record(
        self,
        model: str,
        tag: str | None,
        *,
        attempts: int,
        usage: Usage | None = None,
        unknown: bool = False,
        billed: bool = False,
        budgets: Iterable[Budget] = (),
    ) -> None:
        """Write down a call that is over, and charge it to these budgets.

        ``billed`` tells whether it costs what each call of its model costs.
        """
        with self._lock:
            tally = self._charge(_Account(model, tag), usage, budgets, billed=billed)
            tally.calls += 1
            tally.attempts += attempts
            tally.unknown += unknown

    def submitted(
        self, job: str, model: str, tag: str | None, budgets: Iterable[Budget] = ()
    ) -> None:
        """Remember who submitted work that will tell later what it used."""
        with self._lock:
            self._jobs[job] = _Job(_Account(model, tag), tuple(budgets))
            self._forget()

    def settle(
        self,
        job: str,
        model: str,
        tag: str | None,
        usage: Usage,
        budgets: Iterable[Budget] = (),
    ) -> None:
        """Write down what submitted work used; once, however often that is told.

        It counts for those who submitted it here; for the others, those who asked first.
        """
        with self._lock:
            known = self._jobs.get(job, _Job(_Account(model, tag), tuple(budgets)))
            if known is not None:
                self._charge(known.account, usage, known.budgets, billed=False)
            # Kept as settled: each further poll brings the same bill again.
            self._jobs[job] = None
            self._forget()

    def _forget(self) -> None:
        while len(self._jobs) > _MOST_JOBS:
            self._jobs.popitem(last=False)

    def _charge(
        self, account: _Account, usage: Usage | None, budgets: Iterable[Budget], *, billed: bool
    ) -> _Tally:
        tally = self._accounts.get(account)
        if tally is None:
            tally = self._accounts[account] = _Tally()
            if len(self._accounts) > _MOST_ACCOUNTS:
                # The total stays right: only whose it was is forgotten.
                self._forgotten.add(self._accounts.popitem(last=False)[1])
        else:
            self._accounts.move_to_end(account)

        tokens, cost = 0, 0.0
        if usage is not None:
            tokens = usage.total_tokens
            tally.prompt_tokens += usage.prompt_tokens
            tally.completion_tokens += usage.completion_tokens
            tally.undivided_tokens += tokens - usage.prompt_tokens - usage.completion_tokens
            tally.cached_tokens += usage.cached_tokens
            tally.reasoning_tokens += usage.reasoning_tokens
        price = self._prices.get(account.model.lower()) if self._prices else None
        if price is not None:
            cost = _cost(usage, price, billed=billed)
            tally.cost += cost
        elif tokens > 0:
            tally.unpriced += 1
        for budget in budgets:
            budget.charge(tokens=tokens, cost=cost)
        return tally


def _cost(usage: Usage | None, price: Price, *, billed: bool) -> float:
    call = price.call if billed else 0.0
    if usage is None:
        return call
    # More than the prompt cannot have been cached; a cost below zero would refill a budget.
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    tokens = (
        (usage.prompt_tokens - cached) * price.prompt
        + cached * (price.prompt if price.cached is None else price.cached)
        + usage.completion_tokens * price.completion
        + usage.undivided_tokens * max(price.prompt, price.completion)
    )
    return call + tokens / 1e6
