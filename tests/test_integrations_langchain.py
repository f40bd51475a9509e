"""ChatZai and ZaiEmbeddings: what LangChain's own suites do not ask about."""

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import threading

import pytest

pytest.importorskip("langchain_core")

from langchain_core import exceptions as theirs
from langchain_core._api.beta_decorator import LangChainBetaWarning
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import zai_async
from tests import chat_wire
from tests.calls import client, scripted
from zai_async import CallOptions, ConfigurationError, MissingKeyError
from zai_async.integrations import langchain_messages
from zai_async.integrations.langchain import ChatZai, ZaiEmbeddings
from zai_async.integrations.langchain_client import run_blocking
from zai_async.models import Audio, ChatCompletion, Choice, Message
from zai_async.testing import FakeReply

KEY = "canary0123456789.secret9876543210"


@pytest.fixture(autouse=True, scope="session")
def loop_of_blocking_calls():
    """It stays, and is no leak of the test that would begin it."""
    run_blocking(lambda: asyncio.sleep(0))


@pytest.fixture
def platform(zai_emulator, monkeypatch):
    monkeypatch.setenv("ZAI_BASE_URL", zai_emulator.url)
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    return zai_emulator


@pytest.fixture
def model(platform):
    return ChatZai(model="glm-5.3")


def body(platform):
    return platform.requests[-1].json


def added(pieces):
    first, *others = pieces
    return sum(others, first)


def get_weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return f"{city}: sunny for {days} days"


# What is asked


async def test_fields_and_keywords_are_sent(platform):
    model = ChatZai(
        model="glm-5.3",
        temperature=0.5,
        max_tokens=900,
        stop_sequences=["END"],
        thinking={"type": "enabled", "clear_thinking": False},
        reasoning_effort="low",
        model_kwargs={"request_id": "a-request-of-mine"},
        extra_body={"newer": 1},
    )
    await model.ainvoke("Hi", top_p=0.9, extra_body={"newest": 2}, tools=None)
    assert body(platform) == {
        "model": "glm-5.3",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 900,
        "stop": ["END"],
        "thinking": {"type": "enabled", "clear_thinking": False},
        "reasoning_effort": "low",
        "request_id": "a-request-of-mine",
        "newer": 1,
        "newest": 2,
    }
    await model.ainvoke("Hi", stop=["STOP"])
    assert body(platform)["stop"] == ["STOP"]
    await model.ainvoke("Hi", stop=[])
    assert "stop" not in body(platform)


def test_unknown_field_is_refused(platform):
    with pytest.raises(ValueError, match="temprature"):
        ChatZai(model="glm-5.3", temprature=1)


async def test_unknown_keyword_is_refused_before_anything_is_sent(platform, model):
    with pytest.raises(TypeError, match="parallel_tool_calls"):
        await model.ainvoke("Hi", parallel_tool_calls=False)
    assert platform.requests == []


async def test_conversation_goes_back_as_it_came(platform, model):
    platform.chat.reply("Hello", thinking="Greet.", tool_calls=[weather_in("Oslo")])
    answer = await model.ainvoke([SystemMessage("Be kind"), HumanMessage("Hi", name="Ann")])
    call = answer.tool_calls[0]
    result = ToolMessage([{"type": "text", "text": "rain"}], tool_call_id=call["id"])
    await model.ainvoke([answer, result, ChatMessage("Go on", role="user")])
    assert body(platform)["messages"] == [
        {
            "role": "assistant",
            "content": "Hello",
            "reasoning_content": "Greet.",
            "tool_calls": [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call["id"], "content": "rain"},
        {"role": "user", "content": "Go on"},
    ]
    assert platform.requests[0].json["messages"] == [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Hi"},
    ]


def weather_in(city):
    return {"name": "get_weather", "arguments": {"city": city}}


async def test_thinking_of_another_model_is_not_passed_off_as_its_own(platform, model):
    facts = {"response_metadata": {"model_provider": "groq"}}
    told = AIMessage("Hello", additional_kwargs={"reasoning_content": "Greet."}, **facts)
    await model.ainvoke([told, HumanMessage("Hi")])
    assert body(platform)["messages"][0] == {"role": "assistant", "content": "Hello"}


PDF = "data:application/pdf;base64,JVBERi0="


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("only text", {"type": "text", "text": "only text"}),
        ({"type": "text-plain", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "image", "url": "https://e.com/a.png"},
            {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}},
        ),
        (
            {"type": "image", "base64": "iVBO", "mime_type": "image/jpeg"},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,iVBO"}},
        ),
        (
            {"type": "video", "url": "https://e.com/a.mp4"},
            {"type": "video_url", "video_url": {"url": "https://e.com/a.mp4"}},
        ),
        (
            {"type": "video", "base64": "AAAA"},
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
        ),
        (
            {"type": "audio", "base64": "SUQz", "mime_type": "audio/mpeg"},
            {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        ),
        (
            {"type": "audio", "base64": "UklG", "mime_type": "audio/x-wav"},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        ),
        (
            {"type": "file", "url": "https://e.com/a.pdf"},
            {"type": "file_url", "file_url": {"url": "https://e.com/a.pdf"}},
        ),
        (
            {"type": "file", "base64": "JVBERi0=", "extras": {"filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
        ),
        (
            {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"},
            {"type": "file", "file": {"file_data": PDF}},
        ),
        (
            {"type": "file", "file_id": "file-1"},
            {"type": "file", "file": {"file_id": "file-1"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://e.com/a.mp4"}},
            {"type": "video_url", "video_url": {"url": "https://e.com/a.mp4"}},
        ),
    ],
)
async def test_blocks_are_parts(platform, block, part):
    platform.chat.reply("Seen")
    model = ChatZai(model="glm-5v-turbo")
    sent = langchain_messages.sent_messages([HumanMessage([block])])
    assert sent == [{"role": "user", "content": [part]}]
    assert model._request([HumanMessage([block])], None, {})["messages"] == sent


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (HumanMessage([{"type": "audio", "url": "https://e.com/a.mp3"}]), "takes no 'audio'"),
        (HumanMessage([{"type": "image", "file_id": "a"}]), "takes no 'image'"),
        (HumanMessage([{"type": "own", "a": 1}]), "takes no 'own'"),
        (HumanMessage([{"type": "video_url"}]), "takes no 'video_url'"),
        (
            ToolMessage([{"type": "image", "url": "https://e.com/a"}], tool_call_id="1"),
            "a tool message holds text only, not 'image'",
        ),
        (RemoveMessage(id="1"), "no place for a RemoveMessage"),
    ],
)
async def test_what_the_platform_does_not_take_is_refused(platform, model, message, reason):
    with pytest.raises(ConfigurationError, match=reason):
        await model.ainvoke([message])
    assert platform.requests == []


# What is answered


USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
COUNTED = {
    "input_tokens": 9,
    "output_tokens": 5,
    "total_tokens": 14,
    "input_token_details": {"cache_read": 4},
    "output_token_details": {"reasoning": 3},
}


@pytest.mark.parametrize("way", ["ainvoke", "invoke", "astream", "stream"])
@pytest.mark.parametrize("version", [None, "v1"])
async def test_answer_is_the_same_however_it_comes(platform, way, version):
    platform.chat.reply(
        "A city",
        thinking="Let me think",
        usage=USAGE,
        tool_calls=[weather_in("Oslo"), weather_in("Rio")],
        web_search=[{"title": "News", "link": "https://e.com"}],
    )
    model = ChatZai(model="glm-5.3", output_version=version)
    match way:
        case "ainvoke":
            answer = await model.ainvoke("Hi")
        case "invoke":
            answer = await asyncio.to_thread(model.invoke, "Hi")
        case "astream":
            answer = added([piece async for piece in model.astream("Hi")])
        case _:
            answer = await asyncio.to_thread(lambda: added(model.stream("Hi")))
    first, second = (call["id"] for call in answer.tool_calls)
    shown = [{k: v for k, v in b.items() if k != "index"} for b in answer.content_blocks]
    assert shown == [
        {"type": "reasoning", "reasoning": "Let me think"},
        {"type": "text", "text": "A city"},
        {"type": "tool_call", "id": first, "name": "get_weather", "args": {"city": "Oslo"}},
        {"type": "tool_call", "id": second, "name": "get_weather", "args": {"city": "Rio"}},
    ]
    assert answer.text == "A city"
    assert answer.usage_metadata == COUNTED
    facts = dict(answer.response_metadata)
    assert facts.pop("id")
    assert facts.pop("request_id")
    assert facts.pop("web_search")[0]["title"] == "News"
    assert facts.pop("output_version", None) == version
    assert facts == {
        "model_name": "glm-5.3",
        "model_provider": "zai",
        "finish_reason": "tool_calls",
    }


@pytest.mark.parametrize("streamed", [False, True])
async def test_call_that_cannot_be_read_is_told_of(platform, model, streamed):
    platform.chat.reply(tool_calls=[{"name": "f", "arguments": '{"a": '}])
    if streamed:
        answer = added([piece async for piece in model.astream("Hi")])
        # LangChain repairs what breaks off, as pieces of a stream do.
        assert answer.tool_calls[0]["args"] == {}
    else:
        answer = await model.ainvoke("Hi")
        (call,) = answer.invalid_tool_calls
        assert (call["name"], call["args"]) == ("f", '{"a": ')
        await model.ainvoke([answer, ToolMessage("?", tool_call_id=call["id"])])
        sent = body(platform)["messages"][0]["tool_calls"][0]
        assert sent["function"] == {"name": "f", "arguments": '{"a": '}


async def test_uncounted_answer_has_no_usage(platform, model):
    platform.chat.reply("Hi", usage=None)
    assert (await model.ainvoke("Hi")).usage_metadata is None


def test_sound_is_a_block():
    said = Message(content="Hi", audio=Audio(id="1", data="UklG"))
    message = langchain_messages.message_of(ChatCompletion(choices=[Choice(message=said)]))
    assert message.content_blocks == [
        {"type": "text", "text": "Hi"},
        {"type": "audio", "base64": "UklG", "mime_type": "audio/wav"},
    ]


@pytest.mark.filterwarnings("ignore:.* is in beta")
async def test_callbacks_see_pieces_and_usage(platform, model):
    class Seen(BaseCallbackHandler):
        def __init__(self):
            self.pieces = []

        def on_llm_new_token(self, token, **kwargs):
            self.pieces.append(token)

    platform.chat.reply("One two three", usage=USAGE, times=4)
    seen, usage = Seen(), UsageMetadataCallbackHandler()
    config = {"callbacks": [seen, usage]}
    async for _ in model.astream("Hi", config):
        pass
    stream = await model.astream_events("Hi", config, version="v3")
    assert await stream.text == "One two three"

    def in_a_thread():
        for _ in model.stream("Hi", config):
            pass
        stream = model.stream_events("Hi", config, version="v3")
        assert "".join(stream.text) == "One two three"

    await asyncio.to_thread(in_a_thread)
    assert "".join(seen.pieces) == "One two three" * 4
    assert usage.usage_metadata["glm-5.3"]["input_token_details"] == {"cache_read": 4 * 4}
    assert usage.usage_metadata["glm-5.3"]["output_tokens"] == 4 * 5


async def test_model_is_part_of_a_chain(platform, model):
    platform.chat.reply("Oslo")
    chain = ChatPromptTemplate.from_messages([("human", "Capital of {x}?")]) | model
    assert await (chain | StrOutputParser()).ainvoke({"x": "Norway"}) == "Oslo"
    assert body(platform)["messages"] == [{"role": "user", "content": "Capital of Norway?"}]


# Streams


async def test_stream_that_is_left_is_closed_upstream(platform, model):
    platform.fault(silence_after=(300, 600))
    stream = model.astream("Hi")
    await anext(stream)
    await stream.aclose()
    await platform.wait_disconnected(timeout=1000)


def test_blocking_stream_that_is_left_is_closed_upstream(platform, model):
    platform.fault(silence_after=(300, 600))
    pieces = model.stream("Hi")
    next(pieces)
    pieces.close()
    platform.wait_disconnected(timeout=1000).result()


async def test_cancelled_call_is_closed_upstream(platform, model):
    platform.fault(hang=True)
    task = asyncio.create_task(model.ainvoke("Hi"))
    await platform.wait_requests(1, timeout=1000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await platform.wait_disconnected(timeout=1000)


async def test_failure_within_a_stream_is_an_error_of_both_kinds(platform, model):
    platform.fault(error_in_stream="1305", after=4, times=None)
    with pytest.raises(theirs.ModelAPIError) as caught:
        async for _ in model.astream("Hi"):
            pass
    assert isinstance(caught.value, zai_async.ZaiError)


async def test_pieces_that_would_be_taken_back_are_refused(platform, model):
    with pytest.raises(ConfigurationError, match="cannot be reset"):
        await anext(model.astream("Hi", options=CallOptions(on_restart="reset")))
    assert platform.requests == []


# Errors


@pytest.mark.parametrize(
    ("code", "ours", "kind", "retryable"),
    [
        ("1302", "RateLimitError", "ModelRateLimitError", True),
        ("1308", "QuotaError", "ModelRateLimitError", False),
        ("1113", "BillingError", "ModelPermissionDeniedError", False),
        ("1001", "AuthenticationError", "ModelAuthenticationError", False),
        ("1211", "NotFoundError", "ModelNotFoundError", False),
        ("1210", "BadRequestError", "ModelInvalidRequestError", False),
        ("1261", "BadRequestError", "ContextOverflowError", False),
        ("1301", "ContentPolicyError", "ModelInvalidRequestError", False),
        ("1234", "ServerError", "ModelAPIError", True),
    ],
)
async def test_errors_are_of_both_kinds(platform, code, ours, kind, retryable):
    model = ChatZai(model="glm-5.3", max_retries=0)
    platform.fault(code=code)
    with pytest.raises(getattr(zai_async, ours)) as caught:
        await model.ainvoke("Hi")
    assert isinstance(caught.value, getattr(theirs, kind))
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert type(error) is type(caught.value)
        assert (error.code, error.is_retryable) == (code, retryable)
        assert len(error.attempts) == 1
        assert KEY not in repr(error)
        assert type(error).__name__ == ours


async def test_error_that_is_nobody_elses_stays_ours(platform, model):
    budget = zai_async.Budget(tokens=1, tokens_spent=1)
    with pytest.raises(zai_async.BudgetExceededError) as caught:
        await model.ainvoke("Hi", options=CallOptions(budget=budget))
    assert not isinstance(caught.value, theirs.ModelError)


async def test_only_our_client_retries(platform):
    platform.fault(code="1302", times=None)
    model = ChatZai(model="glm-5.3", max_retries=0)
    with pytest.raises(theirs.ModelRateLimitError):
        await model.ainvoke("Hi")
    assert len(platform.requests) == 1


async def test_silence_ends_by_the_timeout(platform):
    platform.fault(hang=True)
    model = ChatZai(model="glm-5.3", timeout=0.05, max_retries=0)
    with pytest.raises(theirs.ModelTimeoutError):
        await model.ainvoke("Hi")


# Secrets and copies


def test_stored_model_has_no_secret(platform):
    model = ChatZai(model="glm-5.3", api_key=KEY, temperature=0.2)
    stored = dumps(model)
    shown = [stored, repr(model), str(model), model.model_dump_json(), repr(model.asdict())]
    shown += [repr(model._get_ls_params()), repr(model._get_invocation_params())]
    shown += [pickle.dumps(model).decode("latin-1")]
    assert not any(KEY in text for text in shown)
    assert json.loads(stored)["kwargs"]["api_key"]["id"] == ["ZAI_API_KEY"]
    with pytest.warns(LangChainBetaWarning):
        same = load(
            dumpd(model),
            allowed_objects=[ChatZai],
            valid_namespaces=["zai_async"],
            secrets_from_env=True,
        )
    assert same.asdict() == model.asdict()
    assert same.api_key.get_secret_value() == KEY


def test_pickled_model_takes_the_key_of_its_process(platform, monkeypatch):
    model = ChatZai(model="glm-5.3", api_key="sk-another-key", temperature=0.2, stop=["a"])
    again = pickle.loads(pickle.dumps(model))
    assert again.asdict() == model.asdict()
    assert again.api_key is None
    again.invoke("Hi")
    assert platform.requests[-1].headers["Authorization"] == f"Bearer {KEY}"
    monkeypatch.delenv("ZAI_API_KEY")
    with pytest.raises(MissingKeyError):
        pickle.loads(pickle.dumps(model))


async def test_model_with_a_client_keeps_its_address_in_a_pickle(platform, monkeypatch):
    async with client(platform.url) as zai:
        model = ChatZai(model="glm-5.3", client=zai)
        monkeypatch.setenv("ZAI_BASE_URL", "http://127.0.0.1:9")
        again = pickle.loads(pickle.dumps(model))
    assert again._zai.provider == zai.provider
    assert again.client is None


def test_copies_share_the_client(platform, model):
    assert copy.copy(model)._zai is model._zai
    assert copy.deepcopy(model)._zai.limits.snapshot() == model._zai.limits.snapshot()


# One client


async def test_models_of_a_key_share_a_client(platform, model):
    assert ChatZai(model="glm-5.2")._zai is model._zai
    assert ZaiEmbeddings()._zai is model._zai
    assert ChatZai(model="glm-5.2", api_key="sk-another-key")._zai is not model._zai
    given = model._zai
    assert ChatZai(model="glm-5.2", client=given)._zai is given


def test_missing_key_is_told_when_the_model_is_made(platform, monkeypatch):
    monkeypatch.delenv("ZAI_API_KEY")
    with pytest.raises(MissingKeyError):
        ChatZai(model="glm-5.3")


async def test_models_wait_for_one_limit(platform):
    platform.fault(delay=0.01, times=None)
    async with client(platform.url, limits=2) as zai:
        one, other = (ChatZai(model="glm-5.3", client=zai) for _ in range(2))
        await asyncio.gather(*(m.abatch(["Hi"] * 4) for m in (one, other)))
    assert platform.peak_in_flight == 2


def test_threads_share_the_loop(platform, model):
    def loops():
        return [each for each in threading.enumerate() if each.name == "zai-async-loop"]

    model.invoke("Hi")
    begun = loops()
    assert all(answer.text for answer in model.batch(["Hi"] * 6))
    assert begun == loops() != []


PROGRAM = """
import asyncio
from zai_async.integrations.langchain import ChatZai

model = ChatZai(model="glm-5.3")

async def main():
    # Blocking, although a loop runs.
    print(bool(model.invoke("Hi").text), bool((await model.ainvoke("Hi")).text))

asyncio.run(main())
pieces = model.stream("Hi")
next(pieces)
"""


def test_process_ends_cleanly(platform):
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", PROGRAM]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "True True", "")


# Tools and structure


class Town(BaseModel):
    """A town."""

    name: str = Field(description="its name")
    people: int


class TownDict(TypedDict):
    """A town."""

    name: str
    people: int


async def test_tools_are_offered_as_the_platform_takes_them(platform, model):
    search = {"type": "web_search", "web_search": {"enable": True}}
    given = {"type": "function", "function": {"name": "f", "strict": True}}
    bound = model.bind_tools([get_weather, Town, search, given], strict=True)
    await bound.ainvoke("Hi")
    weather, town, *others = body(platform)["tools"]
    assert weather["function"].keys() == {"name", "description", "parameters"}
    assert weather["function"]["parameters"]["additionalProperties"] is False
    assert town["function"]["name"] == "Town"
    assert others[0] == search
    assert others[1]["function"]["name"] == "f"
    assert "strict" not in others[1]["function"]
    assert given["function"]["strict"] is True


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["get_weather", "Town"]),
        ("auto", ["get_weather", "Town"]),
        ("any", ["get_weather", "Town"]),
        ("required", ["get_weather", "Town"]),
        (True, ["get_weather", "Town"]),
        ("Town", ["Town"]),
        ({"type": "function", "function": {"name": "Town"}}, ["Town"]),
        ("none", []),
    ],
)
def test_choice_of_a_tool_is_kept_as_far_as_it_can_be(platform, model, choice, names):
    model.bind_tools([get_weather, Town], tool_choice=choice).invoke("Hi")
    sent = body(platform)
    assert [tool["function"]["name"] for tool in sent.get("tools", [])] == names
    assert "tool_choice" not in sent


def test_choice_of_a_tool_that_is_not_there_is_refused(model):
    with pytest.raises(ConfigurationError, match="no tool 'other'"):
        model.bind_tools([get_weather], tool_choice="other")


def test_own_tool_is_chosen_by_its_type(platform, model):
    search = {"type": "web_search", "web_search": {"enable": True}}
    model.bind_tools([get_weather, search], tool_choice="web_search").invoke("Hi")
    assert body(platform)["tools"] == [search]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("schema", [Town, TownDict, Town.model_json_schema()], ids=str)
async def test_answers_are_values(platform, model, method, schema):
    wanted = model.with_structured_output(schema, method=method, strict=True)
    town = await wanted.ainvoke('The town "Bergen" has 290000 people')
    expected = {"name": "Bergen", "people": 290000}
    assert town == (Town(**expected) if schema is Town else expected)
    raw = model.with_structured_output(schema, method=method, include_raw=True)
    whole = await raw.ainvoke('The town "Bergen" has 290000 people')
    assert whole["parsed"] == town
    assert whole["parsing_error"] is None
    assert isinstance(whole["raw"], AIMessage)


async def test_answer_that_does_not_fit_is_told_of(platform, model):
    platform.chat.reply("no town", times=2)
    with pytest.raises(theirs.OutputParserException):
        await model.with_structured_output(Town).ainvoke("Hi")
    whole = await model.with_structured_output(Town, include_raw=True).ainvoke("Hi")
    assert whole["parsed"] is None
    assert isinstance(whole["parsing_error"], theirs.OutputParserException)


async def test_json_of_any_form_is_asked_for(platform, model):
    plain = model.with_structured_output(method="json_mode")
    assert await plain.ainvoke("JSON with the key 'city'") == {"city": "Beijing"}
    assert body(platform)["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("schema", "method", "reason"),
    [(None, "json_schema", "needs a schema"), (Town, "magic", "no method 'magic'")],
)
def test_impossible_structure_is_refused(model, schema, method, reason):
    with pytest.raises(ConfigurationError, match=reason):
        model.with_structured_output(schema, method=method)


@pytest.mark.parametrize("streaming", [False, True])
async def test_calls_without_an_id_are_told_apart(streaming):
    calls = [chat_wire.tool("{}", index=index, name="get_weather") for index in (0, 1)]
    said = FakeReply.stream(chat_wire.body([*calls, chat_wire.last("tool_calls")]))
    if not streaming:
        function = {"name": "get_weather", "arguments": "{}"}
        message = {"role": "assistant", "tool_calls": [{"function": function}] * 2}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
        said = FakeReply.json({"id": "a", "choices": [choice]})
    zai, _ = scripted(said)
    async with zai:
        answer = await ChatZai(model="m", client=zai, streaming=streaming).ainvoke("Hi")
    assert [call["id"] for call in answer.tool_calls] == ["call_0", "call_1"]


# The agent of LangChain


async def test_agent_calls_tools_and_answers(platform, model):
    agents = pytest.importorskip("langchain.agents")
    agent = agents.create_agent(model, [get_weather])
    question = {"messages": [("human", "Use get_weather for Oslo and 3 days")]}
    whole = await agent.ainvoke(question)
    kinds = [message.type for message in whole["messages"]]
    assert kinds == ["human", "ai", "tool", "ai"]
    assert whole["messages"][2].content == "Oslo: sunny for 3 days"
    assert "Oslo: sunny" in whole["messages"][3].text
    whole = await asyncio.to_thread(agent.invoke, question)
    assert "Oslo: sunny" in whole["messages"][3].text


@pytest.mark.parametrize("strategy", ["ToolStrategy", "ProviderStrategy"])
async def test_agent_answers_with_a_value(platform, model, strategy):
    pytest.importorskip("langchain.agents")
    from langchain.agents import create_agent, structured_output

    wanted = getattr(structured_output, strategy)(Town)
    agent = create_agent(model, response_format=wanted)
    whole = await agent.ainvoke({"messages": [("human", 'The town "Bergen" has 290000 people')]})
    assert whole["structured_response"] == Town(name="Bergen", people=290000)


async def test_names_of_models_can_be_made_known(platform):
    """LangChain has no registration of its own: this is the recipe of the page."""
    base = pytest.importorskip("langchain.chat_models.base")
    base._BUILTIN_PROVIDERS["zai"] = (
        "zai_async.integrations.langchain",
        "ChatZai",
        lambda cls, **fields: cls(**fields),
    )
    try:
        model = base.init_chat_model("zai:glm-5.3", temperature=0.1)
    finally:
        del base._BUILTIN_PROVIDERS["zai"]
    assert isinstance(model, ChatZai)
    assert (model.model, model.temperature) == ("glm-5.3", 0.1)


# Embeddings


async def test_texts_become_vectors_in_their_order(platform):
    vectors = ZaiEmbeddings(dimensions=256)
    texts = [f"text {n}" for n in range(130)]
    found = await vectors.aembed_documents(texts)
    assert len(found) == 130
    assert sorted(len(request.json["input"]) for request in platform.requests) == [2, 64, 64]
    assert found[129] == await vectors.aembed_query("text 129")
    assert found[:2] == await asyncio.to_thread(vectors.embed_documents, texts[:2])
    assert body(platform)["dimensions"] == 256
    assert found[0] == await asyncio.to_thread(vectors.embed_query, "text 0")
    before = len(platform.requests)
    assert await vectors.aembed_documents([]) == []
    assert len(platform.requests) == before


async def test_errors_of_vectors_are_of_both_kinds(platform):
    platform.fault(code="1302", times=None)
    with pytest.raises(theirs.ModelRateLimitError):
        await ZaiEmbeddings(max_retries=0).aembed_query("Hi")


# Nobody else needs it


def test_core_does_not_import_it():
    program = (
        "import sys, zai_async, zai_async.web, zai_async.batch, zai_async.sync\n"
        "print([n for n in sys.modules if n.startswith(('langchain', 'pydantic'))])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
