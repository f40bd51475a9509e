"""What type checkers make of the public surface; never run, but checked by `make check`."""

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_never, assert_type

from zai_async import (
    APIError,
    AsyncZai,
    Attempt,
    Backoff,
    Budget,
    CallOptions,
    ChatCompletion,
    ChatCompletionChunk,
    ChatEvent,
    ChatStream,
    Conversation,
    Coordinator,
    EventStream,
    EventTooLargeError,
    Finished,
    FinishEvent,
    Hooks,
    IncompleteError,
    Ledger,
    LimitError,
    Limits,
    MachineSlots,
    Message,
    Outcome,
    ParsedCompletion,
    ParsedResult,
    Price,
    Provider,
    RequestEvent,
    Reset,
    ResponseEvent,
    RetryEvent,
    RetryPolicy,
    RoundStarted,
    RunFinished,
    SharedWindow,
    Spending,
    StartEvent,
    StreamRestartedError,
    StreamStalledError,
    Task,
    TaskTimeoutError,
    TextDelta,
    ThinkingDelta,
    Timeout,
    Timing,
    ToolCall,
    ToolCallDelta,
    ToolCallError,
    ToolCallStarted,
    ToolFinished,
    ToolProgress,
    ToolRun,
    ToolStarted,
    Usage,
    WebSearch,
    WindowReply,
    WindowReport,
    ZaiError,
    as_completed,
    no_retries,
    tool,
    wait_all,
)
from zai_async.batch import Failed, Ok
from zai_async.models import (
    AgentReply,
    Batch,
    ChatResult,
    FunctionToolParam,
    ImageResult,
    MessageParam,
    ParsedFile,
    SearchResult,
    Video,
)


class Weather:
    city: str


async def client_is_made_and_derived() -> None:
    async with AsyncZai(api_key="k") as zai:
        assert_type(zai, AsyncZai)
        assert_type(zai.provider, Provider)
        assert_type(zai.with_options(timeout=5), AsyncZai)
        assert_type(
            zai.with_options(
                timeout=Timeout(connect=None),
                retry=RetryPolicy(throttle=Backoff(1.0, 2.0)),
                headers={"X-A": "b"},
                hooks=Hooks(),
                max_response_bytes=1,
                max_response_values=1,
                max_event_bytes=1,
                max_event_values=1,
            ),
            AsyncZai,
        )
    await AsyncZai(provider="bigmodel", base_url="http://x", trust_env=False).aclose()


async def answer_is_whole(zai: AsyncZai) -> None:
    answer = await zai.chat.completions.create(model="glm-5.3", messages="Hi")
    assert_type(answer, ChatCompletion)
    assert_type(answer.text, str)
    assert_type(answer.thinking, str)
    assert_type(answer.message, Message)
    assert_type(answer.usage, Usage)
    assert_type(answer.usage.cached_tokens, int)
    assert_type(answer.request_id, str | None)
    assert_type(answer.finish_reason, str | None)
    assert_type(answer.outcome, Outcome)
    assert_type(answer.attempts, tuple[Attempt, ...])
    assert_type(answer.web_search, list[SearchResult])
    for call in answer.tool_calls:
        assert_type(call, ToolCall)
        assert_type(call.name, str)
        assert_type(call.arguments, str)
        assert_type(call.parse(), dict[str, Any])
        assert_type(call.parse(Weather), Weather)
        assert_type(call.function.parse(), dict[str, Any])
        assert_type(call.function.parse(list[int]), list[int])


async def tasks_know_their_results(zai: AsyncZai) -> None:
    task = await zai.videos.submit(model="cogvideox-3", prompt="A cat")
    assert_type(task, Task[Video])
    assert_type(zai.attach(task), Task[Video])
    assert_type(await task.wait(60, on_update=lambda video: None), Video)
    assert_type(task.result(), Video)
    async for update in task.updates():
        assert_type(update, Video)
    assert_type(await zai.videos.generate(model="cogvideox-3", timeout=60), Video)
    assert_type(await zai.images.submit(model="glm-image", prompt="A cat"), Task[ImageResult])
    chat = await zai.chat.completions.submit(model="glm-5.3", messages="Hi")
    assert_type(chat, Task[ChatResult])
    assert_type(zai.chat.completions.task("1"), Task[ChatResult])
    assert_type(zai.agents.task(agent_id="a", async_id="1"), Task[AgentReply])
    assert_type(zai.file_parser.task("1", "download_link"), Task[ParsedFile])
    assert_type(await zai.batches.wait("1", 60), Batch)
    assert_type(await wait_all([task]), list[Video])
    assert_type(await wait_all([task], return_errors=True), list[Video | Exception])
    async for done in as_completed([task]):
        assert_type(done, Task[Video])
    try:
        assert_type(await task.result().download("out/", max_bytes=1), Path)
        assert_type(await zai.download("https://example.org/a.png", Path("a.png")), Path)
    except TaskTimeoutError as error:
        assert_type(error.retryable, bool)


async def answer_is_continued(zai: AsyncZai) -> None:
    history: list[MessageParam | Message] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ],
        },
    ]
    tool: FunctionToolParam = {
        "type": "function",
        "function": {"name": "get_weather", "parameters": {"type": "object"}},
    }
    answer = await zai.chat.completions.create(
        model="glm-5.3",
        messages=history,
        tools=[tool, {"type": "web_search", "web_search": {"enable": True}}],
        thinking={"type": "enabled", "clear_thinking": False},
        reasoning_effort="high",
        response_format={"type": "json_object"},
        temperature=1,
        stop=["END"],
        extra={"brand_new": 1},
        options=CallOptions(
            timeout=5, deadline=20, retries=0, headers={"A": "b"}, allow={"length", "empty"}
        ),
    )
    history.append(answer.message)
    call = answer.tool_calls[0]
    history.append({"role": "tool", "content": "sunny", "tool_call_id": call.id})


async def answer_is_streamed(zai: AsyncZai) -> None:
    async with zai.chat.completions.stream(model="glm-5.3", messages="Hi") as stream:
        assert_type(stream, ChatStream)
        async for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)
            assert_type(chunk.text, str)
            assert_type(chunk.thinking, str)
        assert_type(stream.request_id, str | None)
        assert_type(stream.outcome, Outcome | None)
        assert_type(stream.usage, Usage | None)
        assert_type(stream.snapshot, ChatCompletion)
        assert_type(stream.attempts, tuple[Attempt, ...])
        assert_type(await stream.completion(), ChatCompletion)
        await stream.aclose()
    await any_stream(stream)


async def any_stream(stream: EventStream[ChatCompletionChunk]) -> None:
    assert_type(await stream.open(), EventStream[ChatCompletionChunk])
    async for chunk in stream:
        assert_type(chunk, ChatCompletionChunk)


async def stream_is_text(zai: AsyncZai) -> None:
    async with zai.chat.completions.stream(model="glm-5.3", messages="Hi") as stream:
        assert_type(stream.text, AsyncIterator[str])
        assert_type(stream.thinking, AsyncIterator[str])
        async for text in stream.text:
            assert_type(text, str)


async def stream_is_events(zai: AsyncZai) -> None:
    async with zai.chat.completions.stream(model="glm-5.3", messages="Hi") as stream:
        async for event in stream.events:
            describe(event)


def describe(event: ChatEvent) -> str:  # noqa: PLR0911 - one branch for each event
    match event:
        case ThinkingDelta(text=text):
            return assert_type(text, str)
        case TextDelta(text=text):
            return assert_type(text, str)
        case ToolCallStarted(index=index, id=call_id, name=name):
            assert_type(index, int)
            return call_id + name
        case ToolCallDelta(index=index, text=text):
            assert_type(index, int)
            return text
        case ToolCall(name=name, arguments=arguments):
            return name + arguments
        case WebSearch(results=results):
            assert_type(results, list[SearchResult])
            return results[0].title
        case Usage(total_tokens=total):
            return str(assert_type(total, int))
        case Reset(old_id=old, new_id=new):
            return old + new
        case Finished(outcome=outcome, completion=completion):
            assert_type(outcome, Outcome)
            return assert_type(completion, ChatCompletion).text
        case _:
            assert_never(event)


async def stream_is_asked_for_as_elsewhere(zai: AsyncZai) -> None:
    create = zai.chat.completions.create
    assert_type(await create(model="m", messages="Hi", stream=True), ChatStream)
    assert_type(await create(model="m", messages="Hi", stream=False), ChatCompletion)
    async for chunk in await create(model="m", messages="Hi", stream=True):
        assert_type(chunk, ChatCompletionChunk)


async def errors_are_facts(zai: AsyncZai) -> None:
    try:
        await zai.chat.completions.create(model="m", messages="Hi")
    except APIError as error:
        facts(error)
    except ToolCallError as error:
        assert_type((error.name, error.call_id, error.raw), tuple[str, str, str])
    except StreamStalledError as error:
        assert_type((error.phase, error.waited), tuple[str, float])
    except StreamRestartedError as error:
        assert_type((error.old_id, error.new_id), tuple[str | None, str | None])
    except IncompleteError as error:
        assert_type(error.outcome, Outcome)
    except (LimitError, EventTooLargeError) as error:
        assert_type(error.limit, int)


def facts(error: ZaiError) -> None:
    assert_type(error.message, str)
    assert_type(error.code, str | None)
    assert_type(error.status_code, int | None)
    assert_type(error.request_id, str | None)
    assert_type(error.hint, str | None)
    assert_type(error.retryable, bool)
    assert_type(error.retry_at, datetime | None)
    assert_type(error.retry_after, float | None)
    assert_type(error.body, str | None)
    assert_type(error.attempts, tuple[Attempt, ...])
    assert_type(error.operation, str | None)
    assert_type(error.in_stream, bool)
    assert_type(error.emitted, bool)
    # A match on the kind needs no import.
    match error.kind:
        case "quota" | "billing" | "account" | "auth":
            return
        case "throttle" | "overload":
            return
        case _:
            return


def hooks_are_plain_or_asynchronous() -> None:
    async def on_retry(event: RetryEvent) -> None:
        assert_type(event.error, ZaiError)
        assert_type(event.wait, float)

    def on_request(event: RequestEvent) -> None:
        assert_type(event.url, str)

    def on_response(event: ResponseEvent) -> None:
        assert_type(event.status_code, int)

    def on_finish(event: FinishEvent) -> None:
        assert_type(event.timing, Timing)
        assert_type(event.usage, Usage | None)

    @contextmanager
    def around(event: StartEvent | RequestEvent) -> Generator[None]:
        assert_type(event.call_id, str)
        assert_type(event.kind, Literal["call", "attempt"])
        yield

    Hooks(on_request=on_request, on_response=on_response, on_retry=on_retry, on_finish=on_finish)
    Hooks(around=around)


async def money_is_counted(report: WindowReport) -> None:
    coordinator: Coordinator = MachineSlots("/run/lock")
    assert_type(await coordinator.exchange("w", report), WindowReply)
    assert_type(SharedWindow(Limits()).exchange(report, 0.0), WindowReply)
    async with AsyncZai(
        limits=10,
        coordinator=coordinator,
        budget=Budget(tokens=10, cost=1.0),
        prices={"glm-5.3": Price(prompt=1.0)},
        wait_for_quota=True,
    ) as zai:
        assert_type(zai.usage, Ledger)
        assert_type(zai.usage.total, Spending)
        assert_type(zai.usage.by_tag(), dict[str | None, Spending])
        with no_retries():
            answer = await zai.chat.completions.create(
                model="glm-5.3",
                messages="Hi",
                options=CallOptions(budget=Budget(tokens=1), wait_for_quota=False),
            )
        assert_type(answer.timing, Timing)
        assert_type(answer.timing.first_token, float | None)


async def tools(zai: AsyncZai) -> None:
    """Tools keep the signature of their function."""

    @tool
    async def add(a: int, b: int = 1) -> int:
        return a + b

    def is_outside(path: str) -> bool:
        return path.startswith("/")

    @tool(timeout=3, approve=is_outside)
    def remove(path: str) -> None: ...

    assert_type(await add(1, b=2), int)
    assert_type(add.name, str)
    run = zai.chat.completions.run_tools(
        model="glm-5.3",
        messages="Hi",
        tools=[add, remove, len, {"type": "web_search", "web_search": {"enable": True}}],
        max_rounds=3,
        temperature=0.5,
    )
    assert_type(run, ToolRun)
    async with run:
        async for event in run.events:
            match event:
                case ToolFinished():
                    assert_type(event.content, str)
                case ToolProgress():
                    assert_type(event.data, Any)
                case RoundStarted() | ToolStarted() | RunFinished():
                    pass
                case _:
                    assert_type(event, ChatEvent)
        assert_type(await run.completion(), ChatCompletion)
    if run.pending:
        assert_type(zai.chat.completions.resume_tools(run.pending, tools=[add]), ToolRun)


async def structure(zai: AsyncZai) -> None:
    """Answers have the type that was asked for."""
    answer = await zai.chat.completions.parse(Price, model="glm-5.3", messages="Hi", seed=1)
    assert_type(answer, ParsedCompletion[Price])
    assert_type(answer.parsed, Price)
    numbers = await zai.chat.completions.parse(list[int], model="glm-5.3", messages="Hi")
    assert_type(numbers.parsed, list[int])
    stream = zai.chat.completions.parse_stream(Price, model="glm-5.3", messages="Hi")
    async with stream:
        async for partial in stream:
            assert_type(partial, Any)
        assert_type(await stream.parsed(), Price)
    async for row in zai.batch.run([], out="out.jsonl", model="glm-5.3", schema=Price):
        if isinstance(row, Ok):
            assert_type(row.parsed, Price)
        else:
            assert_type(row, Failed)
    async for plain in zai.batch.run([], out="out.jsonl", ordered=True):
        assert_type(plain, Ok[None] | Failed)
    task = await zai.chat.completions.submit(model="glm-5.3", messages="Hi", schema=Price)
    assert_type((await task.wait()).parsed, Price)
    assert_type(zai.chat.completions.task("1", schema=Price), Task[ParsedResult[Price]])


async def conversation(zai: AsyncZai) -> None:
    """Turns have the types of the calls below them."""
    chat = Conversation(zai, model="glm-5.3", max_history_tokens=9, temperature=0.1)
    assert_type(await chat.send("Hi", max_rounds=2, top_p=0.5), ChatCompletion)
    async with chat.stream("Hi") as stream:
        assert_type(stream, ChatStream)
    async with chat.run("Hi") as run:
        assert_type(run, ToolRun)
    assert_type(chat.fork(), Conversation)
