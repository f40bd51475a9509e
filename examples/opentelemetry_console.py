"""Print the spans and metrics of a call, a stream and a tool.

    pip install ".[otel]" opentelemetry-sdk  # in a clone of the repository
    python examples/opentelemetry_console.py --emulate  # no key needed
    ZAI_API_KEY=... python examples/opentelemetry_console.py

A service sets providers with exporters of its own up once, and `Telemetry()` finds them.
"""

import asyncio
import os
import sys
from contextlib import ExitStack

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from zai_async import AsyncZai, tool
from zai_async.integrations.otel import Telemetry


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"Rain in {city}"


async def main() -> None:
    spans = TracerProvider()
    spans.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    metrics = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())])

    telemetry = Telemetry(tracer_provider=spans, meter_provider=metrics)
    async with telemetry.instrument(AsyncZai()) as zai:
        await zai.chat.completions.create(model="glm-5.3", messages="Hi", temperature=0.2)
        async with zai.chat.completions.stream(model="glm-5.3", messages="Hi") as stream:
            await stream.completion()
        run = zai.chat.completions.run_tools(
            model="glm-5.3", messages="What is the weather in Lund?", tools=[weather]
        )
        async with run:
            await run.completion()

    metrics.shutdown()
    spans.shutdown()


if __name__ == "__main__":
    with ExitStack() as stack:
        if "--emulate" in sys.argv:
            from zai_async.testing import Emulator

            emulator = stack.enter_context(Emulator())
            os.environ.update(ZAI_BASE_URL=emulator.url, ZAI_API_KEY="emulated")
        asyncio.run(main())
