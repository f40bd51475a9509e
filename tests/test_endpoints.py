import json
import string

import pytest

from zai_async import _endpoints as ep
from zai_async._wire import Endpoint, build_request
from zai_async.models import ChatCompletion, ChatCompletionChunk, ChatParams
from zai_async.providers import PROVIDERS, ZAI

ENDPOINTS = {name: value for name, value in vars(ep).items() if isinstance(value, Endpoint)}


def test_every_endpoint_is_exported():
    assert set(ep.__all__) == set(ENDPOINTS)
    assert ep.__all__ == sorted(ep.__all__)


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_an_endpoint_fits_together(endpoint):
    slots = {slot for _, slot, _, _ in string.Formatter().parse(endpoint.path) if slot}
    assert slots <= endpoint.required
    assert {"options", "extra"} <= endpoint.keywords
    assert endpoint.path.startswith(tuple(f"{family}/" for family in ZAI.families))
    assert endpoint.method in {"GET", "POST", "DELETE"}
    assert endpoint.decoder.type is endpoint.result


def test_the_coding_plan_names_operations_as_endpoints_do():
    names = {endpoint.name for endpoint in ENDPOINTS.values()}
    for provider in PROVIDERS.values():
        assert "chat.completions.create" in names & (provider.operations or names)


def test_chat_is_one_operation_with_two_kinds_of_answer():
    assert (ep.CHAT.result, ep.CHAT.stream) == (ChatCompletion, False)
    assert (ep.CHAT_STREAM.result, ep.CHAT_STREAM.stream) == (ChatCompletionChunk, True)
    assert ep.CHAT.name == ep.CHAT_STREAM.name == "chat.completions.create"
    assert ep.CHAT.path == ep.CHAT_STREAM.path
    assert ep.CHAT.keywords == ep.CHAT_STREAM.keywords
    assert "stream" not in ep.CHAT.keywords
    assert ep.CHAT.required == ChatParams.__required_keys__ == {"model", "messages"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("hi", [{"role": "user", "content": "hi"}]),
        ([{"role": "system", "content": "s"}], [{"role": "system", "content": "s"}]),
    ],
)
def test_messages_are_a_prompt_or_a_conversation(given, sent):
    request = build_request(ep.CHAT, ZAI, None, {"model": "m", "messages": given}, {})
    assert json.loads(request.body)["messages"] == sent
