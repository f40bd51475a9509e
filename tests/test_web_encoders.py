"""Encoders turn events into bytes; the readers that they are written for say whether they may."""

import json
import sys

import msgspec
import pytest
from openai import AsyncOpenAI
from openai.lib.streaming.chat import AsyncChatCompletionStreamManager

from tests import chat_wire
from tests.ai_page import VERSIONS, needs_npm_ai, pages
from tests.calls import client
from tests.chat_wire import body, chunk, last, texts, thoughts, tool
from tests.effort import sample
from zai_async import (
    ChatCompletion,
    Finished,
    RateLimitError,
    Reset,
    RoundStarted,
    RunFinished,
    StreamRestartedError,
    StreamTruncatedError,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    Usage,
    WebSearch,
    ZaiError,
    web,
)
from zai_async.models import Choice, FunctionCall, Message, SearchResult
from zai_async.web import (
    DataPart,
    DocumentSource,
    MetadataPart,
    OpenAIEncoder,
    RelayedFile,
    TextEncoder,
    ToolApprovalRequest,
    ToolFailure,
    ToolOutput,
    UIMessageEncoder,
    UrlSource,
)
from zai_async.web.openai_replies import completion_body

CALL = ToolCall(
    id="c1", function=FunctionCall(name="look", arguments='{\n "n": 12345678901234567890123}')
)
STARTED = [
    ToolCallStarted(0, "c1", "look"),
    ToolCallDelta(0, '{\n "n": 12345678901234567890123}'),
    CALL,
]
STOP = Finished("completed", "stop", ChatCompletion(usage=Usage(total_tokens=12)))
ASKED = Finished("tool_calls", "tool_calls", ChatCompletion())
# A name of a file that is no UTF-8, and both halves of a pair.
HALF = "caf\udce9 \ud83d\udc0d"
PAGES = [
    SearchResult(title="Sea", link="https://example.com/1", refer="ref_1"),
    SearchResult(link="https://example.com/2"),
    SearchResult(title="no address"),
]
SEARCHED = {"web_search": [{"title": "Sea", "link": "https://example.com/1", "refer": "ref_1"}]}
CALLED = tool('{"city": ', id="c1", name="weather"), tool('"Lisbon"}')

# What the platform sends, and the message, the ends and the reason that a page must see.
WIRES = {
    "text": (body([*texts("Good ", "day"), last()]), ["text:Good day"], "stop"),
    "thinking": (
        body([*thoughts("Hm", "."), *texts("Yes."), last()]),
        ["reasoning:Hm.", "text:Yes."],
        "stop",
    ),
    "interleaved": (
        body([*thoughts("a"), *texts("b"), *thoughts("c"), *texts("d"), last()]),
        ["reasoning:a", "text:b", "reasoning:c", "text:d"],
        "stop",
    ),
    "search": (
        body([chunk({"content": "See "}, **SEARCHED), *texts("[1]"), last()]),
        ["text:See [1]", "source-url:https://example.com/1"],
        "stop",
    ),
    "tool": (
        body([*texts("Wait."), *CALLED, last("tool_calls")]),
        ["text:Wait.", 'tool-weather:input-available:{"city":"Lisbon"}'],
        "tool-calls",
    ),
    "length": (body([*texts("Half"), last("length")]), ["text:Half"], "length"),
    "context": (
        body([*texts("Half"), last("model_context_window_exceeded")]),
        ["text:Half"],
        "length",
    ),
    "sensitive": (body([*texts("I can"), last("sensitive")]), ["text:I can"], "content-filter"),
    "unknown": (body([*texts("Hm"), last("new_reason")]), ["text:Hm"], "other"),
    "lost": (body([*texts("Half"), last("network_error")]), ["text:Half"], None),
    "cut": (body(texts("Half"), done=False), ["text:Half"], None),
    "error": (
        body([*texts("Half"), {"error": {"code": "1305", "message": "overloaded"}}]),
        ["text:Half"],
        None,
    ),
    "tool-cut": (
        body([*CALLED[:1], last("length")]),
        ["tool-weather:output-error:null"],
        None,
    ),
    "tool-lost": (
        body([*CALLED[:1]], done=False),
        ["tool-weather:output-error:null"],
        None,
    ),
}


def parts(frames: bytes) -> list:
    """Return what the events hold, the mark of the end as it is."""
    events = frames.decode().split("\n\n")
    assert events.pop() == ""
    datas = [event.removeprefix("data: ") for event in events]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def kinds(frames: bytes) -> list[str]:
    return [part if isinstance(part, str) else part["type"] for part in parts(frames)]


def play(encoder, *events) -> bytes:
    return b"".join(map(encoder.encode, events)) + encoder.end()


async def relayed(wire: bytes, encoder, **options) -> bytes:
    """Return the frames of what the platform has sent."""
    async with chat_wire.client(wire) as zai:
        stream = chat_wire.stream(zai, **options)
        out = b""
        try:
            async with stream:
                async for event in stream.events:
                    out += encoder.encode(event)
        except ZaiError as error:
            return out + encoder.fail(error)
        return out + encoder.end()


def assert_balanced(frames: bytes) -> None:
    """Each part is begun once, goes on while it is open, and ends; nothing follows the end."""
    seen = parts(frames)
    assert seen[-1] == "[DONE]"
    assert seen[-2]["type"] in {"finish", "error", "abort"}
    opened: set[str] = set()
    for part in seen[:-1]:
        kind, _, step = part["type"].rpartition("-")
        place = part.get("id") or part.get("toolCallId")
        if kind in {"text", "reasoning", "tool-input"}:
            assert (place in opened) == (step != "start")
            if step == "start":
                opened.add(place)
            elif step != "delta":
                opened.remove(place)
        elif part["type"] == "finish-step":
            assert not opened
    assert not opened


# The UI message stream


def shown(message: dict) -> list[str]:
    """Return the parts of a message on the page, in short."""
    found = []
    for part in message["parts"]:
        kind = part["type"]
        if kind.startswith("tool-"):
            given = json.dumps(part.get("input"), separators=(",", ":"))
            found.append(f"{kind}:{part['state']}:{given}")
        elif kind != "step-start":
            assert part.get("state") in {"done", None}
            found.append(f"{kind}:{part.get('text') or part.get('url')}")
    return found


@needs_npm_ai
@pytest.mark.parametrize("version", VERSIONS)
async def test_page_holds_what_the_platform_sent(version):
    bodies = [
        (await relayed(wire, UIMessageEncoder("msg-1"))).decode() for wire, *_ in WIRES.values()
    ]
    results = pages(version, [{"body": text} for text in bodies])
    for name, result in zip(WIRES, results, strict=True):
        _, message, reason = WIRES[name]
        ends = [entry for entry in result["log"] if entry[0] == "finish"]
        # Version 7 keeps the text of half a call as its input, and 6 beside it.
        seen = [part.replace('"{\\"city\\": "', "null") for part in shown(result["message"])]
        assert (name, seen) == (name, message)
        assert result["message"]["id"] == "msg-1"
        assert ends == [["finish", reason, False, reason is None]]
        assert result["status"] == ("ready" if reason else "error")
        if name == "text":
            assert result["message"]["metadata"]["usage"]["totalTokens"] == 12


@needs_npm_ai
@pytest.mark.parametrize("version", VERSIONS)
def test_page_takes_what_a_server_adds(version):
    events = [
        *STARTED,
        ToolApprovalRequest("c1", "ask-1"),
        ToolOutput("c1", {"n": 1}, preliminary=True),
        ToolOutput("c1", {"n": 2}),
        ASKED,
        TextDelta("Two."),
        UrlSource("s1", "https://example.com"),
        DocumentSource("s2", "application/pdf", "Report", "report.pdf"),
        RelayedFile("data:image/png;base64,AAAA", "image/png"),
        DataPart("chart", {"y": 1}, id="d1"),
        DataPart("toast", "saved", transient=True),
        MetadataPart({"model": "glm"}),
        WebSearch(PAGES),
        STOP,
    ]
    text = play(UIMessageEncoder("msg-1", server_tools={"look"}), *events)
    assert_balanced(text)
    failing = play(UIMessageEncoder(), *STARTED, ToolFailure("c1", "closed"), STOP)
    stopped = UIMessageEncoder("msg-1")
    aborted = stopped.encode(TextDelta("Half")) + stopped.abort("stopped")
    bodies = [{"body": each.decode()} for each in (text, failing, aborted)]
    result, failed, abort = pages(version, bodies)
    called = result["message"]["parts"][1]
    assert (called["state"], called["output"]) == ("output-available", {"n": 2})
    assert called["providerExecuted"] is True
    assert [entry[0] for entry in result["log"]] == [
        "data",
        "data",
        "finish",
    ]  # no tool of the page
    assert [part["type"] for part in result["message"]["parts"]] == [
        *("step-start", "tool-look", "step-start", "text", "source-url", "source-document", "file"),
        *("data-chart", "source-url", "source-url"),
    ]
    assert result["message"]["metadata"]["model"] == "glm"
    assert failed["message"]["parts"][1]["errorText"] == "closed"
    assert failed["log"][0][:2] == ["tool", "look"]
    assert (abort["status"], abort["log"]) == ("ready", [["finish", None, False, False]])
    assert shown(abort["message"]) == ["text:Half"]


RUN = [
    RoundStarted(1),
    *STARTED,
    ASKED,
    ToolStarted("c1", "look"),
    ToolProgress("c1", {"n": 1}),
    ToolFinished("c1", "look", "completed", '{"n": 2}'),
]
BROKEN = ToolFinished("c1", "look", "failed", '{"error": "closed"}')
ANSWER = ChatCompletion(choices=[Choice(finish_reason="stop")])
TOTAL = Usage(total_tokens=30)


def test_run_with_tools_is_one_message():
    done = [RoundStarted(2), TextDelta("Two."), STOP, RunFinished("completed", ANSWER, 2, TOTAL)]
    text = play(UIMessageEncoder("msg-1", server_tools={"look"}), *RUN, *done)
    assert_balanced(text)
    told = [part for part in parts(text) if part != "[DONE]" and "output" in part]
    assert [(part["output"], part.get("preliminary")) for part in told] == [
        ({"n": 1}, True),
        ({"n": 2}, None),
    ]
    *_, finish, end = parts(text)
    assert (finish["type"], finish["finishReason"], end) == ("finish", "stop", "[DONE]")
    assert finish["messageMetadata"]["usage"]["totalTokens"] == 30
    failed = parts(play(UIMessageEncoder(), *RUN[:-1], BROKEN, *done))
    assert {"type": "tool-output-error", "toolCallId": "c1", "errorText": "closed"} in failed
    plain = ToolFinished("c1", "look", "completed", "no JSON")
    assert "no JSON" in [
        part["output"] for part in parts(play(UIMessageEncoder(), plain, STOP))[2:3]
    ]


def test_run_that_waits_asks_the_page():
    waiting = RunFinished("pending", ANSWER, 1, Usage(), [CALL])
    text = play(UIMessageEncoder("msg-1", server_tools={"look"}), *RUN[:5], waiting)
    assert_balanced(text)
    asked = {"type": "tool-approval-request", "toolCallId": "c1", "approvalId": "c1"}
    assert asked in parts(text)
    assert parts(text)[-2]["finishReason"] == "tool-calls"
    ended = play(
        UIMessageEncoder(), TextDelta("x"), STOP, RunFinished("completed", ANSWER, 1, TOTAL)
    )
    assert_balanced(ended)


@needs_npm_ai
@pytest.mark.parametrize("version", VERSIONS)
def test_page_shows_a_run_with_tools(version):
    done = [RoundStarted(2), TextDelta("Two."), STOP, RunFinished("completed", ANSWER, 2, TOTAL)]
    waiting = RunFinished("pending", ANSWER, 1, Usage(), [CALL])
    runs = [[*RUN, *done], [*RUN[:-1], BROKEN, *done], [*RUN[:5], waiting]]
    bodies = [
        {"body": play(UIMessageEncoder("m", server_tools={"look"}), *run).decode()} for run in runs
    ]
    good, bad, asking = (result["message"]["parts"] for result in pages(version, bodies))
    assert (good[1]["state"], good[1]["output"]) == ("output-available", {"n": 2})
    assert (bad[1]["state"], bad[1]["errorText"]) == ("output-error", "closed")
    assert asking[1]["state"] == "approval-requested"
    assert good[-1]["text"] == "Two."


def cuts(wire: bytes) -> list[int]:
    return sample(range(len(wire)), 12)


@pytest.mark.parametrize("name", WIRES)
async def test_stream_that_is_cut_anywhere_is_balanced(name):
    wire = WIRES[name][0]
    for size in cuts(wire):
        assert_balanced(await relayed(wire[:size], UIMessageEncoder()))


async def test_usage_is_told_before_the_error():
    frames = await relayed(WIRES["lost"][0], UIMessageEncoder())
    assert kinds(frames)[-4:] == ["finish-step", "message-metadata", "error", "[DONE]"]
    assert parts(frames)[-3]["messageMetadata"]["usage"]["totalTokens"] == 12


async def test_error_before_the_first_event_starts_no_message():
    frames = await relayed(body([{"error": {"code": "1302"}}]), UIMessageEncoder())
    assert kinds(frames) == ["error", "[DONE]"]


async def test_error_tells_nothing_of_the_account():
    secret = {"error": {"code": "1113", "message": "balance of acme is 0"}}
    frames = await relayed(body([*texts("Half"), secret]), UIMessageEncoder())
    assert b"acme" not in frames
    assert parts(frames)[-2]["errorText"] == "This service cannot use the model at the moment."


def test_message_gets_an_id_where_none_is_given():
    first, second = UIMessageEncoder(), UIMessageEncoder()
    assert first.message_id != second.message_id
    assert parts(first.encode(TextDelta("x")))[0]["messageId"] == first.message_id


def test_answer_without_content_is_a_whole_message():
    frames = play(UIMessageEncoder("m"), STOP)
    assert kinds(frames) == ["start", "start-step", "finish-step", "finish", "[DONE]"]


def test_thoughts_can_be_kept_from_the_page():
    frames = play(UIMessageEncoder(reasoning=False), ThinkingDelta("hm"), TextDelta("Yes"), STOP)
    assert "reasoning-start" not in kinds(frames)


def test_arguments_go_out_in_one_line_with_all_digits():
    frames = play(UIMessageEncoder(), *STARTED, ASKED)
    assert b'"input":{"n":12345678901234567890123}' in frames


@pytest.mark.parametrize(("arguments", "given"), [("", {}), ("  ", {})])
def test_call_without_arguments_has_empty_ones(arguments, given):
    call = ToolCall(id="c9", function=FunctionCall(name="now", arguments=arguments))
    frames = play(UIMessageEncoder(), call, ASKED)
    assert parts(frames)[2]["input"] == given


def test_call_whose_arguments_are_not_json_is_an_error_of_the_call():
    call = ToolCall(id="c9", function=FunctionCall(name="now", arguments="now!"))
    part = parts(play(UIMessageEncoder(), call, ASKED))[2]
    assert (part["type"], part["input"]) == ("tool-input-error", "now!")


def test_call_without_an_id_gets_one():
    call = ToolCall(index=0, function=FunctionCall(name="now"))
    frames = play(UIMessageEncoder(), ToolCallStarted(0, "", "now"), call, ASKED)
    assert_balanced(frames)
    assert {part["toolCallId"] for part in parts(frames) if "toolCallId" in part} == {"call_0"}


class Later(msgspec.Struct):
    """What a later version may tell."""


@pytest.mark.parametrize("brackets", ["[" * 3000, "[" * 100_000 + "]" * 100_000])
def test_brackets_without_end_are_text(brackets):
    result = ToolFinished("c1", "look", "completed", brackets)
    call = ToolCall(id="c1", function=FunctionCall(name="look", arguments=brackets))
    for event, field in ((result, "output"), (call, "input")):
        part = parts(play(UIMessageEncoder(), event, STOP))[2]
        assert part[field] == brackets


def test_result_of_any_depth_is_written():
    # Who reads at a depth at which nobody can write must not fail in between.
    limit = sys.getrecursionlimit()
    for depth in range(limit - 150, limit + 20):
        result = "[" * depth + "]" * depth
        frames = UIMessageEncoder().encode(ToolFinished("c1", "look", "completed", result))
        assert result.encode() in frames


@pytest.mark.parametrize(
    "event",
    [
        TextDelta(HALF),
        ThinkingDelta(HALF),
        ToolCallStarted(0, HALF, "look"),
        ToolCall(id="c1", function=FunctionCall(name="look", arguments=HALF)),
        ToolFinished("c1", "look", "completed", HALF),
        ToolFinished(HALF, "look", "completed", '{"n": [2]}'),
        ToolProgress("c1", {HALF: [1, (HALF, None)]}),
        DataPart("x", HALF),
        UrlSource("s", "https://example.com", HALF),
        MetadataPart({"x": HALF}),
    ],
)
def test_half_of_a_surrogate_pair_is_a_mark(event):
    text = json.dumps(parts(play(UIMessageEncoder(), event, STOP)), ensure_ascii=False)
    assert "caf\ufffd \N{SNAKE}" in text
    assert play(OpenAIEncoder(), event, STOP)
    assert play(TextEncoder(), event, STOP) in {b"", "caf\ufffd \N{SNAKE}".encode()}


def test_unknown_events_are_passed_over():
    frames = play(UIMessageEncoder("m"), TextDelta("x"), Later(), STOP)
    assert frames == play(UIMessageEncoder("m"), TextDelta("x"), STOP)


@pytest.mark.parametrize("make", [UIMessageEncoder, OpenAIEncoder])
def test_what_stands_on_the_page_is_not_begun_anew(make):
    encoder = make()
    encoder.encode(TextDelta("Half"))
    with pytest.raises(StreamRestartedError):
        encoder.encode(Reset("1", "2"))


def test_usage_of_an_event_counts_where_the_answer_has_none():
    for end in (STOP, Finished("completed", "stop", ChatCompletion())):
        frames = play(UIMessageEncoder(), TextDelta("x"), Usage(total_tokens=5), end)
        told = parts(frames)[-2]["messageMetadata"]["usage"]["totalTokens"]
        assert told == (end.completion.usage.total_tokens or 5)
    encoder = UIMessageEncoder()
    encoder.encode(TextDelta("x")), encoder.encode(Usage(total_tokens=5))
    assert b'"totalTokens":5' in encoder.abort("stopped")


def test_restored_encoder_knows_which_calls_are_whole():
    encoder = UIMessageEncoder("m")
    second = [ToolCallStarted(1, "c2", "see"), ToolCallDelta(1, "{")]
    frames = b"".join(map(encoder.encode, [STARTED[0], *second, *STARTED[1:]]))
    error = RateLimitError("x")
    assert UIMessageEncoder.restored(frames).fail(error) == encoder.fail(error)


# Text


def test_text_is_text_and_a_bad_end_says_nothing():
    encoder = TextEncoder()
    assert play(encoder, ThinkingDelta("hm"), TextDelta("Grüße"), STOP) == "Grüße".encode()
    assert encoder.fail(RateLimitError("busy")) == encoder.abort("stopped") == b""
    assert encoder.heartbeat == b""
    assert encoder.headers["content-type"] == "text/plain; charset=utf-8"


# Chunks of OpenAI, read by its own client


class Played:
    """A transport of the openai client that answers with given bytes."""

    def __init__(self, frames: bytes) -> None:
        import httpx

        def answer(request):
            headers = {"content-type": "text/event-stream"}
            return httpx.Response(200, content=frames, headers=headers)

        self.http = httpx.AsyncClient(transport=httpx.MockTransport(answer))

    async def __aenter__(self) -> AsyncOpenAI:
        return AsyncOpenAI(
            api_key="x", base_url="http://127.0.0.1:9", http_client=self.http, max_retries=0
        )

    async def __aexit__(self, *_) -> None:
        await self.http.aclose()


def head() -> ChatCompletion:
    return ChatCompletion(id="gen-1", created=7, model="glm-5.3")


async def test_openai_reads_text_reasoning_and_tools():
    wire = body([*thoughts("Hm."), *texts("Wait."), *CALLED, last("tool_calls")])
    frames = await relayed(wire, OpenAIEncoder(head=head))
    async with Played(frames) as client:
        manager: AsyncChatCompletionStreamManager = client.chat.completions.stream(
            model="m", messages=[]
        )
        async with manager as stream:
            async for _ in stream:
                pass
            completion = await stream.get_final_completion()
    message = completion.choices[0].message
    assert (completion.id, completion.created, completion.model) == ("gen-1", 7, "glm-5.3")
    assert (message.content, message.reasoning_content) == ("Wait.", "Hm.")
    assert message.tool_calls[0].function.arguments == '{"city": "Lisbon"}'
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage.total_tokens == 12


async def test_openai_raises_what_fails_in_the_middle():
    from openai import APIError

    frames = await relayed(WIRES["error"][0], OpenAIEncoder("glm-5.3"))
    async with Played(frames) as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        chunks = aiter(stream)
        seen = [(await anext(chunks)).choices[0].delta.content for _ in range(2)]
        with pytest.raises(APIError, match="busy at the moment"):
            await anext(chunks)
    assert seen == ["", "Half"]


def test_openai_chunks_have_what_its_clients_need():
    encoder = OpenAIEncoder("glm-5.3")
    seen = parts(play(encoder, TextDelta("x"), WebSearch(PAGES), DataPart("own", 1), STOP))
    assert all(each["object"] == "chat.completion.chunk" for each in seen[:-1])
    assert all(isinstance(each["choices"], list) for each in seen[:-1])
    assert len({each["id"] for each in seen[:-1]}) == 1
    assert seen[2]["web_search"][0]["title"] == "Sea"
    assert (seen[-2]["choices"], seen[-2]["usage"]["total_tokens"]) == ([], 12)
    assert seen[-3]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("ids", [["c1", "c2"], [None, None]])
async def test_openai_is_told_an_id_for_each_call(ids):
    """Its clients answer a call by its id, and take the first one that they are told."""
    late = [tool("", id=given, index=index) for index, given in enumerate(ids) if given]
    calls = [tool("{}", id=None, index=index, name="look") for index in (0, 1)]
    frames = await relayed(body([*calls, *late, last("tool_calls")]), OpenAIEncoder())
    deltas = [part["choices"][0]["delta"] for part in parts(frames)[:-2]]
    told = [call["id"] for each in deltas for call in each.get("tool_calls", ()) if "id" in call]
    assert told == [given or f"call_{index}" for index, given in enumerate(ids)]


def test_openai_is_told_an_id_for_each_call_of_a_whole_answer():
    message = Message(tool_calls=[CALL, ToolCall(function=FunctionCall(name="look"))])
    answer = ChatCompletion(choices=[Choice(message=message)])
    told = completion_body(answer, "glm-5.3")["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in told] == ["c1", "call_1"]


def test_openai_is_told_the_usage_only_where_it_asks():
    end = Finished("other", "new", ChatCompletion())
    encoder = OpenAIEncoder(include_usage=False)
    seen = parts(play(encoder, TextDelta("x"), Usage(total_tokens=3), end))
    assert [each["choices"][0]["finish_reason"] for each in seen[:-1]] == [None, None, "stop"]
    counted = parts(play(OpenAIEncoder(), TextDelta("x"), Usage(total_tokens=3), end))
    assert counted[-2]["usage"]["total_tokens"] == 3


async def test_calls_of_all_rounds_stay_apart_for_the_client_of_openai(zai_emulator):
    for number in (1, 2):
        places = [{"name": "look", "arguments": {"place": f"{number}{each}"}} for each in "ab"]
        zai_emulator.chat.reply(tool_calls=places)
    zai_emulator.chat.reply("Done.")

    async def look(place: str) -> str:
        return place

    encoder = OpenAIEncoder("glm-5.3")
    async with (
        client(zai_emulator.url) as zai,
        zai.chat.completions.run_tools(model="glm-5.3", messages="Look.", tools=[look]) as run,
    ):
        frames = [encoder.encode(event) async for event in run.events]
    async with (
        Played(b"".join([*frames, encoder.end()])) as openai,
        openai.chat.completions.stream(model="glm-5.3", messages=[]) as stream,
    ):
        completion = await stream.get_final_completion()
    (choice,) = completion.choices
    called = [json.loads(call.function.arguments) for call in choice.message.tool_calls]
    assert called == [{"place": place} for place in ("1a", "1b", "2a", "2b")]
    assert len({call.id for call in choice.message.tool_calls}) == 4
    assert (choice.message.content, choice.finish_reason) == ("Done.", "stop")


def test_openai_sees_an_error_where_an_answer_was_stopped():
    encoder = OpenAIEncoder()
    encoder.encode(TextDelta("x"))
    assert parts(encoder.abort("stopped"))[0]["error"]["code"] == "aborted"


# All of them


@pytest.mark.parametrize("make", [UIMessageEncoder, OpenAIEncoder])
def test_events_that_stop_without_an_end_are_an_error(make):
    frames = play(make(), TextDelta("x"))
    last = parts(frames)[-2]
    sentence = StreamTruncatedError("x").to_http().message
    assert sentence in {last.get("errorText"), last.get("error", {}).get("message")}


@pytest.mark.parametrize("name", web.__all__)
def test_the_room_imports_late_what_it_exports(name):
    assert getattr(web, name).__doc__ or name == "Protocol"


def test_the_room_lists_what_it_exports():
    assert {name for name in dir(web) if not name.startswith("__")} == set(web.__all__)


def test_the_room_has_nothing_else():
    with pytest.raises(AttributeError, match=r"'zai_async\.web' has no attribute 'Rely'"):
        web.Rely  # noqa: B018


def test_parts_encode_as_the_ui_message_stream_has_them():
    assert msgspec.json.decode(msgspec.json.encode(ToolOutput("c", None))) == {
        "type": "tool-output-available",
        "toolCallId": "c",
        "output": None,
    }
