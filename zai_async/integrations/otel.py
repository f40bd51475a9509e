"""OpenTelemetry: spans and metrics of calls, requests, tools and batches.

    telemetry = Telemetry()
    async with telemetry.instrument(AsyncZai()) as zai:
        ...

Needs the extra ``otel``. Without a provider of OpenTelemetry's SDK nothing is recorded.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakSet

from opentelemetry import context as contexts
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TracerProvider

from zai_async import __version__
from zai_async.client import AsyncZai
from zai_async.errors import ZaiError
from zai_async.integrations.otel_content import input_messages, output_messages, to_json
from zai_async.integrations.otel_names import (
    INFERENCE,
    NAMES,
    OPERATIONS,
    OUTPUT_TYPES,
    PARAMETERS,
    Semconv,
)
from zai_async.limiter import Snapshot
from zai_async.session import (
    BatchEvent,
    FinishEvent,
    Hooks,
    RequestEvent,
    ResponseEvent,
    StartEvent,
    ToolEvent,
)

__all__ = ["Telemetry"]

Attributes = dict[str, Any]

_SECONDS: Final = tuple(0.01 * 2**step for step in range(14))
_TOKENS: Final = tuple(4**step for step in range(14))
_PORTS: Final = {"http": 80, "https": 443}

# The rows of a batch are traces of their own, linked to it: one of 200,000 spans is of no use.
_batch: Final[ContextVar[SpanContext | None]] = ContextVar("zai_async_batch_span", default=None)


class Telemetry:
    """Makes spans and metrics in the conventions for generative AI, for any number of clients.

    Args:
        tracer_provider: Where spans go; by default the global provider.
        meter_provider: Where metrics go; by default the global provider.
        semconv: ``"released"`` has the names that OpenTelemetry's own packages emit today,
            ``"next"`` those of the coming version.
        provider_name: The value of ``gen_ai.provider.name``.
        content: Whether spans hold what was asked and answered.
        propagate: Whether requests carry the trace (``traceparent``), for gateways of your own.
        attempts: Whether each request has a span inside that of its call. Off where an
            instrumentation of aiohttp makes one.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        semconv: Semconv = "released",
        provider_name: str = "zai",
        content: bool = False,
        propagate: bool = False,
        attempts: bool = True,
    ) -> None:
        self.names = names = NAMES[semconv]
        self.provider_name = provider_name
        self.content = content
        self.propagate = propagate
        self.attempts = attempts
        facts = "zai_async", __version__
        self.tracer = trace.get_tracer(*facts, tracer_provider, schema_url=names.schema_url)
        meter = metrics.get_meter(*facts, meter_provider, schema_url=names.schema_url)
        durations = (names.inference_duration, names.other_duration, names.first_chunk)
        units = dict.fromkeys((*durations, names.tool_duration, names.queued), "s")
        units |= dict.fromkeys((names.input_tokens, names.output_tokens), "{token}")
        self.histograms = {
            name: meter.create_histogram(
                name, unit, explicit_bucket_boundaries_advisory=_SECONDS if unit == "s" else _TOKENS
            )
            for name, unit in units.items()
        }
        self._clients: WeakSet[AsyncZai] = WeakSet()
        figures: dict[str, Callable[[Snapshot], int | None]] = {
            names.limit: lambda figures: figures.limit,
            names.in_flight: lambda figures: figures.in_flight,
            names.waiting: lambda figures: figures.waiting,
        }
        for name, figure in figures.items():
            meter.create_observable_gauge(name, [partial(self._observe, figure)], "{request}")

    def instrument(self, zai: AsyncZai) -> AsyncZai:
        """Return a client whose calls are told of; it shares everything with the one given.

        Hooks that the client has are called as before. A client that is derived from the result
        with hooks of its own is told of no more.
        """
        watched = ClientTelemetry(self, zai.provider.base_url)
        hooks = Hooks(
            around=watched.around,
            around_work=watched.around_work,
            on_response=watched.responded,
            on_finish=watched.finished,
            content=self.content,
        )
        derived = zai.with_options(hooks=zai.hooks.joined(hooks))
        self._clients.add(derived)
        return derived

    def _observe(
        self, figure: Callable[[Snapshot], int | None], _: CallbackOptions
    ) -> Iterable[Observation]:
        # A copy: readers of metrics have a thread of their own.
        for zai in tuple(self._clients):
            for model, figures in zai.limits.snapshot().items():
                value = figure(figures)
                if value is not None:
                    facts = {self.names.provider: self.provider_name}
                    yield Observation(value, facts | {self.names.request_model: model})


class ClientTelemetry:
    """What is told of the calls of one client."""

    def __init__(self, telemetry: Telemetry, base_url: str) -> None:
        names = self.names = telemetry.names
        self._telemetry = telemetry
        where = urlsplit(base_url)
        self._server: Attributes = {
            names.server_address: where.hostname or "",
            names.server_port: where.port or _PORTS.get(where.scheme, 0),
        }
        # Hooks are told the id of a call, and nothing else that would lead to its span.
        self._calls: dict[str, tuple[Span, Attributes]] = {}
        self._attempts: dict[str, Span] = {}

    def around(self, event: StartEvent | RequestEvent) -> AbstractContextManager[object] | None:
        """Return the span of a call, or of one of its requests."""
        if isinstance(event, StartEvent):
            return self._call(event)
        return self._attempt(event)

    def around_work(self, event: ToolEvent | BatchEvent) -> AbstractContextManager[object]:
        """Return the span of a tool, or of a batch."""
        return self._tool(event) if isinstance(event, ToolEvent) else self._run(event)

    def responded(self, event: ResponseEvent) -> None:
        """Note the status of an answer."""
        span = self._attempts.get(event.call_id)
        if span is not None:
            span.set_attribute(self.names.status_code, event.status_code)
            if event.request_id:
                span.set_attribute(self.names.request_id, event.request_id)

    def finished(self, event: FinishEvent) -> None:
        """Note how a call ended, on its span and in the metrics."""
        names, histograms = self.names, self._telemetry.histograms
        span, common = self._calls[event.call_id]
        operation, usage, timing = common[names.operation], event.usage, event.timing
        found: Attributes = {
            names.response_id: event.response_id,
            names.response_model: event.response_model,
            names.finish_reasons: event.finish_reasons or None,
            names.response_first_chunk: timing.first_token,
            names.resend_count: max(len(event.attempts) - 1, 0) or None,
            names.queued: timing.queued or None,
            names.request_id: next((each.request_id for each in event.attempts[-1:]), None),
        }
        tokens: dict[str, int] = {}
        divided = usage is not None and usage.total_tokens > usage.undivided_tokens
        # A poll tells what other work has used, which was told when that was asked for.
        if usage is not None and divided and operation != "fetch_response":
            tokens = {"input": usage.prompt_tokens, "output": usage.completion_tokens}
            found[names.usage_input], found[names.usage_output] = tokens.values()
            found[names.usage_cached] = usage.cached_tokens or None
            found[names.usage_reasoning] = usage.reasoning_tokens or None
        if event.answer is not None:
            found[names.output_messages] = to_json(output_messages(event.answer))
        if event.response_model is not None:
            common[names.response_model] = event.response_model
        if event.error is not None:
            common[names.error_type] = self._failed(span, event.error)
            if isinstance(event.error, ZaiError):
                found[names.error_code] = event.error.code
        span.set_attributes({name: value for name, value in found.items() if value is not None})

        inference = operation in INFERENCE
        duration = names.inference_duration if inference else names.other_duration
        histograms[duration].record(timing.total, common)
        histograms[names.queued].record(timing.queued, common)
        if timing.first_token is not None:
            histograms[names.first_chunk].record(timing.first_token, common)
        for kind, amount in tokens.items():
            name = names.input_tokens if kind == "input" else names.output_tokens
            told = {names.token_type: kind} if names.token_type else {}
            histograms[name].record(amount, common | told)

    @contextmanager
    def _call(self, event: StartEvent) -> Generator[None]:
        names, telemetry = self.names, self._telemetry
        operation = OPERATIONS.get(event.operation, event.operation)
        common = {
            names.operation: operation,
            names.provider: telemetry.provider_name,
            **self._server,
        }
        # An operation without a model has its own name in that place.
        named = event.model != event.operation
        if named and operation != "invoke_agent":
            common[names.request_model] = event.model
        asked: Attributes = {
            names.agent_id: event.model if named and operation == "invoke_agent" else None,
            names.stream: event.stream or None,
            names.output_type: OUTPUT_TYPES.get(event.operation),
            names.tag: event.tag,
        }
        for keyword, name in PARAMETERS.items():
            value = event.parameters.get(keyword)
            asked[name] = [value] if keyword == "stop" and isinstance(value, str) else value
        if event.content is not None:
            asked[names.input_messages] = to_json(input_messages(event.content))
            if event.content.get("tools"):
                asked[names.tool_definitions] = to_json(event.content["tools"])
        batch = _batch.get()
        with self._span(
            f"{operation} {event.model}" if named else operation,
            common | {name: value for name, value in asked.items() if value is not None},
            kind=SpanKind.CLIENT,
            links=[Link(batch)] if batch else (),
            context=Context() if batch else None,
        ) as span:
            self._calls[event.call_id] = span, common
            try:
                yield
            finally:
                del self._calls[event.call_id]

    @contextmanager
    def _attempt(self, event: RequestEvent) -> Generator[None]:
        names = self.names
        # The requests of a stream are sent in other contexts than that in which the call began.
        context = trace.set_span_in_context(self._calls[event.call_id][0])
        if not self._telemetry.attempts:
            if self._telemetry.propagate:
                propagate.inject(event.headers, context)
            yield
            return
        facts = {names.method: event.method, names.url: event.url, **self._server}
        if event.attempt > 1:
            facts[names.resend_count] = event.attempt - 1
        with self._span(event.method, facts, kind=SpanKind.CLIENT, context=context) as span:
            if self._telemetry.propagate:
                propagate.inject(event.headers)
            self._attempts[event.call_id] = span
            try:
                yield
            except Exception as error:
                self._failed(span, error)
                raise
            finally:
                del self._attempts[event.call_id]

    @contextmanager
    def _tool(self, event: ToolEvent) -> Generator[None]:
        names = self.names
        common = {names.operation: "execute_tool", names.tool_name: event.name}
        facts = common | {names.tool_call_id: event.tool_call_id, names.tool_type: "function"}
        if event.arguments is not None:
            facts[names.tool_arguments] = to_json(event.arguments)
        # No clock of the client's: a tool is no call, and runs outside of tests that turn it.
        begun = time.perf_counter()
        with self._span(f"execute_tool {event.name}", facts) as span:
            try:
                yield
            except Exception as error:
                common[names.error_type] = self._failed(span, error)
                raise
            finally:
                duration = time.perf_counter() - begun
                self._telemetry.histograms[names.tool_duration].record(duration, common)

    @contextmanager
    def _run(self, event: BatchEvent) -> Generator[None]:
        names = self.names
        facts = {
            names.operation: "batch",
            names.provider: self._telemetry.provider_name,
            names.batch_backend: event.backend,
        }
        if event.model is not None:
            facts[names.request_model] = event.model
        with self._span(f"batch {event.model}" if event.model else "batch", facts) as span:
            token = _batch.set(span.get_span_context())
            try:
                yield
            except Exception as error:
                self._failed(span, error)
                raise
            finally:
                _batch.reset(token)
                progress = event.progress()
                span.set_attribute(names.batch_done, progress.done)
                span.set_attribute(names.batch_failed, progress.failures)

    @contextmanager
    def _span(self, name: str, attributes: Mapping[str, Any], **facts: Any) -> Generator[Span]:
        """Start a span, which is the current one inside."""
        span = self._telemetry.tracer.start_span(name, attributes=attributes, **facts)
        token = contexts.attach(trace.set_span_in_context(span))
        try:
            yield span
        finally:
            contexts.detach(token)
            span.end()

    def _failed(self, span: Span, error: Exception) -> str:
        """Mark a span as failed, without the message, which may hold content; return the type."""
        kind = type(error)
        # As it is imported, and not where it happens to be defined.
        home = "zai_async" if isinstance(error, ZaiError) else kind.__module__
        name = kind.__qualname__ if home == "builtins" else f"{home}.{kind.__qualname__}"
        span.set_status(StatusCode.ERROR)
        span.set_attribute(self.names.error_type, name)
        return name
