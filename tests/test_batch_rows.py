"""Rows in all their forms, and what is wrong with those that have none."""

import contextlib
import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async import ConfigurationError
from zai_async.batch.rows import OPERATIONS, RowFaultError, RowParser, operation_at

CHAT = {"model": "glm-5.3", "messages": [{"role": "user", "content": "Hello."}]}


def parsed(row, **settings):
    return RowParser(**{"model": "glm-5.3", **settings}).parse(row)


def body_of(row, **settings):
    return json.loads(parsed(row, **settings).body)


def line(value):
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "row",
    [
        "Hello.",
        {"prompt": "Hello."},
        {"messages": "Hello."},
        {"messages": [{"role": "user", "content": "Hello."}]},
        {"body": CHAT},
        {"url": "/v1/chat/completions", "body": {"messages": CHAT["messages"]}},
        {"custom_id": None, "url": None, "method": None, "body": CHAT},
        {"prompt": "Hello.", "topic": "greetings", "day": 7},
    ],
)
def test_every_form_asks_the_same(row):
    assert body_of(row) == CHAT
    assert body_of(line(row)) == CHAT
    assert parsed(row).hash_key == parsed(line(row)).hash_key
    assert parsed(row).model == "glm-5.3"


def test_a_raw_body_goes_out_as_it_is():
    body = b'{ "messages":[{"role":"user","content":"Hi"}],"top_k" : 1.00, "model":"x"}'
    assert parsed(b'{"custom_id":"a","body":' + body + b"}").body == body
    assert parsed({"custom_id": "a", "body": body}).body == body


@pytest.mark.parametrize(("given", "key"), [("a", "a"), (7, "7"), (None, "")])
@pytest.mark.parametrize("name", ["custom_id", "id"])
def test_the_id_is_the_key(name, given, key):
    assert parsed({name: given, "prompt": "Hello."}).key == key


def test_equal_requests_have_the_same_hash():
    one = {"body": {"model": "m", "messages": CHAT["messages"], "top_p": 0.5}}
    other = {"method": "post", "body": {"top_p": 0.5, "messages": CHAT["messages"], "model": "m"}}
    assert parsed(one).hash_key == parsed(other).hash_key
    for changed in ({"top_p": 0.6}, {"model": "n"}, {"seed": None}):
        assert parsed({"body": {**one["body"], **changed}}).hash_key != parsed(one).hash_key


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "front", ["/v4/", "/v1/", "/paas/v4/", "/api/paas/v4/", "", "https://api.z.ai/api/paas/v4/"]
)
def test_urls_are_read_in_every_form(front, name):
    assert operation_at(front + name) is OPERATIONS[name]


@pytest.mark.parametrize("url", ["/v4/videos/generations", "", "/", "v4", "ftp://a/v4/embeddings"])
def test_other_urls_are_refused(url):
    with pytest.raises(RowFaultError, match="chat/completions"):
        operation_at(url)


def test_other_operations_have_bodies_of_their_own():
    request = parsed({"url": "/v4/embeddings", "body": {"input": "x", "model": "embedding-3"}})
    assert (request.operation.name, request.model) == ("embeddings.create", "embedding-3")
    assert body_of({"input": "x"}, url="/v4/embeddings", model="embedding-3") == {
        "model": "embedding-3",
        "input": "x",
    }
    agent = parsed({"url": "/v1/agents", "body": {"agent_id": "a", "messages": CHAT["messages"]}})
    assert agent.model == "a"
    reader = parsed({"url": "/v4/reader", "body": {"url": "https://example.com"}})
    assert (reader.model, json.loads(reader.body)) == (
        "reader.read",
        {"url": "https://example.com"},
    )


def test_what_the_run_says_fills_gaps():
    settings = {"system": "Be brief.", "params": {"temperature": 0, "top_p": 0.5}}
    assert body_of({"prompt": "Hello.", "top_p": 0.9}, **settings) == {
        **CHAT,
        "temperature": 0,
        "top_p": 0.9,
        "messages": [{"role": "system", "content": "Be brief."}, *CHAT["messages"]],
    }
    own = [{"role": "system", "content": "Be long."}, *CHAT["messages"]]
    assert body_of({"messages": own}, **settings)["messages"] == own
    assert len(body_of({"messages": CHAT["messages"]}, **settings)["messages"]) == 2
    assert body_of({"body": CHAT}, **settings) == {**CHAT, "temperature": 0, "top_p": 0.5}
    # What is said about chats is no field of an embedding.
    other = {"url": "/v4/embeddings", "body": {"input": "x", "model": "e"}}
    assert body_of(other, **settings) == {"input": "x", "model": "e"}


def test_a_template_is_filled_with_columns():
    row = {"custom_id": "a", "text": "chat", "count": 2, "prompt": "ignored"}
    messages = body_of(row, template="Translate {text} {count} times.")["messages"]
    assert messages[0]["content"] == "Translate chat 2 times."
    with pytest.raises(RowFaultError, match="no column 'text'") as caught:
        parsed({"custom_id": "a"}, template="{text}")
    assert caught.value.key == "a"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"template": "no column"}, "must name columns"),
        ({"template": "{}"}, "must name columns"),
        ({"template": "{open"}, "template"),
        ({"url": "/v4/nothing"}, "none of a batch"),
        ({"params": {"a": {1, 2}}}, "params"),
    ],
)
def test_settings_that_are_wrong(settings, text):
    with pytest.raises(ConfigurationError, match=text):
        RowParser(**settings)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (b"{", "no JSON object"),
        (b"[1]", "no JSON object"),
        (b"7", "no JSON object"),
        (b'{"prompt":"\xff"}', "not UTF-8: byte 11"),
        (b'\xef\xbb\xbf{"prompt":"x"}', "byte order mark"),
        (b'{"prompt":"\\ud800"}', "no JSON object"),
        (7, "must be an object, not int"),
        ({}, "neither a prompt nor messages"),
        ({"prompt": ""}, "not empty"),
        ({"prompt": 7}, "must be a text"),
        ({"messages": []}, "messages is missing"),
        ({"messages": [1]}, "list of messages"),
        ({"messages": {"role": "user"}}, "list of messages"),
        ({"custom_id": "", "prompt": "x"}, "custom_id must be"),
        ({"custom_id": 1.5, "prompt": "x"}, "custom_id must be"),
        ({"custom_id": True, "prompt": "x"}, "custom_id must be"),
        ({"method": "GET", "body": CHAT}, "method must be POST"),
        ({"method": "PUT", "body": CHAT}, "method must be POST"),
        ({"method": 7, "body": CHAT}, "method must be a text"),
        ({"url": "/v4/files", "body": CHAT}, "none of a batch"),
        ({"body": "text"}, "body must be an object"),
        ({"body": b"[]"}, "body must be an object"),
        ({"body": {"model": "m"}}, "messages is missing"),
        ({"body": {"model": "", "messages": "x"}}, "model is missing"),
        ({"body": {"model": 7, "messages": "x"}}, "model must be a text"),
        ({"prompt": date(2026, 1, 1)}, "prompt: date cannot be sent"),
        ({"prompt": "x", "temperature": float("nan")}, "temperature: NaN"),
    ],
)
def test_rows_that_cannot_be_sent(row, text):
    with pytest.raises(RowFaultError, match=text):
        parsed(row)


def test_a_model_is_needed():
    with pytest.raises(RowFaultError, match="model is missing; pass model="):
        parsed("Hello.", model=None)


def test_columns_that_nobody_asks_for_may_hold_anything():
    assert body_of({"prompt": "Hello.", "when": date(2026, 1, 1), "score": float("nan")}) == CHAT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["custom_id", "id", "method", "url", "body", "prompt", "messages", "model"])


@given(st.dictionaries(NAMES, JSON) | JSON | st.binary(max_size=40))
def test_a_row_is_a_request_or_a_fault(row):
    data = row if isinstance(row, bytes) else json.dumps(row).encode()
    with contextlib.suppress(RowFaultError):
        assert json.loads(parsed(data).body)
