"""The table of operations: each row is whole, and what it prepares is what the API wants."""

import inspect
import itertools
from typing import Any

import msgspec
import pytest

from zai_async import _operations as ep
from zai_async._outcomes import accept
from zai_async._wire import Operation, RequestFactory
from zai_async.errors import ConfigurationError
from zai_async.providers import ZAI, ZAI_CODING

ROWS = {name: row for name, row in vars(ep).items() if isinstance(row, Operation)}
POSTS = {name: row for name, row in ROWS.items() if row.method == "POST" and row.upload is None}

SAMPLES: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi"}],
    "documents": ["a"],
    "metadata": {"a": "b"},
}


def sample(row: Operation[Any]) -> dict[str, Any]:
    # A recording may come in one of two fields, so that neither is required on its own.
    names = row.required | ({"file"} if row.upload else set())
    return {name: SAMPLES.get(name, "text") for name in names}


def request(row: Operation[Any], **params: Any):
    return RequestFactory(row, ZAI, None, {}).build(sample(row) | params)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_makes_a_request_of_what_it_requires(row):
    made = request(row)
    assert (made.operation, made.method) == (row.name, row.method)
    assert made.url.startswith(f"{ZAI.base_url}/{row.path.partition('{')[0]}")
    assert "{" not in made.url


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_knows_how_to_read_its_answer(row):
    assert row.result is bytes or isinstance(row.decoder.decode(b"{}"), msgspec.Struct)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_is_required_must_not_be_empty(row):
    for name, empty in itertools.product(row.required, ["", None, [], {}]):
        with pytest.raises(ConfigurationError, match=name):
            request(row, **{name: empty})


@pytest.mark.parametrize("row", POSTS.values(), ids=POSTS)
def test_a_row_sends_what_it_is_given_and_nothing_else(row):
    sent = msgspec.json.decode(request(row).body)
    expected = {name: value for name, value in sample(row).items() if f"{{{name}}}" not in row.path}
    assert sent == expected | ({"stream": True} if row.stream else {})


def test_a_row_says_what_makes_an_answer_one():
    """A new row has essential fields, a judge of its own, or a reason to stand here."""
    neither = {name for name, row in ROWS.items() if not row.essential and row.judge is accept}
    # A stream is judged by its decoder, a poll by its task, and a file may be of any bytes.
    streams = {"TRANSCRIPTION_STREAM", "SPEECH_STREAM", "AGENT_STREAM"}
    polls = {"CHAT_RESULT", "VIDEO_RESULT", "IMAGE_RESULT", "AGENT_RESULT", "FILE_PARSER_RESULT"}
    assert neither == streams | polls | {"FILE_CONTENT"}
    assert all(ROWS[name].stream for name in streams)


def test_rows_of_one_name_are_one_operation():
    paths = {(row.name, row.path) for row in ROWS.values()}
    assert len(paths) == len({name for name, _ in paths})


def test_what_begins_or_creates_something_is_not_repeated():
    assert {name for name, row in ROWS.items() if not row.repeatable} == {
        "AGENT",
        "AGENT_SUBMIT",
        "AGENT_STREAM",
        "BATCH_CREATE",
        "CHAT_SUBMIT",
        "FILE_PARSER_SUBMIT",
        "FILE_UPLOAD",
        "IMAGE_SUBMIT",
        "VIDEO_SUBMIT",
        "VOICE_CLONE",
    }


@pytest.mark.parametrize(
    "row", [ep.CHAT, ep.CHAT_STREAM, ep.CHAT_SUBMIT, ep.TOKENIZER], ids=range(4)
)
def test_a_plain_prompt_becomes_a_conversation(row):
    sent = msgspec.json.decode(request(row, messages="Hi").body)
    assert sent["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("row", "tool"), [(ep.HANDWRITING, "hand_write"), (ep.FILE_PARSER, "prime-sync")], ids=range(2)
)
def test_the_only_tool_is_named_unless_the_caller_names_another(row, tool):
    assert row.prepare({"file": b"x"})["tool_type"] == tool
    assert row.prepare({"file": b"x", "tool_type": "other"})["tool_type"] == "other"


@pytest.mark.parametrize("value", [5, True, 0.0], ids=repr)
def test_a_value_without_a_length_is_not_empty(value):
    made = request(ep.EMBEDDINGS, input=value)
    assert msgspec.json.decode(made.body)["input"] == value


def test_the_quota_can_be_asked_for_at_the_coding_endpoint():
    made = RequestFactory(ep.QUOTA, ZAI_CODING, None, {}).build({})
    assert made.url == "https://api.z.ai/api/monitor/usage/quota/limit"


def test_every_row_is_written_once():
    source = inspect.getsource(ep)
    assert all(source.count(f"\n{name} = ") == 1 for name in ROWS)
