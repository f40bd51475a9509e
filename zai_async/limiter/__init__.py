"""How many requests may be in flight: a pure state machine that finds the account's limit.

The platform limits the requests in flight per account and model, publishes no number, and refuses
what is too much at once and without a hint (https://docs.z.ai/api-reference/rate-limit). Which
requests are in flight when one is refused, though, is exactly what the platform counts, so a
refusal tells the limit itself, not merely a direction:

* A search doubles the window while everything passes. The first refusal ends it: the window
  becomes the number of requests that were in flight and fine. It is not halved.
* From then on single requests probe for more room. Each refusal has to be paid for by 50 requests
  that pass, which keeps refusals at 2 %. A probe that passes starts a search, in steps of 1, 2, 4.
* The third refusal in a row, of requests sent after the window shrank and with none passing in
  between, means that the number in flight is no guide: the limit fell, or everything is refused.
  The window shrinks by a factor, and doubles back to what had worked once something passes.
* With nothing left in flight, one request after each growing pause asks whether it is over.
* A request that is refused while others pass is to blame itself: it waits, and the window stays.

`benchmarks/limiter.py` compares this with AIMD, CUBIC, a gradient and fixed numbers.

Nothing here waits or reads a clock. Whoever sends the requests reports what happened, asks
``admit()`` after each report who may go now, and ``next_at()`` when to ask although nothing
happened. One fact is not reported: a refusal comes at once, so whoever has not been refused for a
second is taken to have passed.
"""

from typing import NamedTuple

from zai_async.limiter.evidence import Evidence, Rate, Refusal, Trial
from zai_async.limiter.pace import Bucket, Pacer
from zai_async.limiter.settings import Limits
from zai_async.limiter.size import Size
from zai_async.limiter.window import QueueEntry, Snapshot, Window

__all__ = [
    "Bucket",
    "Evidence",
    "Limits",
    "Pacer",
    "QueueEntry",
    "Rate",
    "Refusal",
    "Size",
    "Snapshot",
    "Trial",
    "Window",
    "WindowKey",
]


class WindowKey(NamedTuple):
    """What the platform counts together."""

    base_url: str
    account: str
    """A fingerprint of the key, never the key."""
    model: str
