"""What is wrong with the rows of a file, told before anything is sent, and what they will cost."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from zai_async.batch.keys import KeyIndex, digest_of
from zai_async.batch.rows import RowFaultError, RowParser
from zai_async.models import Price

__all__ = ["Estimate", "Validation"]

# About what the tokenizer finds: four bytes of English, a character and a half of Chinese.
_ASCII_PER_TOKEN: Final = 4
_OTHERS_PER_TOKEN: Final = 1.5
_OTHERS: Final = re.compile(r"[^\x00-\x7f]")


class _Message(msgspec.Struct):
    role: Literal["system", "user", "assistant", "tool"]
    content: Any = None


class _Body(msgspec.Struct):
    max_tokens: int | None = None
    messages: list[_Message] | None = None


_bodies: Final = msgspec.json.Decoder(_Body)


class Estimate(msgspec.Struct, kw_only=True):
    """What rows will take, about."""

    rows: int = 0
    """Rows that can be sent."""
    wrong: int = 0
    """Rows with which something is wrong."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """At most, of those rows that say ``max_tokens``."""
    unbounded: int = 0
    """Rows whose answers may be as long as their model writes."""
    cost: float = 0.0
    """Of these tokens, by the prices that were given."""
    unpriced: int = 0
    """Rows whose model has no price."""


class Validation:
    """Looks at one row after the other, and adds up what they will take.

    Args:
        parser: What the run will say about all rows.
        prices: What models cost, by their names.
    """

    def __init__(self, parser: RowParser, prices: Mapping[str, Price]) -> None:
        self.estimate = Estimate()
        self._parser = parser
        self._prices = {model.lower(): price for model, price in prices.items()}
        self._seen = KeyIndex(positions=False)

    def check(self, row: object) -> str | None:
        """Return what is wrong with a row, None if it can be sent."""
        try:
            request = self._parser.parse(row)
            name = request.key
            # Rows without id may well be equal; they are told apart by how often they occur.
            if name and self._seen.see(digest_of(name)) is not None:
                raise RowFaultError(f"custom_id {name!r} is used more than once")  # noqa: TRY301 - as the parser's
            body = _bodies.decode(request.body)
        except (RowFaultError, msgspec.ValidationError) as fault:
            self.estimate.wrong += 1
            return str(fault)
        estimate = self.estimate
        estimate.rows += 1
        text = request.body.decode()
        # Scripts without spaces take about a token for each character, others one for several.
        others = len(_OTHERS.findall(text))
        prompt = round((len(text) - others) / _ASCII_PER_TOKEN + others / _OTHERS_PER_TOKEN)
        answer = body.max_tokens or 0
        estimate.prompt_tokens += prompt
        estimate.completion_tokens += answer
        estimate.unbounded += body.max_tokens is None
        price = self._prices.get(request.model.lower())
        if price is None:
            estimate.unpriced += 1
        else:
            paid = prompt * price.prompt + answer * price.completion
            estimate.cost += paid / 1_000_000 + price.call
        return None
