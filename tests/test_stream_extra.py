"""Unknown fields of streams: added up, shown in the answer, and sent back with its message."""

import json

import pytest

from zai_async._protocol.chat import ChatDecoder
from zai_async.models.encoding import encode
from zai_async.models.extra import ExtraAccumulator


def frame(delta=None, end=None, choice=None, **chunk):
    choices = [{"index": 0, "delta": delta or {}, **(choice or {})}]
    if end:
        choices[0]["finish_reason"] = end
    return b"data: " + json.dumps({"id": "c1", "choices": choices, **chunk}).encode() + b"\n\n"


def answer(*frames):
    decoder = ChatDecoder()
    for each in (*frames, b"data: [DONE]\n\n"):
        decoder.feed(each)
    decoder.end_of_input()
    return decoder.snapshot


def sent(message):
    return json.loads(encode([message]))[0]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_goes_back_under_the_name_by_which_it_came(name):
    whole = answer(
        *[frame({name: piece}) for piece in ("Let ", "me ", "me ", "see.")],
        frame({"content": "42"}),
        frame(end="stop"),
    )
    assert (whole.thinking, whole.text) == ("Let me me see.", "42")
    assert sent(whole.message) == {"role": "assistant", "content": "42", name: "Let me me see."}


def test_what_relays_add_is_added_up_where_it_stood():
    details = [
        {"reasoning_details": [{"type": "reasoning.text", "text": "Let ", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "me see.", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "index": 1}]},
        {"signature": "sig-1"},
    ]
    whole = answer(
        *[frame(each, system_fingerprint="fp") for each in details],
        frame({"content": "ok"}, choice={"native_finish_reason": None}),
        frame(end="stop", choice={"native_finish_reason": "STOP"}),
    )
    assert whole.extra == {"system_fingerprint": "fp"}
    assert whole.choices[0].extra == {"native_finish_reason": "STOP"}
    assert sent(whole.message) == {
        "role": "assistant",
        "content": "ok",
        "signature": "sig-1",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "Let me see.", "index": 0},
            {"type": "reasoning.encrypted", "data": "x", "index": 1},
        ],
    }


def test_calls_of_new_kinds_keep_their_payload():
    mcp = {"server_label": "s", "arguments": "{}"}
    google = {"google": {"thought_signature": "sig"}}
    whole = answer(
        frame({"tool_calls": [{"index": 0, "id": "1", "type": "mcp", "mcp": mcp}]}),
        frame(
            {
                "tool_calls": [
                    {
                        "index": 1,
                        "id": "2",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{", "strict": True},
                        "extra_content": google,
                    }
                ]
            }
        ),
        frame({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]}),
        frame(end="tool_calls"),
    )
    assert sent(whole.message)["tool_calls"] == [
        {"id": "1", "type": "mcp", "index": 0, "mcp": mcp},
        {
            "id": "2",
            "type": "function",
            "index": 1,
            "function": {"name": "f", "arguments": "{}", "strict": True},
            "extra_content": google,
        },
    ]


def test_a_message_in_place_of_the_deltas_is_read():
    message = b'data: {"id":"c1","choices":[{"message":{"role":"assistant","content":"Hi"}}]}\n\n'
    assert answer(message, frame(end="stop")).text == "Hi"


def test_a_null_delta_adds_nothing():
    null = b'data: {"id":"c1","choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}\n\n'
    whole = answer(frame({"content": "Hi"}), null)
    assert (whole.text, whole.finish_reason, whole.extra) == ("Hi", "stop", {})


def test_fields_of_chunks_are_added_up():
    total = ExtraAccumulator()
    for extra in (
        {"a": "x", "b": {"c": "y"}, "d": [1], "e": None, "f": 1},
        {"a": "x", "b": {"c": "z"}, "d": [[2]], "e": 3, "f": None},
        {"a": "y", "b": 4, "d": {"g": 1}, "e": [5], "f": "t"},
        {"b": {"h": 1}, "d": [{"index": 0, "t": "u"}], "e": "v", "f": ["w"]},
        {"d": [{"index": 0, "t": "v"}, {"index": None}]},
    ):
        total.add(extra)
    assert total.joined() == {
        "a": "xy",
        "b": {"h": 1},
        "d": [{"index": 0, "t": "uv"}, {"index": None}],
        "e": "v",
        "f": ["w"],
    }


def test_what_is_shown_does_not_change_later():
    total = ExtraAccumulator()
    total.add({"a": [{"b": "c"}], "d": "e"})
    shown = total.joined()
    total.add({"a": [1], "d": "f"})
    assert shown == {"a": [{"b": "c"}], "d": "e"}
