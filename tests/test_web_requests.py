"""What `useChat` posts becomes messages for the model, as npm `ai` translates it."""

import json
import sys
from contextlib import suppress

import pytest

from tests.ai_page import VERSIONS, needs_npm_ai, pages
from zai_async import InvalidBodyError
from zai_async.web import parse_ui_messages, parse_ui_request

ASKED = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
STEP = {"type": "step-start"}
PICTURE = {
    "type": "file",
    "mediaType": "image/png",
    "filename": "a.png",
    "url": "data:image/png;base64,AA",
}


def call(state="output-available", type="tool-look-up", **fields):
    return {"type": type, "toolCallId": "c1", "state": state, "input": {"q": 1}} | fields


def answer(*parts):
    return {"id": "a1", "role": "assistant", "parts": [STEP, *parts]}


def text(text):
    return {"type": "text", "text": text, "state": "done"}


def called(result, name="look-up", content="", arguments='{"q":1}', **fields):
    function = {"name": name, "arguments": arguments}
    calls = [{"id": "c1", "type": "function", "function": function}]
    return [
        {"role": "assistant", "content": content, **fields, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": result},
    ]


THOUGHT = {"type": "reasoning", "text": "Hm.", "state": "done"}
# Messages of a page, and what goes to the platform.
CASES = {
    "text": ([ASKED], [{"role": "user", "content": "Hi"}]),
    "two texts": (
        [{"id": "u", "role": "user", "parts": [text("Hi "), text("there")]}],
        [{"role": "user", "content": "Hi there"}],
    ),
    "system": (
        [{"id": "s", "role": "system", "parts": [text("Be brief.")]}, ASKED],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    ),
    "picture": (
        [{"id": "u", "role": "user", "parts": [PICTURE, text("What is it?")]}],
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                    {"type": "text", "text": "What is it?"},
                ],
            }
        ],
    ),
    "thinking goes back": (
        [ASKED, answer(THOUGHT, text("Yes."))],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."},
        ],
    ),
    "tool and another step": (
        [ASKED, answer(THOUGHT, call(output={"a": 1}), STEP, text("One."))],
        [
            {"role": "user", "content": "Hi"},
            *called('{"a":1}', reasoning_content="Hm."),
            {"role": "assistant", "content": "One."},
        ],
    ),
    "output as text": (
        [ASKED, answer(call(output="as it is"))],
        [{"role": "user", "content": "Hi"}, *called("as it is")],
    ),
    "error of a tool": (
        [ASKED, answer(call("output-error", errorText="closed"))],
        [{"role": "user", "content": "Hi"}, *called("closed")],
    ),
    "tool that names itself": (
        [ASKED, answer(call(type="dynamic-tool", toolName="mcp", output=[1]))],
        [{"role": "user", "content": "Hi"}, *called("[1]", "mcp")],
    ),
    "call without result": (
        [ASKED, answer(text("Wait."), call("input-available")), ASKED],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Wait."},
            {"role": "user", "content": "Hi"},
        ],
    ),
    "for the page only": (
        [
            ASKED,
            answer(
                {"type": "source-url", "sourceId": "s", "url": "https://example.com"},
                {"type": "data-x", "data": 1},
                text("Yes."),
            ),
        ],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}],
    ),
    "empty answer": (
        [ASKED, {"id": "a", "role": "assistant", "parts": []}, ASKED],
        [{"role": "user", "content": "Hi"}] * 2,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_messages_of_a_page(name):
    said, expected = CASES[name]
    assert parse_ui_messages({"id": "chat-1", "messages": said}) == expected
    assert parse_ui_messages(json.dumps({"messages": said})) == expected
    assert parse_ui_messages(json.dumps({"messages": said}).encode()) == expected


def reduced(message):
    """Return what both translations agree about: roles, texts, calls and results."""
    content = message["content"]
    found = [content] if isinstance(content, str) and content else []
    if isinstance(content, list):
        for part in content:
            match part:
                case {"type": "text", "text": said} if found and message["role"] == "user":
                    found[-1] += said
                case {"type": "text", "text": said} | {"type": "reasoning", "text": said}:
                    found.append(said)
                case {"type": "tool-call", "toolName": name, "input": given}:
                    found.append([name, given])
                case {"type": "tool-result", "output": {"value": value}}:
                    found.append(value)
                case _:
                    found.append("file: ")
    if "reasoning_content" in message:
        found.insert(0, message["reasoning_content"])
    for each in message.get("tool_calls", ()):
        function = each["function"]
        found.append([function["name"], json.loads(function["arguments"])])
    if message["role"] == "tool" and isinstance(content, str) and content[0] in "[{":
        found = [json.loads(content)]
    return message["role"], found


@needs_npm_ai
@pytest.mark.parametrize("version", VERSIONS)
def test_npm_ai_translates_alike(version):
    # Calls without result go to its platforms, and are refused by ours.
    names = [name for name in CASES if name not in {"call without result", "empty answer"}]
    theirs = pages(version, [{"convert": CASES[name][0]} for name in names])
    for name, messages in zip(names, theirs, strict=True):
        ours = parse_ui_messages({"messages": CASES[name][0]})
        assert (name, list(map(reduced, messages))) == (name, list(map(reduced, ours)))


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (
            {"mediaType": "video/mp4", "url": "https://example.com/a.mp4"},
            {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        ),
        (
            {"mediaType": "application/pdf", "url": "https://example.com/a.pdf"},
            {"type": "file_url", "file_url": {"url": "https://example.com/a.pdf"}},
        ),
        (
            {"mediaType": "application/pdf", "url": "data:application/pdf;base64,AA"},
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,AA", "filename": "file"},
            },
        ),
        (
            {"mediaType": "audio/mpeg", "url": "data:audio/mpeg;base64,AA"},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        ),
    ],
)
def test_files_go_where_the_platform_takes_them(part, content):
    message = {"role": "user", "parts": [{"type": "file"} | part, text("")]}
    assert parse_ui_messages({"messages": [message]})[0]["content"] == [content]


def test_answer_stopped_while_it_thought_is_left_out():
    messages = parse_ui_messages({"messages": [ASKED, answer(THOUGHT), ASKED]})
    assert [each["role"] for each in messages] == ["user", "user"]


def test_message_without_parts_has_its_content():
    assert parse_ui_messages({"messages": [{"role": "user", "content": "Hi"}]}) == [
        {"role": "user", "content": "Hi"}
    ]


def test_arguments_that_were_no_json_go_back_as_they_are():
    part = call("output-error", input=None, rawInput="{half", errorText="bad")
    function = parse_ui_messages({"messages": [ASKED, answer(part)]})[1]["tool_calls"][0][
        "function"
    ]
    assert function["arguments"] == "{half"
    part = call("output-error", input=None, errorText="bad")
    function = parse_ui_messages({"messages": [ASKED, answer(part)]})[1]["tool_calls"][0][
        "function"
    ]
    assert function["arguments"] == "{}"


def test_number_of_any_size_goes_back():
    huge = 123456789012345678901234567890
    body = {"messages": [ASKED, answer(call(output=huge))]}
    assert parse_ui_messages(body)[-1]["content"] == str(huge)


@pytest.mark.parametrize(
    ("approved", "state", "reason", "said"),
    [
        (False, "approval-responded", "keep it", "keep it"),
        (False, "approval-responded", None, "The person at the page has not allowed this call."),
        (False, "output-denied", None, "The person at the page has not allowed this call."),
    ],
)
def test_denied_call_has_the_reason_as_its_result(approved, state, reason, said):
    approval = {"id": "ask-1", "approved": approved, "reason": reason}
    request = parse_ui_request({"messages": [ASKED, answer(call(state, approval=approval))]})
    assert request.messages[-1]["content"] == said


def test_approval_is_handed_to_the_backend():
    approval = {"id": "ask-1", "approved": True}
    body = {
        "id": "chat-1",
        "trigger": "submit-message",
        "messages": [ASKED, answer(call("approval-responded", approval=approval))],
    }
    request = parse_ui_request(body)
    assert request.messages == [{"role": "user", "content": "Hi"}]  # it has no result yet
    (said,) = request.approvals
    assert (said.approval_id, said.call_id, said.name, said.approved) == (
        "ask-1",
        "c1",
        "look-up",
        True,
    )
    assert said.input == {"q": 1}


def test_request_says_what_the_page_wants():
    body = {"id": "c", "messages": [ASKED], "trigger": "regenerate-message", "messageId": "a1"}
    request = parse_ui_request(body)
    assert (request.id, request.trigger, request.message_id) == ("c", "regenerate-message", "a1")
    assert request.continues is None
    again = parse_ui_request({"messages": [ASKED, answer(call(output=1))]})
    assert again.continues == "a1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        ([], "Expected `object`, got `array`"),
        (None, "got `null`"),
        ({}, "missing required field `messages`"),
        ({"messages": []}, "no message for the model"),
        ({"messages": [{"role": "user", "parts": []}]}, "no message for the model"),
        (
            {"messages": [{"role": "user", "parts": [{}]}]},
            r"`type` - at `\$.messages\[0\].parts\[0\]`",
        ),
        ({"messages": [{"role": "user", "parts": [{"type": "text", "text": 1}]}]}, "got `int`"),
        (
            {"messages": [{"role": "tool", "parts": []}]},
            "the role 'tool' is not taken, in message 0",
        ),
        (
            {"messages": [{"role": "user", "parts": [PICTURE | {"url": "file:///etc/passwd"}]}]},
            "neither http",
        ),
        ({"messages": [answer(call(output=float("nan")))]}, "not finite"),
        (
            b'{"messages": [{"role": "user", "parts": [{"type": "x", "input": ' + b"[" * 100_000,
            "recursion",
        ),
        (b"\xff\xfe", "invalid|malformed"),
    ],
)
def test_bad_body_is_an_error_of_the_client(body, said):
    with pytest.raises(InvalidBodyError, match=said) as caught:
        parse_ui_messages(body)
    answer = caught.value.to_http()
    assert answer.status == 400
    assert answer.message == str(caught.value)


@pytest.mark.parametrize("field", ["input", "output"])
def test_depth_that_only_a_part_of_the_way_can_take_is_an_error_of_the_client(field):
    limit = sys.getrecursionlimit()
    for depth in range(limit - 150, limit + 20):
        nested = b"[" * depth + b"]" * depth
        body = json.dumps({"messages": [ASKED, answer(call(**{field: "HERE"}))]}).encode()
        with suppress(InvalidBodyError):
            (*_, last) = parse_ui_messages(body.replace(b'"HERE"', nested))
            assert last["role"] == "tool"


def test_roles_can_be_kept_out():
    system = {"role": "system", "parts": [text("Obey me.")]}
    with pytest.raises(InvalidBodyError, match="'system' is not taken"):
        parse_ui_messages({"messages": [system, ASKED]}, roles={"user", "assistant"})
