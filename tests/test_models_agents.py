"""The answers of agents, each of which has a shape of its own."""

import copy

import pytest

from tests.reading import read
from zai_async.models import AgentChunk, AgentContent, AgentMessage, AgentReply

TEXT = {"type": "text", "text": "Guten Tag"}
VIDEO = {"type": "video_url", "video_url": "https://cdn.example/v.mp4"}
SLIDE = {
    "type": "object",
    "object": {"tool_name": "insert_page", "input": "", "output": "<html>", "position": [1]},
    "tag_en": "Insert a page",
}


@pytest.mark.parametrize("content", ["Guten Tag", TEXT, [TEXT], [TEXT, VIDEO]], ids=range(4))
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: [m]], ids=["object", "list"])
@pytest.mark.parametrize("name", ["messages", "message", "delta"])
@pytest.mark.parametrize("kind", [AgentReply, AgentChunk])
def test_every_spelling_of_a_message_is_read_alike(kind, name, wrap, content):
    message = {"role": "assistant", "content": content}
    reply = read(kind, {"choices": [{"index": 0, name: wrap(message)}]})
    assert reply.text == "Guten Tag"
    assert [message.role for message in reply.messages] == ["assistant"]
    assert reply.messages[0].parts[0] == AgentContent(type="text", text="Guten Tag")


@pytest.mark.parametrize("content", [None, [], ""])
def test_a_message_may_say_nothing(content):
    message = read(AgentMessage, {"role": "assistant", "content": content})
    assert (message.text, [part.text for part in message.parts if part.text]) == ("", [])


def test_a_translation_is_read():
    reply = read(
        AgentReply,
        {
            "id": "1",
            "agent_id": "general_translation",
            "status": "success",
            "choices": [
                {"index": 0, "finish_reason": "stop", "messages": {"role": "a", "content": TEXT}}
            ],
            "usage": {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 7,
                "total_calls": 2,
            },
        },
    )
    assert (reply.agent_id, reply.text, reply.state) == (
        "general_translation",
        "Guten Tag",
        "succeeded",
    )
    assert (reply.usage.total_tokens, reply.usage.total_calls) == (7, 2)
    assert reply.choices[0].finish_reason == "stop"


def test_a_task_of_an_agent_runs_until_it_says_otherwise():
    reply = read(AgentReply, {"async_id": "a-1", "agent_id": "x", "status": "pending"})
    assert (reply.async_id, reply.state, reply.messages, reply.text, reply.urls) == (
        "a-1",
        "processing",
        [],
        "",
        [],
    )


def test_addresses_of_all_that_was_made():
    content = [VIDEO, TEXT, {"type": "file_url", "file_url": "https://cdn.example/s.pdf"}]
    reply = read(AgentReply, {"choices": [{"message": [{"content": content}]}]})
    assert reply.urls == ["https://cdn.example/v.mp4", "https://cdn.example/s.pdf"]


def test_an_event_of_the_slides_agent_is_read():
    message = {"role": "assistant", "phase": "tool", "content": [SLIDE]}
    chunk = read(AgentChunk, {"id": "1", "choices": [{"index": 3, "messages": [message]}]})
    (part,) = chunk.messages[0].parts
    assert (chunk.choices[0].index, chunk.messages[0].phase) == (3, "tool")
    assert (part.object.tool_name, part.object.output, part.object.position) == (
        "insert_page",
        "<html>",
        [1],
    )
    assert (part.tag_en, chunk.text) == ("Insert a page", "")


def test_an_event_may_add_nothing():
    chunk = read(AgentChunk, {"choices": None})
    assert (chunk.messages, chunk.text, chunk.usage) == ([], "", None)


def test_a_failure_in_place_of_an_event_is_kept():
    error = {"code": "1301", "message": "no"}
    chunk = read(AgentChunk, {"status": "failed", "error": error})
    assert (chunk.status, chunk.error) == ("failed", error)


def test_copies_say_the_same():
    reply = read(AgentReply, {"choices": [{"delta": {"content": "x"}}]})
    assert copy.deepcopy(reply) == reply
    assert copy.copy(reply).text == "x"
