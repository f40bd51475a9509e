"""The names of OpenTelemetry's conventions for generative AI, in one table.

The conventions are in development. ``"released"`` is what the packages of OpenTelemetry emit today,
``"next"`` what the specification has become since.

Source: https://github.com/open-telemetry/semantic-conventions-genai
"""

from typing import Final, Literal

import msgspec

__all__ = ["INFERENCE", "NAMES", "OPERATIONS", "OUTPUT_TYPES", "PARAMETERS", "Names", "Semconv"]

Semconv = Literal["released", "next"]


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Names of metrics and attributes; the defaults are those of ``"released"``."""

    schema_url: str = "https://opentelemetry.io/schemas/1.37.0"
    # Metrics
    inference_duration: str = "gen_ai.client.operation.duration"
    other_duration: str = "gen_ai.client.operation.duration"
    first_chunk: str = "gen_ai.client.operation.time_to_first_chunk"
    input_tokens: str = "gen_ai.client.token.usage"
    output_tokens: str = "gen_ai.client.token.usage"
    token_type: str | None = "gen_ai.token.type"  # noqa: S105 - no password
    """Tells input from output where one metric has both."""
    tool_duration: str = "gen_ai.execute_tool.duration"
    # Attributes
    operation: str = "gen_ai.operation.name"
    provider: str = "gen_ai.provider.name"
    request_model: str = "gen_ai.request.model"
    agent_id: str = "gen_ai.agent.id"
    stream: str = "gen_ai.request.stream"
    output_type: str = "gen_ai.output.type"
    response_id: str = "gen_ai.response.id"
    response_model: str = "gen_ai.response.model"
    finish_reasons: str = "gen_ai.response.finish_reasons"
    response_first_chunk: str = "gen_ai.response.time_to_first_chunk"
    usage_input: str = "gen_ai.usage.input_tokens"
    usage_output: str = "gen_ai.usage.output_tokens"
    usage_cached: str = "gen_ai.usage.cache_read.input_tokens"
    usage_reasoning: str = "gen_ai.usage.reasoning.output_tokens"
    input_messages: str = "gen_ai.input.messages"
    output_messages: str = "gen_ai.output.messages"
    tool_definitions: str = "gen_ai.tool.definitions"
    tool_name: str = "gen_ai.tool.name"
    tool_type: str = "gen_ai.tool.type"
    tool_call_id: str = "gen_ai.tool.call.id"
    tool_arguments: str = "gen_ai.tool.call.arguments"
    server_address: str = "server.address"
    server_port: str = "server.port"
    error_type: str = "error.type"
    method: str = "http.request.method"
    url: str = "url.full"
    status_code: str = "http.response.status_code"
    resend_count: str = "http.request.resend_count"
    # Ours: the conventions have none for these.
    error_code: str = "zai.error.code"
    request_id: str = "zai.request_id"
    tag: str = "zai.tag"
    queued: str = "zai.client.queue.duration"
    limit: str = "zai.client.concurrency.limit"
    in_flight: str = "zai.client.concurrency.in_flight"
    waiting: str = "zai.client.concurrency.waiting"
    batch_backend: str = "zai.batch.backend"
    batch_done: str = "zai.batch.rows.done"
    batch_failed: str = "zai.batch.rows.failed"


NAMES: Final[dict[Semconv, Names]] = {
    "released": Names(),
    "next": Names(
        inference_duration="gen_ai.client.inference.duration",
        first_chunk="gen_ai.client.inference.time_to_first_chunk",
        input_tokens="gen_ai.client.inference.operation.input_tokens",
        output_tokens="gen_ai.client.inference.operation.output_tokens",
        token_type=None,
    ),
}

# What has no operation in the conventions goes by its own name, as they advise.
OPERATIONS: Final = {
    "chat.completions.create": "chat",
    "chat.completions.submit": "chat",
    "images.generate": "generate_content",
    "images.submit": "generate_content",
    "videos.submit": "generate_content",
    "audio.transcriptions.create": "generate_content",
    "audio.speech.create": "generate_content",
    "embeddings.create": "embeddings",
    "agents.invoke": "invoke_agent",
    "tasks.result": "fetch_response",
    "agents.result": "fetch_response",
}
INFERENCE: Final = frozenset({"chat", "generate_content"})
OUTPUT_TYPES: Final = {
    "images.generate": "image",
    "images.submit": "image",
    "audio.transcriptions.create": "text",
    "audio.speech.create": "speech",
}
PARAMETERS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "stop": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "reasoning_effort": "gen_ai.request.reasoning.level",
}
"""Keywords of a call, and the attributes that they are."""
