import json
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async import CallOptions, ConfigurationError, Message, ToolCall, image
from zai_async import _operations as ep
from zai_async._secrets import Secret
from zai_async._version import __version__
from zai_async._wire import Operation, RequestFactory
from zai_async._wire.headers import why_unsendable
from zai_async.models import CallParams
from zai_async.providers import ZAI, ZAI_CODING, Provider

KEY = Secret("0123456789.CanaryCanary")
LEAST = {"model": "glm-5.3", "messages": [{"role": "user", "content": "hi"}]}


class ItemParams(CallParams):
    id: str


class ListParams(CallParams, total=False):
    after: str
    limit: int


ITEM = Operation("items.get", "paas/v4/items/{id}/content", dict, ItemParams, method="GET")
LIST = Operation("items.list", "paas/v4/items", dict, ListParams, method="GET")
SEND = Operation("items.send", "paas/v4/items/{id}", dict, ItemParams)


def build(operation=ep.CHAT, headers=None, key=KEY, provider=ZAI, **params):
    return RequestFactory(operation, provider, key, headers or {}).build(params)


def body_of(operation=ep.CHAT, **params):
    return json.loads(build(operation, **params).body)


# Keywords.


@pytest.mark.parametrize("operation", [ep.CHAT, ep.CHAT_STREAM], ids=["plain", "stream"])
def test_unknown_keywords_are_refused_all_at_once(operation):
    with pytest.raises(TypeError, match=r"create\(\) got an unexpected keyword: n, temprature; .*"):
        build(operation, temprature=1, n=2)  # before it is noticed that model and messages miss


@pytest.mark.parametrize("operation", [ep.CHAT, ep.CHAT_STREAM], ids=["plain", "stream"])
def test_missing_keywords_are_named(operation):
    with pytest.raises(TypeError, match=r"create\(\) misses a keyword: messages, model$"):
        build(operation)
    with pytest.raises(TypeError, match=r"create\(\) misses a keyword: messages$"):
        build(operation, model="glm-5.3")


def test_keywords_are_checked_before_the_operation():
    with pytest.raises(TypeError):
        build(ITEM, provider=ZAI_CODING)
    with pytest.raises(ConfigurationError, match=r"'zai-coding' has no operation items\.get"):
        build(ITEM, provider=ZAI_CODING, id="x")


def test_an_unknown_keyword_tells_of_extra():
    with pytest.raises(TypeError, match=r"goes into extra=\{\.\.\.\}"):
        build(**LEAST, new_feature=True)


# Bodies.


def test_nothing_is_added_to_what_the_caller_says():
    assert body_of(**LEAST) == LEAST


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.0),
        ("temperature", None),
        ("max_tokens", None),
        ("tools", None),
        ("stop", ["a", "b"]),
        ("thinking", {"type": "disabled", "clear_thinking": False}),
        ("request_id", "x"),
        ("response_format", {"type": "json_object"}),
        ("tool_stream", False),
        ("meta", {}),
    ],
)
def test_values_are_sent_as_they_are_and_none_as_null(name, value):
    assert body_of(**LEAST, **{name: value}) == {**LEAST, name: value}


def test_a_stream_is_asked_for_without_options():
    assert body_of(ep.CHAT_STREAM, **LEAST) == {**LEAST, "stream": True}


def test_extra_wins_and_options_stay_at_home():
    body = body_of(
        **LEAST,
        temperature=0.1,
        extra={"temperature": 0.9, "brand_new": [None, {"a": 1}]},
        options=CallOptions(tag="t", headers={"X-Tag": "t"}),
    )
    assert body == {**LEAST, "temperature": 0.9, "brand_new": [None, {"a": 1}]}


def test_an_empty_extra_changes_nothing():
    assert body_of(**LEAST, extra={}) == LEAST


def test_a_plain_prompt_is_one_user_message():
    assert body_of(model="glm-5.3", messages="hi") == LEAST


def test_a_lone_stop_word_is_a_list():
    assert body_of(**LEAST, stop="END")["stop"] == ["END"]


def test_an_answer_goes_back_as_it_came():
    call = ToolCall(id="c1")
    call.function.name, call.function.arguments = "f", '{"a": 1}'
    answer = Message(content="", reasoning_content="hm\n", tool_calls=[call])
    sent = body_of(model="m", messages=[answer])["messages"][0]
    assert sent["reasoning_content"] == "hm\n"
    assert sent["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}


def test_the_values_of_the_caller_are_left_alone():
    params = {**LEAST, "stop": "END", "extra": {"a": 1}}
    before = json.dumps(params)
    build(ep.CHAT_STREAM, **params)
    assert json.dumps(params) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"messages": []}, "messages must not be empty"),
        ({"messages": ""}, "messages must not be empty"),
        ({"messages": None}, "messages must not be empty"),
        ({"model": ""}, "model must be a non-empty string"),
        ({"model": None}, "model must be a non-empty string"),
        ({"model": 5}, "model must be a non-empty string"),
        ({"temperature": float("nan")}, r"NaN and infinity .* at `\$\.temperature`"),
        (
            {"tools": [{"a": (1, 2)}, {"b": object()}]},
            r"object cannot be sent .*`\$\.tools\[1\]\.b`",
        ),
        ({"extra": {"deep": [object()]}}, r"object cannot be sent .* at `\$\.deep\[0\]`"),
        ({"messages": (m for m in [])}, r"generator cannot be sent as JSON - at `\$\.messages`"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_place(changes, message):
    with pytest.raises(ConfigurationError, match=rf"^chat\.completions\.create\(\): .*{message}"):
        build(**{**LEAST, **changes})


def test_a_body_that_contains_itself_is_refused():
    loop = {}
    loop["loop"] = loop
    with pytest.raises(ConfigurationError, match="contains itself"):
        build(**LEAST, extra=loop)


# Addresses.


@pytest.mark.parametrize(
    ("id", "path"),
    [
        ("abc-123", "items/abc-123/content"),
        ("a/b?c#d", "items/a%2Fb%3Fc%23d/content"),
        ("../x", "items/..%2Fx/content"),
        ("ä {id}", "items/%C3%A4%20%7Bid%7D/content"),
        ("%2F", "items/%252F/content"),
    ],
)
def test_ids_are_quoted_into_the_path(id, path):
    request = build(ITEM, id=id)
    assert request.url == f"https://api.z.ai/api/paas/v4/{path}"
    assert request.body is None


@given(st.text(min_size=1).filter(lambda text: text not in {".", ".."}))
def test_no_id_changes_the_rest_of_the_address(id):
    parts = urlsplit(build(ITEM, id=id).url)
    assert parts.path.count("/") == 6
    assert parts.path.startswith("/api/paas/v4/items/")
    assert parts.path.endswith("/content")
    assert (parts.query, parts.fragment) == ("", "")


@pytest.mark.parametrize("id", ["", ".", "..", None, 7, b"x", ["x"]])
def test_what_is_no_id_is_refused(id):
    with pytest.raises(ConfigurationError, match=r"items\.get\(\): id must be an id"):
        build(ITEM, id=id)


def test_what_stands_in_the_path_is_not_repeated_in_the_body():
    request = build(SEND, id="x", extra={"note": "n"})
    assert request.url.endswith("/items/x")
    assert json.loads(request.body) == {"note": "n"}


@pytest.mark.parametrize("value", [["a", "b"], ("a",), b"a", bytearray(b"a"), {"a": 1}, {"a"}, []])
def test_what_no_address_can_hold_is_refused(value):
    kind = type(value).__name__
    with pytest.raises(ConfigurationError, match=rf"list\(\): after must be .* not {kind}$"):
        build(LIST, after=value)
    with pytest.raises(ConfigurationError, match=rf"list\(\): x must be .* not {kind}$"):
        build(LIST, extra={"x": value})


def test_keywords_of_a_get_are_its_query():
    request = build(LIST, after="a b&c", limit=5, extra={"order": None, "x": "ü"})
    assert request.method == "GET"
    assert request.body is None
    query = parse_qs(urlsplit(request.url).query, strict_parsing=True)
    assert query == {"after": ["a b&c"], "limit": ["5"], "x": ["ü"]}
    assert "?" not in build(LIST).url


# Headers.


def test_headers_of_a_plain_call():
    assert build(**LEAST).headers == {
        "User-Agent": f"zai-async/{__version__}",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    assert "Content-Type" not in build(LIST).headers


def test_a_stream_is_neither_compressed_nor_surprised_by_json():
    headers = build(ep.CHAT_STREAM, **LEAST).headers
    assert headers["Accept"] == "text/event-stream, application/json"
    assert headers["Accept-Encoding"] == "identity"


def test_headers_of_the_client_win_over_ours_and_those_of_the_call_over_both():
    options = CallOptions(headers={"ACCEPT-LANGUAGE": "de", "X-Call": "1"})
    client = {"user-agent": "mine", "Accept-Language": "en"}
    headers = build(**LEAST, headers=client, options=options).headers
    assert headers == {
        "user-agent": "mine",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "ACCEPT-LANGUAGE": "de",
        "X-Call": "1",
    }


@pytest.mark.parametrize(
    "field",
    [
        {"X-A": "a\r\nX-B: c"},
        {"X-A": "\0"},
        {"X-A": "\ud800"},
        {"X-A": 5},
        {5: "a"},
        {"X A": "a"},
        {"": "a"},
        {"content-length": "3"},
        {"Transfer-Encoding": "chunked"},
        {"expect": "100-continue"},
        {"Expect": "100-continue"},
        {"UPGRADE": "h2c"},
    ],
)
@pytest.mark.parametrize("place", ["client", "call"])
def test_headers_that_cannot_be_sent(field, place):
    own = {"headers": field} if place == "client" else {"options": CallOptions(headers=field)}
    with pytest.raises(ConfigurationError, match=r"create\(\): .*head"):
        build(**LEAST, **own)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ({"X-A": 5}, "header fields must be strings"),
        ({"X A": "a"}, "a header field cannot be 'X A'"),
        ({"Expect": "a"}, "a header field cannot be 'Expect'"),
        ({"X-A": "a\n"}, "X-A has characters that no header may"),
        ({"X-A": "tab\tand \x80"}, ""),
        ({"X-Content-Length": "3", "Upgrade-Insecure-Requests": "1"}, ""),
    ],
)
def test_it_is_told_why_a_header_cannot_be_sent(field, why):
    assert why_unsendable(next(iter(field)), field) == why


@pytest.mark.parametrize(
    ("operation", "params"), [(ITEM, {"id": "\udcff"}), (LIST, {"after": "\udcff"})]
)
def test_text_that_no_address_can_hold(operation, params):
    with pytest.raises(ConfigurationError, match="a keyword has characters that no address may"):
        build(operation, **params)


def test_options_without_headers_add_none():
    assert build(**LEAST, options=CallOptions()).headers == build(**LEAST).headers


# Secrets.


def test_the_key_travels_as_a_bearer_token_apart_from_the_headers():
    request = build(**LEAST)
    assert request.secret_headers == {"Authorization": Secret(f"Bearer {KEY.reveal()}")}
    assert request.secret_query == {}
    assert "Authorization" not in request.headers


def test_the_key_travels_in_the_query_where_the_gateway_wants_it():
    provider = Provider(name="g", base_url="https://g.example", key_in="query")
    request = build(**LEAST, provider=provider)
    assert request.secret_query == {"api_token": KEY}
    assert request.secret_headers == {}


@pytest.mark.parametrize("key_in", ["header", "query"])
def test_without_a_key_none_is_sent(key_in):
    provider = Provider(name="g", base_url="https://g.example", key_in=key_in)
    request = build(**LEAST, provider=provider, key=None)
    assert (request.secret_headers, request.secret_query) == ({}, {})


@pytest.mark.parametrize("key_in", ["header", "query"])
def test_a_request_does_not_show_the_key(key_in):
    provider = Provider(name="g", base_url="https://g.example", key_in=key_in)
    request = build(**LEAST, provider=provider)
    assert "Canary" not in repr(request) + str(request) + str(msgspec.structs.asdict(request))


# Endpoints.


def test_what_an_operation_knows_of_its_keywords():
    assert ITEM.required == {"id"}
    assert ITEM.keywords == {"id", "options", "extra"}
    assert LIST.required == frozenset()
    assert ITEM.decoder.decode(b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_credentials_of_the_caller_win_and_are_kept_as_safe_as_the_key(name):
    options = CallOptions(headers={name: "Basic canary", "Cookie": "canary=1"})
    request = build(model="m", messages="hi", options=options)
    secrets = {name.lower(): secret.reveal() for name, secret in request.secret_headers.items()}
    assert secrets == {"authorization": "Basic canary", "cookie": "canary=1"}
    assert "canary" not in repr(request)


@pytest.mark.parametrize("place", ["client", "call"])
def test_a_type_that_the_caller_names_wins_for_forms_too(place):
    own = {"content-type": "multipart/form-data; boundary=mine"}
    factory = RequestFactory(ep.FILE_UPLOAD, ZAI, KEY, own if place == "client" else {})
    params = {"file": ("a.txt", b"text"), "purpose": "agent"}
    if place == "call":
        params["options"] = CallOptions(headers=own)
    for _ in range(2):
        headers = factory.build(params).headers
        assert {name.lower(): text for name, text in headers.items()}["content-type"] == own[
            "content-type"
        ]


def test_every_form_has_a_boundary_of_its_own_and_all_else_is_shared():
    factory = RequestFactory(ep.FILE_UPLOAD, ZAI, KEY, {"X-Mine": "1"})
    made = [factory.build({"file": ("a.txt", b"text"), "purpose": "agent"}) for _ in range(2)]
    types = {request.headers["Content-Type"] for request in made}
    assert len(types) == 2
    assert types == {request.body.content_type for request in made}
    assert {request.headers["X-Mine"] for request in made} == {"1"}
    assert made[0].secret_headers is made[1].secret_headers


def test_files_inside_of_structs_are_found():
    content = [image(b"\x89PNG\r\n\x1a\n" + bytes(99))]
    body = build(model="glm-5.3", messages=[Message(role="user", content=content)]).body
    assert not isinstance(body, bytes)  # it is sent while the picture is read
