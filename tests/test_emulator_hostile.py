"""The emulator against what should not reach it: other sites, damage, requests without bound."""

import asyncio
import json
import sys
import tracemalloc
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import calls
from tests.effort import times
from tests.emulator_wire import KEY, error_of, wire
from zai_async.testing import Emulator
from zai_async.testing.emulator import connection, requests
from zai_async.testing.emulator import emulator as emulator_module
from zai_async.testing.emulator.media import wav_seconds
from zai_async.testing.emulator.platform import Platform
from zai_async.testing.emulator.recent import RecentItems
from zai_async.testing.emulator.requests import RecordedRequest
from zai_async.testing.emulator.site_policy import SitePolicy
from zai_async.testing.server import parser

CHAT = "/paas/v4/chat/completions"
HELLO = {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hi"}]}
JSON_DEPTH = 100_000


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with wire(emulator) as client:
        yield client


async def spoken(url, data):
    """Send bytes and read all that comes back until the server closes."""
    host, _, port = url.partition("//")[2].partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_question_for_the_headers_is_answered_without_a_body(emulator):
    head = b"HEAD /api/paas/v4/models HTTP/1.1\r\nHost: localhost\r\n"
    told = await spoken(emulator.url, head + b"\r\n" + head + b"Connection: close\r\n\r\n")
    first, second, rest = told.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 ")
    assert second.startswith(b"HTTP/1.1 ")
    assert rest == b""


# Other sites


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost", True),
        ("LOCALHOST:8765", True),
        ("localhost.:80", True),
        ("app.localhost:80", True),
        ("127.0.0.1:80", True),
        ("192.0.2.7", True),
        ("[::1]:8765", True),
        ("emulator", True),
        ("named.test:1", True),
        ("rebound.example", False),
        ("localhost.example", False),
        ("127.0.0.1.example:80", False),
        ("[::1", False),
        ("", True),
    ],
)
def test_hosts(host, known):
    policy = SitePolicy("emulator", ["Named.test"])
    assert (policy.refusal("GET", {"Host": host}) is None) == known


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({}, True),
        ({"Origin": "http://localhost:1"}, True),
        ({"Origin": "http://LOCALHOST:1"}, True),
        ({"Origin": "http://localhost:2"}, False),
        ({"Origin": "https://page.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[::1"}, False),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
def test_sites(headers, accepted, method):
    refusal = SitePolicy("127.0.0.1").refusal(method, {"Host": "localhost:1"} | headers)
    assert (refusal is None) == (accepted or method == "GET")


async def test_a_page_of_another_site_is_refused_and_changes_nothing(emulator, client):
    fault = emulator.fault(status=500)
    rebound = await client.post(CHAT, json=HELLO, headers={"Host": "rebound.example"})
    foreign = await client.post(CHAT, json=HELLO, headers={"Origin": "https://page.example"})
    assert error_of(rebound) == error_of(foreign) == (403, "1220")
    assert "allowed_hosts" in rebound.text
    assert "page.example" in foreign.text
    assert [request.status for request in emulator.requests] == [403, 403]
    assert fault.seen == 0


async def test_a_name_can_be_allowed():
    async with Emulator(allowed_hosts=["emulator"]) as emulator, wire(emulator) as client:
        assert (
            await client.get("/paas/v4/models", headers={"Host": "emulator"})
        ).status_code == 200


def test_a_name_can_be_allowed_on_the_command_line():
    arguments = parser("emulator").parse_args(["--allow-host", "a", "--allow-host", "b"])
    assert arguments.allowed_hosts == ["a", "b"]
    assert parser("emulator").parse_args([]).allowed_hosts == []


def test_what_is_kept_can_be_said_on_the_command_line(capsys):
    assert parser("emulator").parse_args(["--keep", "7"]).keep == 7
    for wrong in ("0", "-1", "many"):
        with pytest.raises(SystemExit):
            parser("emulator").parse_args(["--keep", wrong])
        assert "is not a whole number from 1" in capsys.readouterr().err


# Addresses and versions


async def test_an_address_of_version_6_can_be_used():
    try:
        async with Emulator(host="::1") as emulator, wire(emulator) as client:
            assert emulator.url.startswith("http://[::1]:")
            assert (await client.get("/paas/v4/models")).status_code == 200
    except OSError:
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "http://127.0.0.1:8/"), ("::", "http://[::1]:8/")]
)
def test_any_address_is_shown_as_loopback(host, shown):
    emulator = Emulator(host=host)
    emulator._listener.port = 8
    assert emulator.url.startswith(shown)


@pytest.mark.parametrize("keep_alive", [b"", b"Connection: keep-alive\r\n"])
async def test_http_1_0(emulator, keep_alive):
    body = json.dumps(HELLO | {"stream": True}).encode()
    head = b"POST /api%s HTTP/1.0\r\nAuthorization: Bearer key\r\n%sContent-Length: %d\r\n\r\n"
    answer = await spoken(emulator.url, head % (CHAT.encode(), keep_alive, len(body)) + body)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK")
    assert b"chunked" not in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


async def test_links_without_a_host(emulator):
    body = b'{"model": "glm-image", "prompt": "x"}'
    head = b"POST /api/paas/v4/images/generations HTTP/1.0\r\nAuthorization: Bearer key\r\n"
    answer = await spoken(emulator.url, head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    url = json.loads(answer.partition(b"\r\n\r\n")[2])["data"][0]["url"]
    assert url.startswith(emulator.url.removesuffix("/api/paas/v4") + "/cdn/")


# Failures


async def test_an_exception_is_answered_in_the_platforms_shape(emulator, client, capsys):
    emulator.chat.reply("never", match=lambda body: body["nothing"])
    assert error_of(await client.post(CHAT, json=HELLO)) == (500, "500")
    told = capsys.readouterr().err
    assert f"The emulator failed on POST /api{CHAT}" in told
    assert "KeyError: 'nothing'" in told
    emulator.reset()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * JSON_DEPTH,
        b'{"a":' * JSON_DEPTH,
        b"\xff",
        b"",
        b"3",
        b'{"model": "glm-5.2", "messages": "\\ud800"}',
    ],
)
async def test_damaged_json_is_the_callers_fault(client, body):
    assert error_of(await client.post(CHAT, content=body)) == (400, "1210")


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"Content-Encoding: deflate\r\nContent-Length: 5\r\n\r\nhello",
        b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
async def test_a_body_in_another_coding_than_it_says(emulator, body):
    head = b"POST /api%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % CHAT.encode()
    answer = await spoken(emulator.url, head + body)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"code":"1210"' in answer


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/paas/v4/reader", {"url": "http://[::1"}),
        (CHAT, HELLO | {"messages": [{"role": "user", "content": "x" * (2**22 + 1)}]}),
        ("/v1/agents", {"agent_id": "general_translation", "messages": []}),
    ],
)
async def test_odd_requests_are_refused(client, path, body):
    answer = await client.post(path, json=body)
    assert answer.status_code < 500
    assert answer.json()["error"]["code"] in {"1210", "1214", "1261"}


@pytest.mark.parametrize("encoded", ["é", "=", "a"])
async def test_a_recording_that_is_not_base64(client, encoded):
    parts = {"model": (None, "glm-asr-2512"), "file_base64": (None, encoded)}
    answer = await client.post("/paas/v4/audio/transcriptions", files=parts)
    assert error_of(answer) == (400, "1210")


def test_a_sound_file_without_samples_per_second():
    head = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0" + bytes(8) + b"\2\0\x10\0data\0\0\0\0"
    assert wav_seconds(head) is None


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    *("model", "messages", "stream", "tools", "input", "prompt", "size", "agent_id", "file_id"),
    *("custom_variables", "conversation_id", "async_id", "query", "documents", "voice", "url"),
    *("search_query", "search_engine", "file", "purpose", "input_file_id", "response_format"),
]
KNOWN = st.sampled_from(
    [
        *("glm-5.2", "glm-image", "glm-tts", "embedding-3", "rerank", "moderation", "glm-ocr"),
        *("general_translation", "slides_glm_agent", "vidu_template_agent", "search-prime", True),
        *([{"role": "user", "content": "hi"}], {"type": "json_object"}, "1024x1024", ["a"], "hi"),
    ]
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), KNOWN | JSON, max_size=8)
QUERIES = st.dictionaries(
    st.sampled_from(["api_token", "integrated_account_id", "purpose", "limit", "after"]),
    st.sampled_from(["at_1", "agent", "3", "-1", ""]) | st.text(max_size=5),
)
PARTS = st.sampled_from(["model", "file", "purpose", "tool_type", "file_type", "file_base64"])
TEXTS = st.sampled_from(["glm-asr-2512", "agent", "lite", "prime-sync", "hand_write", "pdf"])
FORMS = st.lists(st.tuples(PARTS, st.booleans(), TEXTS | st.text(max_size=9)), max_size=5)


def form_of(parts):
    """Write a form with the boundary ``b``."""
    lines = []
    for name, is_file, text in parts:
        filename = '; filename="a.wav"' if is_file else ""
        head = f'Content-Disposition: form-data; name="{name}"{filename}'
        lines.append(f"--b\r\n{head}\r\n\r\n{text}\r\n")
    return ("".join(lines) + "--b--\r\n").encode(errors="surrogatepass")


@pytest.fixture(scope="module")
def platform():
    return Platform(None, 0)


@settings(max_examples=times(2_000, 100))
@given(data=st.data())
def test_no_request_makes_an_operation_raise(platform, data):
    route = data.draw(st.sampled_from(platform.table.routes))
    path = route.absolute_path.replace("{id}", "x").replace("{format}", "text")
    prefix = data.draw(st.sampled_from(["", "", "/lowcodeapi", "/truto/custom", "/truto/proxy"]))
    if data.draw(st.booleans()):
        kind, body = "multipart/form-data; boundary=b", form_of(data.draw(FORMS))
    else:
        kind = data.draw(st.sampled_from(["application/json", "", "multipart/form-data"]))
        documents = (BODIES | JSON).map(json.dumps).map(str.encode)
        body = data.draw(documents | st.binary(max_size=50))
    request = RecordedRequest(
        method=route.method,
        path=prefix + path.replace("{name}", "x.png"),
        query=data.draw(QUERIES),
        headers=KEY | {"Content-Type": kind},
        connection=1,
        reused=False,
        received_at=0.0,
        body=body,
    )
    platform.name(request)
    fault = emulator_module.InjectedFault()
    assert platform.reply(request, fault, "http://here").status in {
        200,
        400,
        401,
        403,
        404,
        429,
        435,
    }
    platform.account.leave(request)


# Work and memory without bound


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_has_a_limit(emulator, client, monkeypatch, chunked):
    monkeypatch.setattr(emulator_module, "MAX_BODY", 1000)
    emulator.files.limit = 0

    async def pieces():
        for _ in range(17):
            yield b"x" * 2**16

    answer = await client.post(CHAT, content=pieces() if chunked else b"x" * (2**20 + 1))
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "text/html")
    assert emulator.requests[0].status == 413
    assert emulator.requests[0].body == b""


async def test_a_client_that_waits_before_it_sends_a_body(emulator):
    body = json.dumps(HELLO).encode()
    head = b"POST /api%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % CHAT.encode()
    head += b"Authorization: Bearer k\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    answer = await spoken(emulator.url, head % len(body) + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("name", "status"), [("9999x9999.png", 404), ("2048x2048.png", 200), ("0x0.png", 200)]
)
async def test_a_picture_has_a_limit(emulator, client, name, status):
    root = emulator.url.removesuffix("/api/paas/v4")
    answer = await client.get(f"{root}/cdn/{'0' * 64}-{name}")
    assert answer.status_code == status


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": {"a": {"type": "array", "minItems": 100_000_000}}},
        {"properties": {"a": {"type": "string", "minLength": 10**9}}},
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"minProperties": 10**9},
    ],
)
async def test_a_schema_has_a_limit(client, parameters):
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    answer = await client.post(CHAT, json=HELLO | {"tools": [tool]})
    assert error_of(answer) == (400, "1210")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a+){9}$", "a*a*a*a*a*a*a*b"])
async def test_a_pattern_has_a_limit(client, pattern):
    name = "a" * 40
    properties = {name: {"type": "string", "pattern": pattern, "minLength": 60}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}
    answer = await client.post(CHAT, json=HELLO | {"tools": [tool]}, timeout=10)
    assert answer.status_code == 200


async def test_answers_have_a_limit(client):
    def agent(text):
        message = {"role": "user", "content": text}
        return {"agent_id": "general_translation", "messages": [message], "stream": True}

    answer = await client.post("/v1/agents", json=agent("x " * 100_000))
    assert answer.json()["error"]["code"] == "1261"
    slides = agent("20 slides") | {"agent_id": "slides_glm_agent", "conversation_id": "c"}
    answers = [await client.post("/v1/agents", json=slides) for _ in range(11)]
    assert answers[9].headers["Content-Type"].startswith("text/event-stream")
    assert answers[10].json()["status"] == "failed"


async def test_a_long_result_of_a_tool_is_quoted_in_part(client):
    messages = [*HELLO["messages"], {"role": "tool", "content": "x" * 100_000}]
    answer = await client.post(CHAT, json=HELLO | {"messages": messages})
    assert 1000 < len(answer.json()["choices"][0]["message"]["content"]) < 3000


async def test_a_search_for_a_schema_ends(client):
    damaged = {"role": "user", "content": '{"a": ' * 30_000}
    body = HELLO | {"messages": [damaged], "response_format": {"type": "json_object"}}
    started = asyncio.get_running_loop().time()
    assert (await client.post(CHAT, json=body)).status_code == 200
    assert asyncio.get_running_loop().time() - started < 10


async def test_requests_are_kept_in_a_ring():
    async with Emulator(keep=3) as emulator, wire(emulator) as client:
        for _ in range(5):
            await client.get("/paas/v4/models")
        assert len(emulator.requests) == 3
        await emulator.wait_requests(5)
        assert emulator.connections == 1


def test_nothing_to_keep_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Emulator(keep=0)


async def test_bodies_are_kept_in_a_ring(emulator, client, monkeypatch):
    monkeypatch.setattr(requests, "MAX_REQUEST_BYTES", 3000)
    for size in (1000, 1000, 2500, 400):
        await client.post(CHAT, content=b"x" * size)
    assert [len(request.body) for request in emulator.requests] == [2500, 400]
    await client.post(CHAT, content=b"x" * 9000)
    assert [len(request.body) for request in emulator.requests] == [9000]


def test_a_request_dropped_before_its_body_came_is_not_counted():
    log = requests.RequestLog(keep=1)
    first, second = (
        RecordedRequest(
            method="GET", path="/", query={}, headers={}, connection=1, reused=False, received_at=0
        )
        for _ in range(2)
    )
    log.start(first)
    log.start(second)
    log.receive(first, b"late")
    assert log.requests == [second]
    assert first.body == b"late"


async def test_three_thousand_requests_leave_no_mark(emulator, client):
    body = HELLO | {"padding": "x" * 50_000}
    tracemalloc.start()
    try:
        for number in range(60):
            if number == 10:
                before, _ = tracemalloc.get_traced_memory()
            await client.post(CHAT, json=body)
            emulator._log._body_bytes += 2 * 2**20  # as if each of them had had 2 MB more
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 3 * 2**20


def test_recent_items():
    kept = RecentItems(max_items=3, max_bytes=10, size=len)
    for name, item in (("a", b"1"), ("b", b"22"), ("a", b"333"), ("c", b"4"), ("d", b"5")):
        kept[name] = item
    assert [*kept] == ["a", "c", "d"]
    assert kept.values() == [b"333", b"4", b"5"]
    kept["e"] = bytes(7)
    assert [*kept] == ["c", "d", "e"]
    kept["f"] = bytes(100)
    assert [*kept] == ["f"]
    assert ("f" in kept, "a" in kept, kept.get("a"), len(kept)) == (True, False, None, 1)
    kept.discard("f")
    kept.discard("f")
    assert len(kept) == 0
    assert len(RecentItems()) == 0
    with pytest.raises(KeyError):
        kept["f"]


# Files that are open.


async def test_connections_that_idle_keep_nobody_waiting(monkeypatch):
    """Where this process may have no more of them, those that wait get their turn."""
    monkeypatch.setattr(connection, "most_kept", lambda: 3)
    async with Emulator(pace=0) as emulator:
        clients = [calls.client(emulator.url) for _ in range(6)]
        for zai in clients:
            await calls.ask(zai)
        reused = [(await calls.ask(zai)).attempts[0].connection_reused for zai in clients]
        for zai in clients:
            await zai.aclose()
    assert reused == [True] * 3 + [False] * 3


@pytest.mark.parametrize(("limit", "most"), [(40, 20), (-1, 2**31)])
def test_half_of_the_open_files_may_be_connections_that_idle(monkeypatch, limit, most):
    module = SimpleNamespace(getrlimit=lambda _: (limit, 0), RLIMIT_NOFILE=7, RLIM_INFINITY=-1)
    monkeypatch.setitem(sys.modules, "resource", module)
    assert connection.most_kept() == most


def test_a_system_without_a_limit_of_files_has_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert connection.most_kept() == 2**31
