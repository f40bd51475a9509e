"""Requests of every kind under Sentry's integration of aiohttp: `python -m tests.sentry_watches`.

A program of its own: what the integration has patched stays so. It prints what was seen and what
has arrived.
"""

import asyncio
import json
import sys
import tempfile
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from sentry_sdk.transport import Transport

from tests.calls import FakeClock, client
from tests.every_kind import arrived, every_kind
from zai_async.testing import Emulator

told: list[dict[str, Any]] = []


class Kept(Transport):
    """Keeps what would be sent."""

    def capture_envelope(self, envelope):
        told.extend(item.payload.json for item in envelope.items)


async def main() -> None:
    sentry_sdk.init(
        dsn="http://public@127.0.0.1:9/1",
        transport=Kept,
        traces_sample_rate=1.0,
        integrations=[AioHttpIntegration()],
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        async with Emulator() as platform, client(platform.url, clock=FakeClock()) as zai:
            # Without a transaction of the caller's, the emulator's own would be the only one.
            with sentry_sdk.start_transaction(name="work"):
                await every_kind(zai, folder)
            requests, came = platform.requests, arrived(platform)
    [work] = [each for each in told if each.get("transaction") == "work"]
    spans = [span for span in work["spans"] if span["op"] == "http.client"]
    figures = {
        "seen": [span["description"] for span in spans],
        "arrived": came,
        "statuses": sorted({span["status"] for span in spans}),
        "traced": all("sentry-trace" in request.headers for request in requests),
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
