"""How many requests may be in flight: a pure state machine that tells limits from weather.

The platform limits the requests in flight per account and model, publishes no number, and refuses
what is too much at once and without a hint (https://docs.z.ai/api-reference/rate-limit). It refuses
for other reasons, too: a model may be busy for everybody, or the requests of a minute be used up.

* A search lets the window grow while everything passes: by one up to 5, then by half, or more
  gently where few wait and where answers take long. It grows only when most of it was used.
* **A limit is a step.** Which requests were in flight when one was refused is what the platform
  counts, so a refusal where nothing of this size has passed yet tells the limit itself: the window
  becomes the number that was fine.
* **Weather is flat.** Refusals at a size at which others pass, at the rate that is usual, leave
  the window alone, and only the refused call waits. What is usual is learnt, for each kind of
  refusal: codes say what it claims to be about, which is where belief begins, and where refusals
  come is where it ends (``evidence.Evidence``). Those for concurrency at numbers in flight that
  pass soon after are weather, and others that come above one number only are a limit. How many are
  in flight counts as the platform saw it when a request arrived (``evidence.Refusals``).
* **A cut is a trial.** If refusals go on at the same rate in the smaller window, it was the
  weather: the window gets back what it lost (``trials.Trial``).
* Single requests probe for more room, when those that were refused have been paid for by 20 to 50
  that pass, or after a few seconds if the limit is not certain. A probe that passes starts a
  search; up to what has worked before, the window doubles. Where many wait, they pay for a few, in
  all, that go soon after a cut: if such a one passes, the cut was wrong.
* The third refusal in a row, with none passing in between, means that the number in flight is no
  guide: the window shrinks by a factor with each one, and doubles back when something passes. With
  nothing left in flight, one request after each pause of at most 5 s asks whether it is over.
* A refusal for the rate (code 1303) changes no window: requests go at the pace at which they pass
  (``pace.Pacer``).
* A request that is refused while others pass is to blame itself: it waits, and the window stays.

`benchmarks/limiter.py` compares this with AIMD, CUBIC, a gradient, fixed numbers, and no limiter.

Several processes share one window through ``exchange.SharedWindow``, to which each has a
``link.WindowLink``.

Nothing here waits or reads a clock. Whoever sends the requests reports what happened, asks
``admit()`` after each report who may go now, and ``next_at()`` when to ask although nothing
happened. One fact is not reported: refusals come at once and in order, so whoever has not been
refused for a while, or was sent before one that has been, is taken to have passed.
"""

from typing import NamedTuple

from zai_async.limiter.evidence import Evidence, Levels, Rate
from zai_async.limiter.exchange import SharedWindow, WindowEvent, WindowReply, WindowReport
from zai_async.limiter.link import WindowLink
from zai_async.limiter.pace import SEEN, Bucket, Pacer
from zai_async.limiter.settings import Limits
from zai_async.limiter.size import Size
from zai_async.limiter.trials import Refusal, Trial
from zai_async.limiter.window import QueueEntry, Snapshot, Window

__all__ = [
    "SEEN",
    "Bucket",
    "Evidence",
    "Levels",
    "Limits",
    "Pacer",
    "QueueEntry",
    "Rate",
    "Refusal",
    "SharedWindow",
    "Size",
    "Snapshot",
    "Trial",
    "Window",
    "WindowEvent",
    "WindowKey",
    "WindowLink",
    "WindowReply",
    "WindowReport",
]


class WindowKey(NamedTuple):
    """What the platform counts together."""

    base_url: str
    account: str
    """A fingerprint of the key, never the key."""
    model: str
