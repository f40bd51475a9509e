"""Plain data: everything becomes dicts, lists and scalars, and what it was again."""

import copy
import decimal
import enum
import json
import pickle
from collections import UserDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

import msgspec
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import given, settings
from starlette.responses import JSONResponse

import zai_async
from tests.test_models_any_shape import documents
from zai_async import (
    ZAI,
    AsyncZai,
    Budget,
    CallOptions,
    ChatEvent,
    ConfigurationError,
    Finished,
    InvalidFileError,
    Limits,
    Message,
    Price,
    Reset,
    RetryPolicy,
    TextDelta,
    ThinkingDelta,
    Timeout,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    WebSearch,
    audio_part,
    file_part,
    from_dict,
    image,
    models,
    to_dict,
    truto,
)
from zai_async.models import (
    BinaryReply,
    ChatCompletion,
    File,
    FunctionCall,
    Page,
    SearchResult,
    Video,
)
from zai_async.models.encoding import encode
from zai_async.models.json_object import JSONObject
from zai_async.testing import FakeReply, FakeTransport

OBJECTS = [
    found
    for name in models.__all__
    if isinstance(found := getattr(models, name), type) and issubclass(found, JSONObject)
]
COPIES = [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
DATA_URL = "data:image/png;base64,iVBORw0KGgo" + "A" * 53


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


# --- results and messages --------------------------------------------------------------------


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_object_survives_json(kind):
    @settings(max_examples=5, deadline=None)
    @given(documents(kind))
    def holds(document):
        made = kind.from_dict(document)
        plain = made.to_dict()
        assert through_json(plain) == plain
        assert to_dict(made) == (plain | {"type": "usage"} if kind is models.Usage else plain)
        again = kind.from_dict(plain)
        assert again.to_dict() == plain
        assert type(again) is type(made)
        assert from_dict(plain, kind).to_dict() == plain

    holds()


def test_a_result_with_unknown_fields_is_what_it_was():
    document = {"id": "v", "task_status": "SUCCESS", "video_result": [{"url": "u", "x": 1}], "y": 2}
    video = Video.from_dict(document)
    assert Video.from_dict(through_json(video.to_dict())) == video
    assert video.to_dict()["video_result"][0]["x"] == 1
    assert video.to_dict()["y"] == 2


def test_pages_and_bytes():
    page = from_dict({"data": [{"id": "f", "x": 1}]}, Page[File])
    assert page.data[0].extra == {"x": 1}
    assert to_dict(page)["data"][0]["x"] == 1
    sound = BinaryReply(content=b"\x00\xff", content_type="audio/wav")
    assert BinaryReply.from_dict(through_json(sound.to_dict())) == sound


def test_what_is_no_mapping_is_refused():
    with pytest.raises(TypeError, match=r"Message\.from_dict\(\) takes a mapping, not list"):
        Message.from_dict([])


def test_a_mapping_of_any_kind_is_read():
    assert Message.from_dict(UserDict(role="assistant", content=("a",))).content == []
    assert Message.from_dict(UserDict(role="assistant", content="a")).text == "a"


# --- histories -------------------------------------------------------------------------------


def test_a_history_survives_json():
    answer = ChatCompletion.from_dict(
        {"choices": [{"message": {"role": "assistant", "content": "A cat.", "signature": "s"}}]}
    )
    history = [
        {"role": "user", "content": [image(PNG), {"type": "text", "text": "What is this?"}]},
        answer.message,
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": "Thanks."},
    ]
    stored = json.dumps(to_dict(history))
    back = from_dict(json.loads(stored))
    assert json.dumps(to_dict(back)) == stored
    assert back[0]["content"][0] == {"type": "image_url", "image_url": {"url": DATA_URL}}
    assert back[1] == answer.message
    assert isinstance(back[1], Message)
    assert back[2:] == history[2:]
    assert json.loads(encode({"messages": back})) == {"messages": json.loads(stored)}
    assert from_dict(back[3]) == history[3]


def test_a_picture_by_its_path_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    assert to_dict(image(tmp_path / "a.png"))["image_url"]["url"] == DATA_URL
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(InvalidFileError):
        to_dict(image(tmp_path / "a.png"))


def test_a_picture_inside_of_a_message_struct_is_kept():
    message = Message(role="user", content=[image(PNG)])
    assert message.to_dict()["content"][0]["image_url"]["url"] == DATA_URL


@pytest.mark.parametrize(
    "part", [audio_part(b"RIFF....WAVEfmt "), file_part(b"%PDF-1")], ids=range(2)
)
def test_sounds_and_documents_are_kept(part):
    plain = to_dict([part])
    assert through_json(plain) == plain


def test_a_file_that_is_read_while_it_is_sent_cannot_be_kept(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    with (tmp_path / "a.png").open("rb") as file:
        part = image(file)
        for keep in (to_dict, pickle.dumps):
            with pytest.raises(TypeError, match=r"a\.png is an open file or a stream"):
                keep(part)
        assert copy.deepcopy(part) == part


async def refuses(zai, messages, match):
    with pytest.raises(ConfigurationError, match=match):
        await zai.chat.completions.create(model="m", messages=messages)


async def test_the_mark_of_a_file_is_never_sent():
    transport = FakeTransport(
        FakeReply.json({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]})
    )
    async with AsyncZai(api_key="k.s", transport=transport) as zai:
        history = [{"role": "user", "content": [image(PNG)]}]
        await refuses(zai, json.loads(json.dumps(history)), r"to_dict\(history\)")
        assert transport.requests == []
        mark = history[0]["content"][0]["image_url"]["url"]
        # A question about it may be asked.
        await zai.chat.completions.create(model="m", messages=f'What is "{mark!s}"?')
        assert len(transport.requests) == 1


# --- copies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", COPIES, ids=range(3))
@pytest.mark.parametrize(
    "value",
    [
        ZAI,
        truto("acme"),
        RetryPolicy(retries=2),
        Timeout(connect=3),
        Limits(),
        Budget(tokens=5),
        Price(prompt=1.0),
        CallOptions(headers={"X-A": "b"}, timeout=5),
        Message(content="a"),
    ],
    ids=range(9),
)
def test_settings_and_messages_can_be_copied(how, value):
    assert how(value) == value


@pytest.mark.parametrize("how", COPIES, ids=range(3))
def test_parts_can_be_copied(how, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    for content in (PNG, tmp_path / "a.png"):
        assert to_dict(how(image(content))) == to_dict(image(content))


async def test_a_client_is_copied_by_sharing_and_not_pickled():
    async with AsyncZai(api_key="k.s") as zai:
        for copied in (copy.copy(zai), copy.deepcopy(zai)):
            assert copied is not zai
            assert copied.usage is zai.usage
        with pytest.raises(TypeError, match="AsyncZai cannot be pickled") as caught:
            pickle.dumps(zai)
    assert "k.s" not in str(caught.value)


STREAMS = {
    "ChatStream": lambda zai: zai.chat.completions.stream(model="m", messages="x"),
    "ParsedStream": lambda zai: zai.chat.completions.parse_stream(dict, model="m", messages="x"),
    "ToolRun": lambda zai: zai.chat.completions.run_tools(model="m", messages="x", tools=[]),
    "LongTranscriptionStream": lambda zai: zai.audio.transcriptions.stream(
        model="m", file=("a.wav", PNG), split="silence"
    ),
}


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_is_neither_copied_nor_pickled(how, name):
    async with AsyncZai(api_key="k.s") as zai:
        with pytest.raises(TypeError, match=f"^{name} of zai_async can be neither copied nor"):
            how(STREAMS[name](zai))


# --- what JSON has no form for ---------------------------------------------------------------


class Ratio(enum.Enum):
    HALF = 0.5


class Colour(enum.Enum):
    RED = "red"
    ROUND = decimal.Decimal(1)


@dataclass
class Point:
    x: object


class Bytes(bytes):
    __slots__ = ()


REFUSED = [
    b"a",
    bytearray(b"a"),
    memoryview(b"a"),
    Bytes(b"a"),
    decimal.Decimal("1.5"),
    {1, 2},
    frozenset(),
    datetime(2026, 1, 1, tzinfo=UTC),
    UUID(int=1),
    Colour.ROUND,
    object(),
    {b"a": 1},
    {datetime(2026, 1, 1, tzinfo=UTC): 1},
]


@pytest.mark.parametrize("value", REFUSED, ids=range(len(REFUSED)))
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda value: {"messages": [{"content": value}]}, "$.messages[0].content"),
        (lambda value: {"a": UserDict(b=(1, value))}, "$.a.b[1]"),
        (lambda value: {"a": Message(content=value)}, "$.a.content"),
        (lambda value: {"a": Point(value)}, "$.a.x"),
        (lambda value: {"a": "\ud800", "b": value}, "$.b"),
    ],
    ids=range(5),
)
@pytest.mark.parametrize("write", [encode, to_dict])
def test_what_json_has_no_form_for_is_refused_and_named(value, wrap, place, write):
    with pytest.raises(TypeError) as caught:
        write(wrap(value))
    assert f"at `{place}" in str(caught.value)


@pytest.mark.parametrize("write", [encode, to_dict])
def test_numbers_that_are_not_finite_are_refused_and_named(write):
    with pytest.raises(ValueError, match=r"NaN and infinity .* at `\$\.a\[0\]`"):
        write({"a": [float("nan")]})


def test_what_json_has_a_form_for_is_written():
    value = {
        "a": Colour.RED,
        "b": Point((1, None)),
        "c": msgspec.Raw(b"[1]"),
        2: Message(role="user", content=[]),
    }
    body = '{"a":"red","b":{"x":[1,null]},"c":[1],"2":{"role":"user","content":[]}}'
    assert encode(value) == body.encode()


def test_to_dict_of_what_contains_itself():
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="contains itself"):
        to_dict(value)


async def test_a_request_with_bytes_is_refused_before_anything_is_sent():
    transport = FakeTransport()
    async with AsyncZai(api_key="k.s", transport=transport) as zai:
        with pytest.raises(ConfigurationError, match=r"bytes .*\$\.messages\[0\]\.content`: text"):
            await zai.chat.completions.create(
                model="m", messages=[{"role": "user", "content": b"Name a colour."}]
            )
    assert transport.requests == []


# --- web frameworks --------------------------------------------------------------------------


async def test_a_web_backend_returns_a_result():
    app = FastAPI()
    answer = ChatCompletion.from_dict({"id": "a", "choices": [], "x": 1})

    @app.get("/")
    async def root():
        return answer.to_dict()

    @app.get("/starlette")
    async def of_starlette():
        return JSONResponse(answer.to_dict())

    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://t") as http:
        replies = [await http.get("/"), await http.get("/starlette")]
    assert [reply.json() for reply in replies] == 2 * [to_dict(answer)]


def test_the_functions_are_public():
    assert {"to_dict", "from_dict"} <= {*zai_async.__all__}


# --- events ----------------------------------------------------------------------------------


def test_events_survive_json():
    answer = ChatCompletion.from_dict({"id": "a", "choices": [{"message": {"content": "x"}}]})
    events = [
        ThinkingDelta("hm"),
        TextDelta("a"),
        ToolCallStarted(0, "1", "f"),
        ToolCallDelta(0, "{}"),
        ToolCall(id="1", function=FunctionCall(name="f", arguments="{}"), index=0),
        WebSearch([SearchResult(title="t")]),
        Usage(total_tokens=3),
        Reset("a", "b"),
        Finished("completed", "stop", answer),
    ]
    assert {type(event) for event in events} == set(get_args(ChatEvent))
    plain = to_dict(events)
    assert through_json(plain) == plain
    assert all(event["type"] for event in plain)
    assert len({event["type"] for event in plain}) == len(plain)
    assert from_dict(plain) == events
    for event, its_plain in zip(events, plain, strict=True):
        assert to_dict(event) == its_plain
        assert from_dict(its_plain) == event
        assert type(event).from_dict(event.to_dict()) == event
        assert msgspec.json.decode(msgspec.json.encode(event))


@pytest.mark.parametrize(
    "value",
    [
        {"type": "text", "text": "a"},
        {"type": "text_delta"},
        {"type": "text_delta", "text": "a", "more": 1},
        {"type": "web_search", "web_search": {"enable": True}},
        {"type": "function", "function": {"name": "f", "parameters": {}}},
        {"type": "finished", "outcome": "none"},
        {"type": 3},
        "text",
    ],
    ids=range(8),
)
def test_what_only_looks_like_an_event_stays_what_it_is(value):
    assert from_dict(value) == value
    assert type(from_dict(value)) is type(value)
