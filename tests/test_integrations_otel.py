"""OpenTelemetry: spans and metrics, by its SDK, and beside those of its own instrumentation."""

import asyncio
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests import batches
from tests.calls import ASK, BUSY, COMPLETION, FINE, PROMPT, ask, scripted
from tests.chat_wire import DONE, GOOD, frame, last, texts
from tests.effort import THOROUGH
from zai_async import AsyncZai, CallOptions, Hooks, NotFoundError, RateLimitError, tool
from zai_async.integrations.otel import Telemetry
from zai_async.integrations.otel_names import NAMES
from zai_async.testing import Emulator, FakeReply

pytestmark = pytest.mark.usefixtures("children_unmeasured")
ROOT = Path(__file__).parent.parent
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
ANSWER = FakeReply.json(COMPLETION | {"usage": USAGE}, X_Log_Id="log-1")


class Recorded:
    """Keeps what is recorded."""

    def __init__(self):
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.providers = {
            "tracer_provider": TracerProvider(),
            "meter_provider": MeterProvider([self._reader]),
        }
        self.providers["tracer_provider"].add_span_processor(SimpleSpanProcessor(self._spans))

    def telemetry(self, **settings):
        return Telemetry(**self.providers, **settings)

    @property
    def spans(self):
        return self._spans.get_finished_spans()

    def named(self, name):
        return next(span for span in self.spans if span.name == name)

    @property
    def metrics(self):
        """Return the points of each metric by its name."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: (metric.unit, list(metric.data.data_points))
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def recorded():
    return Recorded()


# Calls and their requests


async def test_a_call_has_a_span_and_each_request_another(recorded):
    zai, _ = scripted(BUSY, ANSWER)
    async with recorded.telemetry().instrument(zai) as zai:
        await ask(zai, temperature=0.5, stop="END", options=CallOptions(tag="mine"))
    first, second, call = recorded.spans
    assert [span.name for span in recorded.spans] == ["POST", "POST", "chat glm-5.3"]
    assert {span.kind for span in recorded.spans} == {SpanKind.CLIENT}
    assert first.parent == second.parent == call.context
    assert call.status.status_code is second.status.status_code is StatusCode.UNSET
    assert first.status.status_code is StatusCode.ERROR
    server = {"server.address": "127.0.0.1", "server.port": 9}
    assert call.attributes == server | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "zai",
        "gen_ai.request.model": "glm-5.3",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.id": "1",
        "gen_ai.response.model": "glm-5.3",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "http.request.resend_count": 1,
        "zai.request_id": "log-1",
        "zai.tag": "mine",
    }
    request = server | {
        "http.request.method": "POST",
        "url.full": "http://127.0.0.1:9/api/paas/v4/chat/completions",
    }
    assert first.attributes == request | {
        "http.response.status_code": 429,
        "zai.request_id": "log-0",
        "error.type": "zai_async.RateLimitError",
    }
    assert second.attributes == request | {
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
        "zai.request_id": "log-1",
    }
    assert PROMPT not in str([dict(span.attributes) for span in recorded.spans])


async def test_a_total_that_is_not_divided_is_not_told_as_zero_of_each(recorded):
    counted = ({"total_tokens": 7}, {"prompt_tokens": 3, "completion_tokens": 4})
    zai, _ = scripted(*(FakeReply.json(COMPLETION | {"usage": usage}) for usage in counted))
    async with recorded.telemetry().instrument(zai) as zai:
        await ask(zai)
        await ask(zai)
    told = [span.attributes for span in recorded.spans if span.name.startswith("chat")]
    assert [each.get("gen_ai.usage.input_tokens") for each in told] == [None, 3]
    assert [each.get("gen_ai.usage.output_tokens") for each in told] == [None, 4]


async def test_metrics_of_a_call(recorded):
    zai, _ = scripted(ANSWER, BUSY)
    async with recorded.telemetry().instrument(zai) as zai:
        await ask(zai)
        with pytest.raises(RateLimitError):
            await ask(zai, options=CallOptions(retries=0))
    unit, (fine, refused) = recorded.metrics["gen_ai.client.operation.duration"]
    assert (unit, fine.count, refused.count) == ("s", 1, 1)
    assert fine.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "zai",
        "gen_ai.request.model": "glm-5.3",
        "server.address": "127.0.0.1",
        "server.port": 9,
    }
    assert fine.attributes == common | {"gen_ai.response.model": "glm-5.3"}
    assert refused.attributes == common | {"error.type": "zai_async.RateLimitError"}
    unit, points = recorded.metrics["gen_ai.client.token.usage"]
    assert unit == "{token}"
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in points} == {
        "input": 20,
        "output": 7,
    }
    assert "gen_ai.client.operation.time_to_first_chunk" not in recorded.metrics


async def test_the_coming_names(recorded):
    zai, _ = scripted(ANSWER, FakeReply.json({"token_count": 3}))
    async with recorded.telemetry(semconv="next").instrument(zai) as zai:
        await ask(zai)
        await zai.tokenizer.count(model="glm-5.3", messages="Hi")
    assert {name for name in recorded.metrics if name.startswith("gen_ai")} == {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
        "gen_ai.client.operation.duration",
    }
    assert recorded.spans[-1].attributes["gen_ai.operation.name"] == "tokenizer.count"


def test_the_table_names_nothing_twice_but_what_is_one_metric():
    for semconv, names in NAMES.items():
        words = [word for word in msgspec.structs.astuple(names) if word]
        twice = {word for word in words if words.count(word) > 1}
        one = {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
        assert twice == (one if semconv == "released" else set())


async def test_a_stream(recorded):
    zai, _ = scripted(FakeReply.stream(GOOD), FakeReply.stream(GOOD))
    async with recorded.telemetry().instrument(zai) as zai:
        async with zai.chat.completions.stream(**ASK) as stream:
            await stream.completion()
        async with zai.chat.completions.stream(**ASK) as stream:
            await anext(stream)
    whole, closed = (span for span in recorded.spans if span.name != "POST")
    for span in (whole, closed):
        assert span.status.status_code is StatusCode.UNSET
        assert span.attributes["gen_ai.request.stream"] is True
    assert whole.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert "gen_ai.response.finish_reasons" not in closed.attributes
    [point] = recorded.metrics["gen_ai.client.operation.time_to_first_chunk"][1]
    assert point.count >= 1
    assert [span.parent for span in recorded.spans if span.name == "POST"] == [
        whole.context,
        closed.context,
    ]


async def test_a_stream_that_one_task_opens_and_another_closes(recorded, caplog):
    zai, _ = scripted(FakeReply.stream(GOOD))
    async with recorded.telemetry().instrument(zai) as zai:
        stream = zai.chat.completions.stream(**ASK)
        await asyncio.create_task(anext(stream))
        await asyncio.create_task(stream.aclose())
    assert len(recorded.spans) == 2
    assert not caplog.records


async def test_an_operation_without_model_and_an_agent(recorded):
    found = FakeReply.json({"search_result": []})
    agent = FakeReply.json({"choices": [{"messages": [{"content": "Hallo"}]}], "status": "success"})
    zai, _ = scripted(found, agent)
    async with recorded.telemetry(attempts=False).instrument(zai) as zai:
        await zai.web_search.create(search_engine="search-prime", search_query="x")
        await zai.agents.invoke(agent_id="general_translation", messages="Hi")
    search, invoked = recorded.spans
    assert search.name == "web_search.create"
    assert "gen_ai.request.model" not in search.attributes
    assert invoked.name == "invoke_agent general_translation"
    assert invoked.attributes["gen_ai.agent.id"] == "general_translation"
    assert "gen_ai.request.model" not in invoked.attributes


async def test_a_poll_tells_of_no_tokens(recorded):
    task = {"id": "t1", "task_status": "PROCESSING"}
    done = COMPLETION | {"id": "t1", "task_status": "SUCCESS", "usage": USAGE}
    zai, _ = scripted(FakeReply.json(task), FakeReply.json(done))
    async with recorded.telemetry(attempts=False).instrument(zai) as zai:
        await (await zai.chat.completions.submit(**ASK)).wait()
    submitted, fetched = recorded.spans
    assert submitted.attributes["gen_ai.response.id"] == "t1"
    assert fetched.attributes["gen_ai.operation.name"] == "fetch_response"
    assert "gen_ai.usage.input_tokens" not in fetched.attributes
    assert "gen_ai.client.token.usage" not in recorded.metrics


@pytest.mark.parametrize("attempts", [True, False])
async def test_the_trace_goes_along_when_asked(recorded, attempts):
    zai, transport = scripted(FINE, FakeReply.stream(GOOD), FINE)
    telemetry = recorded.telemetry(propagate=True, attempts=attempts)
    async with telemetry.instrument(zai) as traced:
        await ask(traced)
        async with traced.chat.completions.stream(**ASK) as stream:
            await stream.completion()
        await ask(zai)
    spans = [span for span in recorded.spans if (span.name == "POST") is attempts]
    *carried, last = [request.headers.get("traceparent") for request in transport.requests]
    # Behind the ids there are flags, and ever more of them.
    assert [parent.rpartition("-")[0] for parent in carried] == [
        f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in spans
    ]
    assert last is None


async def test_hooks_of_the_client_are_called_as_before(recorded):
    seen = []
    zai, _ = scripted(FINE, hooks=Hooks(on_finish=seen.append))
    async with recorded.telemetry().instrument(zai) as zai:
        await ask(zai)
    assert [event.end for event in seen] == ["completed"]
    assert len(recorded.spans) == 2


async def test_a_hook_that_refuses_a_call_is_an_error_of_its_own_type(recorded):
    def refuse(event):
        raise LookupError(event.operation)

    zai, _ = scripted(FINE, hooks=Hooks(on_start=refuse))
    async with recorded.telemetry().instrument(zai) as zai:
        with pytest.raises(LookupError):
            await ask(zai)
    assert recorded.spans[-1].attributes["error.type"] == "LookupError"


# Content


async def test_content_is_told_when_asked_for(recorded):
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    zai, _ = scripted(FakeReply.json(COMPLETION | {"choices": [choice]}), FINE)
    parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "x"}}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    async with recorded.telemetry(content=True, attempts=False).instrument(zai) as zai:
        answer = await ask(zai, messages=[{"role": "user", "content": parts}], tools=tools)
        history = [answer.message, {"role": "tool", "tool_call_id": "c1", "content": "4"}]
        await ask(zai, messages=history)
    first, second = recorded.spans
    [asked] = json.loads(first.attributes["gen_ai.input.messages"])
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "See"}, parts[1]]}
    called = [
        {"type": "reasoning", "content": "Hm."},
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": "{}"},
    ]
    [told] = json.loads(first.attributes["gen_ai.output.messages"])
    assert told == {"role": "assistant", "parts": called, "finish_reason": "tool_calls"}
    assert json.loads(first.attributes["gen_ai.tool.definitions"]) == tools
    assert json.loads(second.attributes["gen_ai.input.messages"]) == [
        {"role": "assistant", "parts": called},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "4"}]},
    ]


async def test_content_of_other_operations(recorded):
    zai, _ = scripted(FakeReply.json({"data": [{"url": "https://x.invalid/a.png"}]}))
    async with recorded.telemetry(content=True, attempts=False).instrument(zai) as zai:
        await zai.images.generate(model="cogview-4", prompt="a lighthouse")
    [span] = recorded.spans
    [asked] = json.loads(span.attributes["gen_ai.input.messages"])
    assert asked["parts"] == [{"type": "text", "content": "a lighthouse"}]
    assert span.attributes["gen_ai.output.messages"] == "[]"
    assert span.attributes["gen_ai.output.type"] == "image"


# Tools and batches


@pytest.mark.parametrize("content", [True, False])
async def test_a_tool_has_a_span_and_what_it_calls_is_inside(recorded, content):
    async with Emulator() as platform:
        platform.chat.reply(tool_calls=[{"name": "look", "arguments": {"city": "Lund"}}])
        platform.chat.reply("inside")
        platform.chat.reply("done")
        zai = AsyncZai(api_key="test", base_url=platform.url)

        @tool
        async def look(city: str) -> str:
            """Look."""
            return (await ask(zai)).text

        telemetry = recorded.telemetry(content=content, attempts=False)
        zai = telemetry.instrument(zai)
        async with zai, zai.chat.completions.run_tools(**ASK, tools=[look]) as run:
            await run.completion()
    span = recorded.named("execute_tool look")
    assert span.kind is SpanKind.INTERNAL
    shown = span.attributes.get("gen_ai.tool.call.arguments")
    assert (shown and json.loads(shown)) == ({"city": "Lund"} if content else None)
    assert span.attributes["gen_ai.tool.type"] == "function"
    assert span.attributes["gen_ai.tool.call.id"]
    assert [each.parent for each in recorded.spans if each.parent] == [span.context]
    [point] = recorded.metrics["gen_ai.execute_tool.duration"][1]
    assert point.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
    }


async def test_a_tool_that_fails(recorded):
    @tool
    def fail() -> str:
        """Fail."""
        raise LookupError

    async with Emulator() as platform:
        platform.chat.reply(tool_calls=[{"name": "fail", "arguments": {}}])
        platform.chat.reply("done")
        zai = recorded.telemetry().instrument(AsyncZai(api_key="test", base_url=platform.url))
        async with zai, zai.chat.completions.run_tools(**ASK, tools=[fail]) as run:
            await run.completion()
    span = recorded.named("execute_tool fail")
    assert span.attributes["error.type"] == "LookupError"
    assert span.status.status_code is StatusCode.ERROR
    [point] = recorded.metrics["gen_ai.execute_tool.duration"][1]
    assert point.attributes["error.type"] == "LookupError"


async def test_the_rows_of_a_batch_are_traces_that_are_linked_to_it(recorded, tmp_path):
    zai, _ = batches.client()
    zai = recorded.telemetry(attempts=False).instrument(zai)
    rows = [{"prompt": "one"}, {"prompt": "two"}, {"nothing": "here"}]
    tracer = recorded.providers["tracer_provider"].get_tracer("test")
    with tracer.start_as_current_span("mine") as mine:
        await zai.batch.run(rows, out=tmp_path / "out.jsonl", model="glm-5.3")
    span = recorded.named("batch glm-5.3")
    assert span.parent == mine.get_span_context()
    assert span.attributes == {
        "gen_ai.operation.name": "batch",
        "gen_ai.provider.name": "zai",
        "gen_ai.request.model": "glm-5.3",
        "zai.batch.backend": "calls",
        "zai.batch.rows.done": 2,
        "zai.batch.rows.failed": 1,
    }
    calls = [each for each in recorded.spans if each.name == "chat glm-5.3"]
    assert [[link.context for link in each.links] for each in calls] == [[span.context]] * 2
    assert {each.parent for each in calls} == {None}


async def test_a_batch_that_breaks_off(recorded, tmp_path):
    def rows():
        yield {"prompt": "one", "model": "glm-5.3"}
        raise LookupError("gone")

    zai, _ = batches.client()
    zai = recorded.telemetry().instrument(zai)
    with pytest.raises(LookupError, match="gone"):
        await zai.batch.run(rows(), out=tmp_path / "out.jsonl")
    span = recorded.named("batch")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"]


# The limiter


async def test_gauges_of_the_limiter(recorded):
    zai, _ = scripted(FINE, FINE, limits=3)
    telemetry = recorded.telemetry()
    zai = telemetry.instrument(zai)
    off = telemetry.instrument(scripted(FINE)[0])
    async with zai, off:
        await ask(zai)
        await ask(off, model="glm-5.2")
    gauges = {
        name.rpartition(".")[2]: {
            point.attributes["gen_ai.request.model"]: point.value for point in points
        }
        for name, (unit, points) in recorded.metrics.items()
        if "concurrency" in name and unit == "{request}"
    }
    assert gauges["limit"] == {"glm-5.3": 3}
    assert gauges["in_flight"] == gauges["waiting"]
    assert gauges["waiting"]["glm-5.3"] == 0
    del zai, off
    gc.collect()
    assert not [name for name in recorded.metrics if "concurrency" in name]


@pytest.mark.skipif(not THOROUGH, reason="a part of the thorough run")
def test_the_example_prints_what_is_recorded(zai_emulator):
    program = ROOT / "examples/opentelemetry_console.py"
    own = {"ZAI_API_KEY": "test", "ZAI_BASE_URL": zai_emulator.url, "PYTHONPATH": str(ROOT)}
    told = subprocess.check_output([sys.executable, program], env=os.environ | own, text=True)
    for name in ("chat glm-5.3", "execute_tool weather", "gen_ai.client.token.usage"):
        assert f'"name": "{name}"' in told


def test_a_client_that_nobody_instruments_imports_nothing_of_it():
    code = "import sys, zai_async.client, zai_async.batch; print('opentelemetry' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


async def functions_called(work):
    """Return how many functions an awaitable calls; scripted answers let nobody wait."""
    gc.collect()  # what others have left is not finalized meanwhile
    called = 0

    def count(frame, event, arg):
        nonlocal called
        called += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        await work
    finally:
        sys.setprofile(None)
    return called


async def test_a_client_that_nobody_instruments_calls_nothing_more(recorded):
    """Not even beside one that is: its calls pass as many functions as before."""
    (zai, _), (other, _) = scripted(*[FINE] * 9), scripted(*[FINE] * 9)
    async with zai, recorded.telemetry().instrument(other) as other:
        costs = [
            [await functions_called(ask(each)) for _ in range(4)] for each in (zai, other, zai)
        ]
    alone, watched, beside = (cost[-1] for cost in costs)  # before is what is made once
    assert alone == beside < watched


async def test_a_token_costs_a_watched_stream_nothing_more(recorded):
    """Spans and metrics are made once a call, whatever its length."""

    async def read(zai):
        async with zai.chat.completions.stream(**ASK) as stream:
            assert "".join([text async for text in stream.text])

    few, many = (b"".join(map(frame, [*texts(*"a" * n), last()])) + DONE for n in (10, 110))
    costs = []
    for watched in (False, True):
        zai, _ = scripted(*(FakeReply.stream(body) for body in (few, few, few, many, few)))
        async with recorded.telemetry().instrument(zai) if watched else zai as zai:
            counts = [await functions_called(read(zai)) for _ in range(4)]
        costs.append(counts[3] - counts[2])
    assert costs[0] == costs[1] > 100


# Beside OpenTelemetry's own instrumentation of the other client


OURS_ALONE = {"zai.request_id", "zai.error.code"}
"""The conventions have no name for them."""
DIFFERENT = {"gen_ai.provider.name", "server.port", "gen_ai.response.id", "error.type"}
"""Values that differ by nature: who it is, and what this call was."""
NOT_OURS = {"gen_ai.client.operation.time_per_output_chunk"}
"""A measurement per chunk would cost each token of every stream something."""


async def four_calls(create, closed):
    """Make a whole call, a stream, one that is refused, and a stream that is closed early."""
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    await create(model="glm-5.3", temperature=0.25, max_tokens=400, **asked)
    async for _ in await create(model="glm-5.3", stream=True, **asked):
        pass
    with pytest.raises(closed):
        await create(model="nope", **asked)
    stream = await create(model="glm-5.3", stream=True, **asked)
    await anext(aiter(stream))
    await getattr(stream, "aclose", getattr(stream, "close", None))()


@pytest.mark.skipif(not THOROUGH, reason="a part of the thorough run")
async def test_what_the_instrumentation_of_openai_records_is_recorded_of_us():
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.genai.openai")
    openai = pytest.importorskip("openai")
    theirs, ours = Recorded(), Recorded()
    async with Emulator() as platform:
        instrumentor = instrumentation.OpenAIInstrumentor()
        instrumentor.instrument(**theirs.providers)
        try:
            settings = {"base_url": platform.url, "api_key": "test", "max_retries": 0}
            async with openai.AsyncOpenAI(**settings) as other:
                await four_calls(other.chat.completions.create, openai.BadRequestError)
        finally:
            instrumentor.uninstrument()
        zai = AsyncZai(base_url=platform.url, api_key="test")
        async with ours.telemetry(attempts=False).instrument(zai) as zai:
            await four_calls(zai.chat.completions.create, NotFoundError)

    assert len(theirs.spans) == len(ours.spans) == 4
    for their, our in zip(theirs.spans, ours.spans, strict=True):
        assert (their.name, their.kind, their.status.status_code) == (
            our.name,
            our.kind,
            our.status.status_code,
        )
        assert our.attributes.keys() - their.attributes.keys() <= OURS_ALONE
        assert their.attributes.keys() <= our.attributes.keys()
        for name in their.attributes.keys() - DIFFERENT - {"gen_ai.response.time_to_first_chunk"}:
            assert their.attributes[name] == our.attributes[name], name
    assert our.instrumentation_scope.schema_url == their.instrumentation_scope.schema_url

    assert theirs.metrics.keys() - ours.metrics.keys() == NOT_OURS
    for name in theirs.metrics.keys() - NOT_OURS:
        (unit, their_points), (our_unit, our_points) = theirs.metrics[name], ours.metrics[name]
        assert unit == our_unit
        assert [(point.count, point.explicit_bounds) for point in their_points] == [
            (point.count, point.explicit_bounds) for point in our_points
        ]
        keys = [
            [point.attributes.keys() for point in points] for points in (their_points, our_points)
        ]
        assert keys[0] == keys[1]
