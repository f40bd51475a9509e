"""Turns with tools: what is called, what the model is told, and how a run ends or goes on."""

import asyncio
import itertools
import json
import pickle
import threading

import anyio
import pytest

from tests.calls import client, give_up_a_read, scripted
from tests.chat_wire import SECOND, body, frame, last, texts
from tests.chat_wire import tool as delta_of_call
from zai_async import (
    Budget,
    BudgetExceededError,
    CallOptions,
    ConfigurationError,
    DeadlineError,
    Finished,
    Message,
    Reset,
    RoundStarted,
    RunFinished,
    RunLimitError,
    RunState,
    ServerError,
    StreamConsumedError,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallIncompleteError,
    ToolCallStarted,
    ToolError,
    ToolFinished,
    ToolProgress,
    ToolRun,
    ToolStarted,
    current_tool_call,
    report_progress,
    to_dict,
    tool,
)
from zai_async.models import FunctionCall
from zai_async.testing import FakeReply

ASK = {"model": "glm-5.3"}
LOG = []


@tool
async def add(a: float, b: float) -> float:
    """Add two numbers."""
    LOG.append(("add", a, b))
    return a + b


@tool
def lookup(city: str) -> dict[str, str]:
    """Look a city up."""
    LOG.append(("lookup", city))
    return {"city": city, "land": "Õ"}


@tool(approve=True)
async def delete(path: str) -> None:
    """Delete a file."""
    LOG.append(("delete", path))


@pytest.fixture(autouse=True)
def log():
    LOG.clear()
    return LOG


@pytest.fixture
async def zai(zai_emulator):
    async with client(zai_emulator.url) as zai:
        yield zai


@pytest.fixture
def script(zai_emulator):
    """Script the calls of one answer, each as name and arguments."""

    def script(*calls, **more):
        named = [{"name": name, "arguments": arguments} for name, arguments in calls]
        zai_emulator.chat.reply(tool_calls=named, **more)

    return script


def run_of(zai, *tools, prompt="Please.", **params) -> ToolRun:
    return zai.chat.completions.run_tools(**ASK, messages=prompt, tools=tools, **params)


async def finished(run):
    """Read a run to its end, and return how each call ended and what the model was told."""
    async with run:
        return [
            (event.outcome, event.content)
            async for event in run.events
            if isinstance(event, ToolFinished)
        ]


def sent(zai_emulator, number=-1):
    return zai_emulator.requests[number].json["messages"]


def error(text):
    return json.dumps({"error": text}, separators=(",", ":"))


# Rounds


async def test_run_goes_on_until_the_model_is_done(zai, zai_emulator, log):
    prompt = "add 2 and 3, then add 10 and the result, then lookup Tartu"
    run = run_of(zai, add, lookup, prompt=prompt)
    async with run:
        events = [event async for event in run.events]
    assert log == [("add", 2, 3), ("add", 5, 10), ("lookup", "Tartu")]
    kinds = [type(event) for event in events if not isinstance(event, TextDelta | ThinkingDelta)]
    assert [kind.__name__ for kind in kinds if kind in {RoundStarted, ToolStarted}] == [
        *["RoundStarted", "ToolStarted"] * 3,
        "RoundStarted",
    ]
    assert kinds.count(Finished) == 4
    last = events[-1]
    assert last == RunFinished("completed", run._completion, 4, run.usage)
    assert run.outcome == "completed"
    counted = [event.completion.usage.total_tokens for event in events if type(event) is Finished]
    assert run.usage.total_tokens == sum(counted)
    results = [event.content for event in events if isinstance(event, ToolFinished)]
    assert results == ["5.0", "15.0", '{"city":"Tartu","land":"Õ"}']


async def test_thinking_and_arguments_go_back_as_they_came(zai, zai_emulator, script):
    thinking, arguments = " I  must\n\tadd…\u2028 ", '{"b": 3.50,\n "a":2}'
    script(("add", arguments), thinking=thinking, text="so:", quirks=["unknown_fields"])
    async with run_of(zai, add) as run:
        text = "".join([piece async for piece in run.text])
    user, answer, result = sent(zai_emulator)
    assert user == {"role": "user", "content": "Please."}
    assert answer["reasoning_content"] == thinking
    assert answer["tool_calls"][0]["function"]["arguments"] == arguments
    assert answer["content"] == "so:"
    assert result == {
        "role": "tool",
        "tool_call_id": answer["tool_calls"][0]["id"],
        "content": "5.5",
    }
    assert text.startswith("so:According to the tool: 5.5")
    known = {"role", "content", "reasoning_content", "tool_calls"}
    assert answer.keys() - known  # what only the server knows is kept


async def test_messages_continue_the_conversation(zai, zai_emulator):
    run = run_of(zai, add, prompt="add 1 and 2")
    async with run:
        answer = await run.completion()
    history = [{"role": "user", "content": "add 1 and 2"}, *run.messages]
    assert [message["role"] for message in to_dict(history)] == [
        *("user", "assistant", "tool", "assistant")
    ]
    assert json.loads(json.dumps(to_dict(history))) == to_dict(history)
    assert answer.message == run.messages[-1]
    again = await zai.chat.completions.create(
        **ASK, messages=[*history, {"role": "user", "content": "Thanks!"}]
    )
    assert again.text
    assert await run.completion() is answer


async def test_run_without_calls_is_a_stream(zai, zai_emulator):
    async with run_of(zai, add, prompt="Hi", tool_choice="none") as run:
        events = [type(event) async for event in run.events]
    assert events[0] is RoundStarted
    assert events[-2:] == [Finished, RunFinished]


async def test_platforms_own_tools_are_passed_on(zai, zai_emulator):
    search = {"type": "web_search", "web_search": {"enable": True, "search_result": True}}
    async with run_of(zai, search, prompt="News?") as run:
        await run.completion()
    assert zai_emulator.requests[-1].json["tools"] == [search]
    async with run_of(zai, prompt="Hi") as run:
        await run.completion()
    assert "tools" not in zai_emulator.requests[-1].json


async def test_arguments_are_streamed(zai, zai_emulator, script):
    script(("add", {"a": 1, "b": 2}))
    async with run_of(zai, add, tool_stream=True) as run:
        pieces = [each.text async for each in run.events if isinstance(each, ToolCallDelta)]
    assert len(pieces) > 1
    assert json.loads("".join(pieces)) == {"a": 1, "b": 2}


@pytest.mark.parametrize("view", ["events", "text"])
async def test_a_read_that_is_given_up_does_not_end_a_run(zai, zai_emulator, view):
    async with run_of(zai, add, prompt="add 2 and 3") as run:
        items = getattr(run, view)
        await give_up_a_read(items)
        first = await anext(items)
        await give_up_a_read(items)
        answer = await run.completion()
    assert first == (RoundStarted(1) if view == "events" else answer.text[: len(first)])
    assert (run.outcome, run.state.rounds, len(zai_emulator.requests)) == ("completed", 2, 2)


async def test_a_run_that_is_left_while_it_is_read_goes_no_further(zai, zai_emulator, script):
    begun = asyncio.Event()

    @tool
    async def waits() -> None:
        """Wait."""
        begun.set()
        await asyncio.Event().wait()

    script(("waits", {}))
    async with run_of(zai, waits) as run:
        reading = asyncio.ensure_future(run.completion())
        await begun.wait()
        reading.cancel()
    assert (run.outcome, len(zai_emulator.requests)) == (None, 1)
    with pytest.raises(StreamConsumedError):
        await run.completion()


# Calls


async def test_calls_of_one_answer_run_together(zai, script):
    meeting = anyio.Event()
    arrived = []

    @tool
    async def meet(name: str) -> str:
        """Wait for the other one."""
        arrived.append(name)
        if len(arrived) == 2:
            meeting.set()
        await meeting.wait()
        return name

    script(("meet", {"name": "a"}), ("meet", {"name": "b"}))
    run = run_of(zai, meet)
    assert sorted(await finished(run)) == [("completed", "a"), ("completed", "b")]
    assert [message.get("content") for message in to_dict(run.messages)[1:3]] == ["a", "b"]


async def test_tool_that_is_not_parallel_runs_alone(zai, script):
    running = set()

    async def walk(name: str) -> str:
        assert not running
        running.add(name)
        await anyio.lowlevel.checkpoint()
        running.remove(name)
        return name

    async def talk(name: str) -> str:
        return await walk(name)

    script(("walk", {"name": "a"}), ("talk", {"name": "b"}), ("walk", {"name": "c"}))
    run = run_of(zai, tool(walk, parallel=False), talk)
    assert await finished(run) == [("completed", name) for name in "abc"]


async def test_progress_comes_from_tasks_and_threads(zai, script):
    seen = []

    @tool
    def thread() -> None:
        report_progress("from a thread")
        seen.append(current_tool_call().name)

    @tool
    async def task() -> None:
        report_progress({"done": 0.5})
        seen.append(current_tool_call().name)

    script(("thread", {}), ("task", {}))
    async with run_of(zai, thread, task) as run:
        told = [each.data async for each in run.events if isinstance(each, ToolProgress)]
    assert sorted(map(str, told)) == ["from a thread", "{'done': 0.5}"]
    assert sorted(seen) == ["task", "thread"]
    report_progress("to nobody")
    assert current_tool_call() is None


async def test_secrets_of_an_exception_are_not_told(zai, script):
    @tool
    def broken() -> None:
        raise OSError("/home/me/.secret")

    @tool
    def polite() -> None:
        raise ToolError("the shop is closed")

    @tool
    def odd() -> object:
        return object()

    script(("broken", {}), ("polite", {}), ("odd", {}))
    run = run_of(zai, broken, polite, tool(odd, parameters={}))
    assert sorted(await finished(run)) == [
        ("failed", error("the shop is closed")),
        ("failed", error("the tool failed")),
        ("failed", error("the tool failed")),
    ]
    assert sorted((call.name, type(raised)) for call, raised in run.errors) == [
        ("broken", OSError),
        ("odd", TypeError),
        ("polite", ToolError),
    ]
    script(("broken", {}))
    run = run_of(zai, broken, expose_errors=True)
    assert await finished(run) == [("failed", error("OSError: /home/me/.secret"))]


async def test_half_characters_are_replaced_in_what_the_model_is_told(zai, zai_emulator, script):
    name = "caf\udce9.txt"  # as of a file in Latin 1

    @tool
    def text() -> str:
        return name + "\ud83d\ude00"

    @tool
    def names() -> list[str]:
        return [name, "õ"]

    @tool
    def refused() -> None:
        raise ToolError(f"no {name}")

    @tool
    def broken() -> None:
        raise OSError(name)

    @tool(approve=True)
    def denied() -> None:
        raise AssertionError

    async def approve(call):
        return name

    tools = text, names, refused, broken, denied
    script(*((each.name, {}) for each in tools))
    run = run_of(zai, *tools, expose_errors=True, approve=approve)
    assert len(await finished(run)) == len(tools)
    assert [message["content"] for message in sent(zai_emulator)[2:]] == [
        *("caf\ufffd.txt😀", '["caf\ufffd.txt","õ"]'),
        *('{"error":"no caf\ufffd.txt"}', '{"error":"OSError: caf\ufffd.txt"}'),
        '{"error":"caf\ufffd.txt"}',
    ]


async def test_results_of_all_kinds_are_text(zai, script):
    pydantic = pytest.importorskip("pydantic")

    class Item(pydantic.BaseModel):
        name: str

    values = {"text": "as it is", "none": None, "items": [1, "õ"], "model": Item(name="x")}

    @tool(parameters={"type": "object"})
    def get(key):
        return values[key]

    script(*(("get", {"key": key}) for key in values))
    contents = {content for _, content in await finished(run_of(zai, get))}
    assert contents == {"as it is", "null", '[1,"õ"]', '{"name":"x"}'}


@pytest.mark.parametrize(
    ("name", "arguments", "outcome", "reason"),
    [
        ("subtract", {}, "unknown", "there is no tool 'subtract', only: add"),
        (
            "add",
            {"a": 1},
            "invalid",
            "the arguments are not valid: Object missing required field `b`",
        ),
        (
            "add",
            '{"a": 1, b',
            "invalid",
            "the arguments are not valid: JSON is malformed: object keys must be strings (byte 9)",
        ),
        (
            "add",
            '{"a": 1, "b": "x"}',
            "invalid",
            "the arguments are not valid: Expected `float`, got `str` - at `$.b`",
        ),
    ],
)
async def test_model_is_told_what_is_wrong(
    zai, zai_emulator, script, *, name, arguments, outcome, reason
):
    script((name, arguments))
    run = run_of(zai, add)
    assert await finished(run) == [(outcome, error(reason))]
    _, answer, result = sent(zai_emulator)
    (call,) = answer["tool_calls"]
    json.loads(call["function"]["arguments"])  # whatever the model wrote, a history holds JSON
    assert result["tool_call_id"] == call["id"]
    assert run.outcome == "completed"


def answers(*rounds):
    """Return a client whose answers make calls of ``add`` with these ids, and its transport."""
    wires = [
        body([*itertools.starmap(added, enumerate(ids)), last("tool_calls")]) for ids in rounds
    ]
    return scripted(*map(FakeReply.stream, [*wires, body([*texts("Done."), last()])]))


def added(index, id):
    return delta_of_call(json.dumps({"a": index, "b": 1}), index=index, id=id, name="add")


async def test_every_call_of_a_run_has_an_id_of_its_own():
    zai, transport = answers(
        [None, "call_0"], ["call_0", None, "call_0_2_0", "x"], ["call_0", "y", "y"]
    )
    async with zai, run_of(zai, add) as run:
        events = [event async for event in run.events]
    ids = [
        *("call_1_0", "call_0"),
        *("call_0_2_0", "call_2_1", "call_0_2_0_2_2", "x"),
        *("call_0_3_0", "y", "y_3_2"),
    ]
    assert [event.id for event in events if isinstance(event, ToolCall)] == ids
    # A call without an id begins when it is certain that none comes.
    assert {event.id for event in events if isinstance(event, ToolCallStarted)} == {*ids}
    for kind in ToolStarted, ToolFinished:
        assert {event.call_id for event in events if isinstance(event, kind)} == {*ids}
    completions = [event.completion for event in events if isinstance(event, Finished)]
    assert [call.id for each in completions for call in each.tool_calls] == ids
    history = json.loads(transport.requests[-1].body)["messages"]
    assert [call["id"] for each in history for call in each.get("tool_calls", ())] == ids
    assert [each["tool_call_id"] for each in history if each["role"] == "tool"] == ids


async def test_call_that_needs_a_decision_has_an_id_of_its_own_when_it_is_resumed():
    zai, _ = answers(["a"], ["a"])
    ask_first = tool(add.__wrapped__, approve=True)
    async with zai:
        run = run_of(zai, ask_first)
        await finished(run)
        state = RunState.from_dict(json.loads(json.dumps(run.pending.to_dict())))
        again = zai.chat.completions.resume_tools(state, tools=[ask_first], decisions={"a": True})
        await finished(again)
        assert [call.id for call in again.pending.pending] == ["a_2_0"]


async def test_call_of_an_answer_that_began_anew_keeps_its_id():
    begun = frame(added(0, "a")) + frame(added(0, "a"))[:60]
    again = body([added(0, "a") | {"id": SECOND}, last("tool_calls", id=SECOND)])
    said = FakeReply.stream(body([*texts("Done."), last()]))
    zai, _ = scripted(FakeReply.stream(begun + again), said)
    async with zai, run_of(zai, add, options=CallOptions(on_restart="reset")) as run:
        events = [event async for event in run.events]
    assert any(isinstance(event, Reset) for event in events)
    assert [event.id for event in events if isinstance(event, ToolCallStarted)] == ["a", "a"]
    assert [event.id for event in events if isinstance(event, ToolCall)] == ["a"]


def test_calls_of_the_platforms_own_tools_are_not_made():
    state = RunState(request={}, messages=[])
    calls = [ToolCall(id="a", function=FunctionCall(name="add")), ToolCall(type="web_search")]
    state.begin_round(Message(tool_calls=calls, reasoning_content="so"))
    assert [record.call.id for record in state.calls] == ["a"]
    answer, result = state.messages_of_round()
    assert answer.reasoning_content == "so"
    assert len(answer.tool_calls) == 2
    assert result["tool_call_id"] == "a"


# Limits


async def test_tool_has_a_timeout(zai, zai_emulator, script):
    cancelled = []

    @tool(timeout=0.001)
    async def hangs() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    release = threading.Event()

    @tool(timeout=0.001)
    def blocks() -> None:
        release.wait()
        report_progress("too late")

    script(("hangs", {}), ("blocks", {}))
    told = ("timeout", error("the tool took longer than 0.001 seconds"))
    assert await finished(run_of(zai, hangs, blocks)) == [told, told]
    release.set()
    assert cancelled == [True]


async def test_rounds_are_limited(zai, script):
    script(("add", {"a": 1, "b": 1}))
    script(("add", {"a": 1, "b": 2}))
    run = run_of(zai, add, max_rounds=2)
    async with run:
        with pytest.raises(RunLimitError, match="asked 2 times, and calls tools still") as caught:
            await run.completion()
    assert (caught.value.limit, caught.value.kind) == ("max_rounds", "limit")
    assert caught.value.partial.tool_calls[0].parse() == {"a": 1, "b": 2}
    copy = pickle.loads(pickle.dumps(caught.value))
    async with zai.chat.completions.resume_tools(copy.state, tools=[add]) as run:
        answer = await run.completion()
    assert "3.0" in answer.text
    with pytest.raises(StreamConsumedError):
        await run_of(zai, add).completion()


async def test_equal_calls_are_limited(zai, script, log):
    for arguments in ('{"a":1,"b":2}', '{"b": 2, "a": 1}', '{"a":1,"b":2}', '{"a":1, "b":2}'):
        script(("add", arguments))
    run = run_of(zai, add, max_equal_calls=2)
    async with run:
        with pytest.raises(RunLimitError, match="called 2 times with the same arguments") as caught:
            await run.completion()
    told = [message["content"] for message in to_dict(run.messages) if message["role"] == "tool"]
    again = error("this call has been made 2 times; making it again changes nothing")
    assert told == ["3.0", "3.0", again, error("the call was cancelled")]
    assert caught.value.limit == "max_equal_calls"
    assert len(log) == 2


async def test_failures_in_a_row_are_limited(zai, script):
    script(("nothing", '{"a": 1'), times=None)
    run = run_of(zai, add, max_failures=2, max_equal_calls=9)
    async with run:
        with pytest.raises(RunLimitError, match="every tool call of 2 rounds in a row") as caught:
            await run.completion()
    assert caught.value.limit == "max_failures"
    assert run.outcome is None
    with pytest.raises(StreamConsumedError, match="ended before its end"):
        await run.completion()


@pytest.mark.parametrize("arguments", ["\ud800", "[" * 100_000, '{"a":' * 100_000])
def test_arguments_that_nobody_can_read_are_counted(arguments):
    state = RunState(request={}, messages=[])
    for times in (1, 2):
        call = ToolCall(id="c", function=FunctionCall(name="add", arguments=arguments))
        state.begin_round(Message(tool_calls=[call]))
        assert state.calls[0].times == times
        assert state.answer.tool_calls[0].arguments == "{}"


async def test_budget_holds_for_all_rounds(zai, zai_emulator):
    budget = Budget(tokens=1)
    run = run_of(zai, add, prompt="add 1 and 2, then add 3 and 4", budget=budget)
    async with run:
        with pytest.raises(BudgetExceededError):
            await run.completion()
    assert len(zai_emulator.requests) == 1
    assert [message.get("content") for message in to_dict(run.messages)][1:] == ["3.0"]


async def test_deadline_is_that_of_the_whole_run(zai, zai_emulator, script):
    @tool
    async def hangs() -> None:
        run._ends_at = 0  # as if the time had passed
        await anyio.sleep_forever()

    script(("hangs", {}))
    run = run_of(zai, hangs, options=CallOptions(deadline=300))
    async with run:
        with pytest.raises(DeadlineError, match="the deadline of 300 s has passed"):
            await run.completion()
    assert to_dict(run.messages)[1]["content"] == error("the call was cancelled")


async def test_answer_that_was_cut_is_raised(zai, script):
    script(("add", '{"a": 1'), finish_reason="length")
    run = run_of(zai, add)
    async with run:
        with pytest.raises(ToolCallIncompleteError):
            await run.completion()
    assert run.messages == []


# Approval


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        (True, ("completed", "null")),
        (False, ("denied", error("the user has denied this call"))),
        ("too risky", ("denied", error("too risky"))),
    ],
)
async def test_somebody_decides_while_the_run_waits(zai, script, decision, outcome, log):
    asked = []

    async def approve(call):
        asked.append(call.parse())
        return decision

    script(("delete", {"path": "a"}), ("add", {"a": 1, "b": 1}))
    ends = await finished(run_of(zai, add, delete, approve=approve))
    assert sorted(ends) == sorted([outcome, ("completed", "2.0")])
    assert asked == [{"path": "a"}]
    assert (("delete", "a") in log) is (decision is True)


@pytest.mark.parametrize("carried", [pickle.dumps, json.dumps], ids=["pickle", "json"])
async def test_decision_may_come_in_another_process(zai, zai_emulator, script, carried, log):
    script(("delete", {"path": "a"}), ("add", {"a": 1, "b": 1}), ("delete", {"path": "b"}))
    run = run_of(zai, add, delete, prompt=[{"role": "user", "content": "Please."}])
    async with run:
        events = [event async for event in run.events]
    assert events[-1].outcome == run.outcome == "pending"
    assert run.messages == []
    assert [call.parse() for call in run.pending.pending] == [{"path": "a"}, {"path": "b"}]
    assert log == [("add", 1, 1)]

    if carried is pickle.dumps:
        state = pickle.loads(pickle.dumps(run.pending))
    else:
        state = RunState.from_dict(json.loads(json.dumps(run.pending.to_dict())))
    first, second = (call.id for call in state.pending)
    resume = zai.chat.completions.resume_tools
    async with resume(state, tools=[add, delete], decisions={first: False}) as again:
        completion = await again.completion()
    assert (again.outcome, completion.tool_calls[0].name) == ("pending", "delete")
    last = resume(again.pending, tools=[add, delete], decisions={second: True})
    assert await finished(last) == [("completed", "null")]
    assert log == [("add", 1, 1), ("delete", "b")]
    contents = [message["content"] for message in sent(zai_emulator)[2:]]
    assert contents == [error("the user has denied this call"), "2.0", "null"]
    assert last.pending is None
    assert last.state.rounds == 2


async def test_decision_is_about_one_call_and_not_about_a_later_one_with_its_id(
    zai, zai_emulator, log
):
    for path in "ab":
        call = {"id": "call_0", "name": "delete", "arguments": {"path": path}}
        zai_emulator.chat.reply(tool_calls=[call])
    run = run_of(zai, delete)
    assert await finished(run) == []
    run.pending.ids.clear()  # as in one that was stored when ids were not told apart
    resumed = zai.chat.completions.resume_tools(
        run.pending, tools=[delete], decisions={"call_0": True}
    )
    assert await finished(resumed) == [("completed", "null")]
    assert resumed.outcome == "pending"
    assert log == [("delete", "a")]


async def test_decision_that_was_not_needed_is_forgotten(zai, zai_emulator, log):
    @tool(approve=lambda path: path != "a")
    async def remove(path: str) -> None:
        log.append(path)

    state = RunState(request=ASK, messages=[{"role": "user", "content": "Please."}])
    function = FunctionCall(name="remove", arguments='{"path": "a"}')
    state.begin_round(Message(tool_calls=[ToolCall(id="call_0", function=function)]))
    state.ids.clear()
    call = {"id": "call_0", "name": "remove", "arguments": {"path": "b"}}
    zai_emulator.chat.reply(tool_calls=[call])
    resumed = zai.chat.completions.resume_tools(state, tools=[remove], decisions={"call_0": True})
    assert await finished(resumed) == [("completed", "null")]
    assert resumed.outcome == "pending"
    assert log == ["a"]


async def test_decision_about_nothing_is_refused(zai):
    state = RunState(request=ASK, messages=[])
    with pytest.raises(ConfigurationError, match=r"no call waits .* \['x'\]"):
        zai.chat.completions.resume_tools(state, tools=[], decisions={"x": True})


async def test_callback_that_raises_ends_the_run(zai, script):
    async def approve(call):
        raise LookupError("nobody there")

    script(("delete", {"path": "a"}))
    async with run_of(zai, delete, approve=approve) as run:
        with pytest.raises(LookupError, match="nobody there"):
            await run.completion()


# Crashes and cancellation


async def test_finished_calls_are_not_made_again_after_a_crash(zai, zai_emulator, script, log):
    states = []

    class CrashError(Exception):
        pass

    async def save(state):
        states.append(pickle.dumps(state))
        if len(states) == 3:
            raise CrashError

    script(("add", {"a": 1, "b": 1}), ("lookup", {"city": "Tartu"}))
    tools = [add, tool(lookup, parallel=False)]
    async with run_of(zai, *tools, on_checkpoint=save) as run:
        with pytest.raises(CrashError):
            await run.completion()
    assert log == [("add", 1, 1)]
    state = pickle.loads(states[-1])
    assert [record.status for record in state.calls] == ["finished", "started"]
    resumed = zai.chat.completions.resume_tools(state, tools=tools)
    ((outcome, content),) = await finished(resumed)
    assert outcome == "interrupted"
    assert "unknown whether it had an effect" in content
    assert log == [("add", 1, 1)]
    assert [message["content"] for message in sent(zai_emulator)[2:]] == ["2.0", content]


async def test_run_goes_on_after_a_failed_request(zai, zai_emulator, script, log):
    @tool
    async def strain() -> str:
        log.append("strain")
        zai_emulator.fault(status=500)
        return "ready"

    script(("strain", {}))
    async with run_of(zai, strain) as run:
        with pytest.raises(ServerError):
            await run.completion()
    async with zai.chat.completions.resume_tools(run.state, tools=[strain]) as again:
        assert "ready" in (await again.completion()).text
    assert log == ["strain"]


async def test_leaving_the_run_cancels_its_tools(zai, script):
    started, ended = anyio.Event(), []

    @tool
    async def hangs() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    script(("hangs", {}))
    run = run_of(zai, hangs)
    async with run:
        async for event in run.events:
            if isinstance(event, ToolStarted):
                await started.wait()
                break
    assert ended == [True]
    assert [record.outcome for record in run.state.calls] == ["cancelled"]
    assert to_dict(run.messages)[1]["content"] == error("the call was cancelled")


async def test_cancelled_reader_leaves_nothing_behind(zai, script):
    started = anyio.Event()

    @tool
    async def hangs() -> None:
        started.set()
        await anyio.sleep_forever()

    script(("hangs", {}))
    run = run_of(zai, hangs)

    async def read():
        async with run:
            await run.completion()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert run.state.calls[0].outcome == "cancelled"


async def test_tool_that_is_cancelled_from_within_is_answered(zai, script):
    @tool
    async def leaves() -> None:
        raise asyncio.CancelledError

    script(("leaves", {}))
    assert await finished(run_of(zai, leaves)) == [("cancelled", error("the call was cancelled"))]


async def test_run_may_be_left_in_the_middle_of_an_answer(zai, zai_emulator):
    run = run_of(zai, add, prompt="Hi", tool_choice="none")
    async with run:
        assert await anext(run.text)
    assert run.outcome is None
    assert run.messages == []


async def test_run_is_entered_once_and_read_inside(zai):
    run = run_of(zai, add)
    with pytest.raises(StreamConsumedError, match="inside of 'async with'"):
        await run.completion()
    async with run:
        with pytest.raises(StreamConsumedError, match="entered before"):
            await run.__aenter__()


async def test_what_no_call_takes_is_refused_at_once(zai):
    with pytest.raises(TypeError, match="temprature"):
        run_of(zai, add, temprature=1)
    with pytest.raises(TypeError, match="messages"):
        zai.chat.completions.run_tools(**ASK, tools=[add])


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ([add, add], "there are two with the name 'add'"),
        ([add.param], "a run needs the function itself"),
        ([tool(lambda: None, name=f"t{n}") for n in range(129)], "129 functions, at most 128"),
    ],
)
async def test_tools_that_cannot_be_run_are_refused(zai, tools, reason):
    with pytest.raises(ConfigurationError, match=reason):
        run_of(zai, *tools)
