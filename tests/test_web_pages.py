"""What a page holds after everything that a relay may send: streams made here, read by npm `ai`.

Each case says what goes over the wire and what a reader must see of it afterwards. The streams of
the platform are in `test_web_encoders.py`.
"""

import functools

import pytest

from tests.ai_page import VERSIONS, needs_npm_ai, pages
from tests.chat_wire import body, last, texts, thoughts, tool
from tests.test_web_encoders import play, relayed
from tests.test_web_relay import END
from zai_async import (
    ChatCompletion,
    ConnectionLostError,
    Finished,
    RateLimitError,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
)
from zai_async.models import FunctionCall
from zai_async.web import (
    DataPart,
    ToolApprovalRequest,
    ToolFailure,
    ToolOutput,
    UIMessageEncoder,
    parse_ui_messages,
)
from zai_async.web.frames import HEARTBEAT, numbered
from zai_async.web.responses import refusal_of
from zai_async.web.writing import split_events

HARD = 'é 😀 \u2028 "quoted" \\n data: [DONE]\r\n\r\n: no comment\n\n</script>\x00'
ASKED = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
STEP = {"type": "step-start"}
LOOKED = {
    "type": "tool-look",
    "toolCallId": "c1",
    "state": "output-available",
    "input": {"q": 1},
    "output": {"n": 1},
}
WANTED = Finished("tool_calls", "tool_calls", ChatCompletion())


def said(text, state="done"):
    return {"type": "text", "text": text, "state": state}


def call(id="c1", arguments='{"q":1}', index=0):
    whole = ToolCall(id=id, index=index, function=FunctionCall(name="look", arguments=arguments))
    return [ToolCallStarted(index, id, "look"), ToolCallDelta(index, arguments), whole]


def message(*parts, id="m"):
    return {"id": id, "role": "assistant", "parts": list(parts)}


def in_relay(frames: bytes) -> bytes:
    """Return frames as a relay sends them: numbered, and with heartbeats between them."""
    events = split_events(frames)
    return HEARTBEAT + HEARTBEAT.join(numbered(each, "a", n) for n, each in enumerate(events, 1))


def encoder(**settings):
    return UIMessageEncoder("m", **settings)


def cut_by_a_crash() -> bytes:
    """Return what a dead process has written, and the end that another one gives it."""
    first = encoder()
    events = [ThinkingDelta("Hm."), *call()[:2]]
    written = b"".join(map(first.encode, events))
    lost = ConnectionLostError("gone", kind="stream")
    return written + UIMessageEncoder.restored(written).fail(lost)


def stopped_in_a_call() -> bytes:
    made = encoder()
    return b"".join(map(made.encode, [TextDelta("Half"), *call()[:2]])) + made.abort("stopped")


WHOLE = play(encoder(), TextDelta("Half "), TextDelta("and half"), END)
GIVEN = play(encoder(), ToolOutput("c1", {"n": 1}), TextDelta("One."), END)
TWO = [*call("c1", index=0)[:2], *call("c2", '{"q":2}', index=1)[:2]]
BUSY = RateLimitError("ACME Ltd. is over its limit", kind="throttle")
BUSY.http_status = 429

# The bytes, how the page gets them, and what it must hold: parts, status, number of messages.
CASES = {
    "any text": ({"body": play(encoder(), TextDelta(HARD), END)}, [STEP, said(HARD)]),
    "one byte a read": ({"body": WHOLE, "cut": 1}, [STEP, said("Half and half")]),
    "one read": ({"body": WHOLE, "cut": 10**6}, [STEP, said("Half and half")]),
    "numbers and heartbeats": ({"body": in_relay(WHOLE)}, [STEP, said("Half and half")]),
    "calls that take turns": (
        {"body": play(encoder(), *TWO, call()[2], call("c2", '{"q":2}', 1)[2], WANTED)},
        [
            STEP,
            LOOKED | {"state": "input-available", "output": None},
            LOOKED
            | {"toolCallId": "c2", "state": "input-available", "input": {"q": 2}, "output": None},
        ],
    ),
    "results stand in the step of their call": (
        {
            "body": play(
                encoder(server_tools={"look"}),
                *TWO,
                call()[2],
                call("c2", '{"q":2}', 1)[2],
                WANTED,
                ToolOutput("c1", {"n": 1}),
                ToolApprovalRequest("c2", "ask"),
            )
        },
        [
            STEP,
            LOOKED | {"providerExecuted": True},
            LOOKED
            | {"toolCallId": "c2", "state": "approval-requested", "input": {"q": 2}, "output": None}
            | {"approval": {"id": "ask"}, "providerExecuted": True},
        ],
    ),
    "steps with results": (
        {
            "body": play(
                encoder(), *call(), WANTED, ToolOutput("c1", {"n": 1}), TextDelta("One."), END
            )
        },
        [STEP, LOOKED, STEP, said("One.")],
    ),
    "tool that failed": (
        {"body": play(encoder(), *call(), WANTED, ToolFailure("c1", "closed"), END)},
        [STEP, LOOKED | {"state": "output-error", "output": None, "errorText": "closed"}],
    ),
    "data takes the place of data": (
        {
            "body": play(
                encoder(), DataPart("x", 1, "d"), DataPart("x", 2, "d"), TextDelta("a"), END
            )
        },
        [STEP, {"type": "data-x", "id": "d", "data": 2}, said("a")],
    ),
    "nothing said": ({"body": play(encoder(), END)}, []),
    "crash": (
        {"body": cut_by_a_crash(), "error": "The answer broke off. Please try again."},
        [
            STEP,
            {"type": "reasoning", "text": "Hm.", "state": "done"},
            LOOKED
            | {
                "state": "output-error",
                "output": None,
                "errorText": "The arguments are incomplete.",
            },
        ],
    ),
    "stopped": (
        {"body": stopped_in_a_call()},
        [
            STEP,
            said("Half"),
            LOOKED
            | {
                "state": "output-error",
                "output": None,
                "errorText": "The arguments are incomplete.",
            },
        ],
    ),
    "error before anything": (
        {"body": encoder().fail(BUSY), "error": "Too many requests", "count": 1},
        None,
    ),
    "refusal": (
        {
            "body": refusal_of(BUSY, encoder(), False)[2],
            "status": 429,
            "error": "Too many requests",
            "count": 1,
        },
        None,
    ),
    "nothing to resume": (
        {"body": b"", "status": 204, "how": "resume", "before": [ASKED], "count": 1},
        None,
    ),
    "resumed by a fresh page": (
        {"body": in_relay(WHOLE), "how": "resume", "count": 1},
        [STEP, said("Half and half")],
    ),
    "resumed where half is shown": (
        {"body": in_relay(WHOLE), "how": "resume", "before": [ASKED, message(STEP, said("Half "))]},
        [STEP, said("Half and half")],
    ),
    "gone on after a tool of the page": (
        {"body": GIVEN, "how": "continue", "before": [ASKED, message(STEP, LOOKED)]},
        [STEP, LOOKED, STEP, said("One.")],
    ),
}


@functools.cache
def played(version):
    """Let a page play all cases, in one process."""
    cases = [{**given, "body": given["body"].decode()} for given, _ in CASES.values()]
    return dict(zip(CASES, pages(version, cases), strict=True))


@needs_npm_ai
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_page_holds(name, version):
    given, expected = CASES[name]
    result = played(version)[name]
    assert result["count"] == given.get("count", 2)
    error = given.get("error")
    assert (result["error"] or "").startswith(error or "\0" * (result["error"] is not None))
    assert result["status"] == ("error" if error else "ready")
    if expected is not None:
        assert result["message"]["id"] == "m"
        # Version 7 keeps the text of half a call as its input, and 6 beside it; both name thoughts.
        wanted = [{k: v for k, v in part.items() if v is not None} for part in expected]
        found = result["message"]["parts"]
        for part in found:
            if part["type"] == "reasoning":
                part.pop("id", None)
            if "incomplete" in part.get("errorText", ""):
                part.pop("rawInput", None)
                part["input"] = {"q": 1}
        assert found == wanted


@needs_npm_ai
@pytest.mark.parametrize("version", VERSIONS)
async def test_what_a_page_holds_goes_back_as_the_model_said_it(version):
    wires = [
        body([*thoughts("Hm", "."), *texts("Good ", "day"), last()]),
        body([*texts(HARD), last("length")]),
        body([*texts("See."), tool('{"q":1}', id="c1", name="look"), last("tool_calls")]),
    ]
    cases = [{"body": (await relayed(each, UIMessageEncoder("m"))).decode()} for each in wires]
    thought, hard, called = (
        parse_ui_messages({"messages": [ASKED, result["message"]]})[1:]
        for result in pages(version, cases)
    )
    assert thought == [{"role": "assistant", "content": "Good day", "reasoning_content": "Hm."}]
    assert hard == [{"role": "assistant", "content": HARD}]
    # A call without a result would be refused by the platform.
    assert called == [{"role": "assistant", "content": "See."}]
