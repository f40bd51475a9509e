import json
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zai_async._codes import BAND, CODES, STATUSES, UNKNOWN_STATUS
from zai_async._secrets import MASK, Secret
from zai_async._wire import error_in_body, find_fault, meaning_of, not_the_api, to_error
from zai_async._wire.faults import BEIJING, Fault
from zai_async.errors import (
    API_ERRORS,
    APIError,
    BadRequestError,
    BillingError,
    NotFoundError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    ResponseError,
    ServerError,
)

NOW = datetime(2026, 3, 8, 12, tzinfo=BEIJING).timestamp()
ID = "20260308115959abcdef01234567"
LOG_ID = {"X-Log-Id": "20260308115958fedcba76543210"}
KEY = Secret("0123456789abcdef.CanaryCanary")

FIELDS = [
    "error",
    "code",
    "message",
    "msg",
    "detail",
    "status",
    "success",
    "choices",
    "agent_id",
    "request_id",
    "id",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def error_of(body, status=200, headers=None, secrets=()):
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return error_in_body(data, status=status, headers=headers or {}, now=NOW, secrets=secrets)


# Shapes.


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"error": {"code": "1302", "message": "slow"}}, ("1302", "slow", None)),
        ({"error": {"code": 1302, "message": " slow\n"}}, ("1302", "slow", None)),
        (
            {"error": {"code": "1301", "message": "no"}, "contentFilter": [{"level": "1"}]},
            ("1301", "no", None),
        ),
        ({"error": {"code": "1302", "message": "slow"}, "request_id": ID}, ("1302", "slow", ID)),
        ({"error": {"code": "1302", "message": "slow", "request_id": ID}}, ("1302", "slow", ID)),
        (
            {
                "id": ID,
                "agent_id": "a",
                "status": "failed",
                "error": {"code": "1113", "message": "x"},
            },
            ("1113", "x", ID),
        ),
        ({"agent_id": "a", "async_id": "b", "status": "failed"}, (None, "", None)),
        ({"code": 1000, "msg": "bad key", "success": False}, ("1000", "bad key", None)),
        ({"msg": "boom", "code": 500}, ("500", "boom", None)),
        ({"code": 400, "message": "bad", "data": None, "timestamp": 1}, ("400", "bad", None)),
        ({"code": "1210", "message": "bad"}, ("1210", "bad", None)),
        (
            {
                "type": "error",
                "error": {"type": "overloaded_error", "message": f"[1305][busy][{ID}]"},
            },
            ("1305", "busy", ID),
        ),
        (
            {"error": {"code": "1308", "message": f"[1211][two\n[lines]][{ID}]"}},
            ("1308", "two\n[lines]", ID),
        ),
        ({"error": {"code": "rate_limit", "message": "[1302][slow][]"}}, ("1302", "slow", None)),
        (
            {
                "message": "Error received from the zai API",
                "provider": "zai",
                "error": {"error": {"code": "1211", "message": "no model"}, "request_id": ID},
                "headers": {},
            },
            ("1211", "no model", None),
        ),
        (
            {
                "statusCode": 429,
                "details": {"error": {"code": "1302", "message": "slow"}},
                "id": ID,
            },
            ("1302", "slow", ID),
        ),
        ({"error": "overloaded"}, (None, "overloaded", None)),
        ({"error": {"message": {"why": ["a"]}}}, (None, '{"why":["a"]}', None)),
        ({"error": {"detail": "no"}}, (None, "no", None)),
        ({"error": {"code": True, "message": "x"}}, (None, "x", None)),
        ({"error": {"code": {"a": 1}, "message": "x"}}, (None, "x", None)),
        ({"error": {"code": "x" * 65, "message": "x"}}, (None, "x", None)),
        ({"error": {"code": "<html>", "message": "x"}}, (None, "x", None)),
        ({"error": {"code": "1302"}}, ("1302", '{"code":"1302"}', None)),
        ({"success": False}, (None, "", None)),
        ({"id": "1", "task_status": "FAIL"}, (None, "", "1")),
        ({"task_status": "fail", "error": {"code": "1301", "message": "no"}}, ("1301", "no", None)),
    ],
)
def test_every_shape_is_read_the_same_with_status_200(body, fault):
    assert find_fault(body) == fault
    assert find_fault(body, status=429) == fault


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v4/chat"},
            "Not Found",
        ),
        ({"detail": "Method Not Allowed"}, "Method Not Allowed"),
        ({"detail": [{"loc": ["body"], "msg": "bad"}]}, '[{"loc":["body"],"msg":"bad"}]'),
        ({"message": "forbidden"}, "forbidden"),
        ({"unheard": "of"}, ""),
    ],
)
def test_with_an_error_status_any_object_is_an_error(body, message):
    assert find_fault(body, status=404) == (None, message, None)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        [{"error": {"code": "1302"}}],
        "error",
        7,
        {},
        {"error": None},
        {"error": {}},
        {"error": ""},
        {"error": []},
        {"error": 7},
        {"choices": [], "error": None},
        {"choices": [{"message": {"content": "error"}}], "code": "1302", "message": "in passing"},
        {"code": 200, "msg": "ok", "success": True},
        {"code": 0, "message": "ok"},
        {"code": None, "message": "ok"},
        {"message": "hello"},
        {"statusCode": 200, "details": None},
        {"details": {"error": {"code": "1302"}}},
        {"code": 1302},
        {"status": "failed"},
        {"agent_id": "a", "status": "success"},
        {"task_status": "PROCESSING"},
        {"task_status": "FAILOVER"},
        {"task_status": None},
    ],
)
def test_what_is_no_error_with_status_200(document):
    assert find_fault(document) is None


# Meaning.


@pytest.mark.parametrize("code", CODES)
def test_a_known_code_decides_whatever_the_status(code):
    meaning = CODES[code]
    for status in (200, 400, 429, 500, 529):
        error = error_of({"error": {"code": code, "message": "text"}}, status)
        assert type(error) is API_ERRORS.get(meaning.kind, APIError)
        assert (error.kind, error.repeat, error.hint) == meaning
        assert (error.code, error.status_code, error.message) == (code, status, "text")
        assert error.retryable == (meaning.repeat not in {"never", "reset"})


@pytest.mark.parametrize("code", [1113, 1113.0, "1113", " 1113 ", "1113\n"], ids=repr)
@pytest.mark.parametrize("status", [200, 429, 503])
@pytest.mark.parametrize("nested", [True, False])
def test_a_code_is_the_same_however_it_is_written(code, status, nested):
    """An empty purse is not filled by asking again."""
    error = {"code": code, "message": "said"}
    fault = find_fault({"error": error} if nested else error, status=status)
    assert to_error(fault, status=status, headers={}, now=0.0).kind == "billing"


@pytest.mark.parametrize("code", [True, 1113.5, float("inf"), float("nan"), 1e300])
def test_what_is_no_code(code):
    assert find_fault({"error": {"code": code, "message": "said"}}, status=429).code is None


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("401", 200, STATUSES[401]),
        ("400", 200, STATUSES[400]),
        ("429", 200, STATUSES[429]),
        ("777", 403, STATUSES[403]),
        ("1099", 401, BAND["10"]),
        ("1199", 429, BAND["11"]),
        ("1299", 500, BAND["12"]),
        ("1450", 400, BAND["14"]),
        ("1399", 429, STATUSES[429]),
        ("1399", 200, STATUSES[429]),
        ("1399", 400, STATUSES[400]),
        ("1399", 503, STATUSES[503]),
        ("9999", 429, STATUSES[429]),
        ("9999", 418, UNKNOWN_STATUS[4]),
        ("12xx", 403, STATUSES[403]),
        ("10", 403, STATUSES[403]),
        ("²²²", 403, STATUSES[403]),
        ("9" * 5000, 403, STATUSES[403]),
        ("brand_new_code", 404, STATUSES[404]),
        ("", 502, STATUSES[502]),
        (None, 429, STATUSES[429]),
        (None, 200, UNKNOWN_STATUS[2]),
        (None, 302, UNKNOWN_STATUS[3]),
        (None, 499, UNKNOWN_STATUS[4]),
        (None, 599, UNKNOWN_STATUS[5]),
        (None, 100, UNKNOWN_STATUS[2]),
        (None, 999, UNKNOWN_STATUS[2]),
    ],
)
def test_an_unknown_code_falls_back_on_its_band_or_the_status(code, status, expected):
    assert meaning_of(code, status) == expected


@pytest.mark.parametrize("text", ["404 NOT_FOUND", "404 Not Found", "HTTP 404: not found", "404"])
def test_a_wrong_path_is_told_from_a_failure_of_the_platform(text):
    error = error_of({"code": 500, "msg": text, "success": False})
    if text == "404":
        assert type(error) is ServerError
    else:
        assert type(error) is NotFoundError
        assert "base URL" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "1399", "message": "slow down"}},
        {"error": {"code": 1399, "message": "请稍后再试"}},
        {"code": "1399", "msg": "slow down"},
        {"error": {"message": f"[1399][slow down][{ID}]"}},
        {"error": {"error": {"code": "1399"}}},
    ],
)
def test_the_kind_does_not_depend_on_language_and_shape(body):
    error = error_of(body, 429)
    assert (type(error), error.kind, error.code) == (RateLimitError, "throttle", "1399")


# Errors.


@pytest.mark.parametrize(
    ("body", "headers", "request_id"),
    [
        ({"error": {"code": "1302", "request_id": ID}, "id": "other"}, LOG_ID, ID),
        ({"error": {"code": "1302", "message": f"[1302][x][{ID}]"}, "id": "other"}, LOG_ID, ID),
        ({"error": {"code": "1302"}, "request_id": ID}, LOG_ID, ID),
        ({"error": {"code": "1302"}, "id": ID}, LOG_ID, ID),
        ({"error": {"code": "1302"}}, LOG_ID, LOG_ID["X-Log-Id"]),
        ({"error": {"code": "1302"}}, {}, None),
    ],
)
def test_request_id_from_the_body_the_message_or_the_header(body, headers, request_id):
    assert error_of(body, 429, headers).request_id == request_id


@pytest.mark.parametrize(
    ("code", "kind", "repeat", "retry_at"),
    [
        ("1308", "quota", "reset", "2026-03-08T14:00:00+08:00"),
        ("1310", "quota", "reset", "2026-03-08T14:00:00+08:00"),
        ("1304", "quota", "never", "2026-03-08T14:00:00+08:00"),
        ("1302", "quota", "reset", "2026-03-08T14:00:00+08:00"),
        ("1399", "quota", "reset", "2026-03-08T14:00:00+08:00"),
        ("1305", "overload", "overload", None),
        ("1113", "billing", "never", None),
    ],
)
def test_a_reset_time_makes_a_quota(code, kind, repeat, retry_at):
    message = "used up, resets at 2026-03-08 14:00:00"
    error = error_of({"error": {"code": code, "message": message}}, 429)
    assert (error.kind, error.repeat) == (kind, repeat)
    assert (error.retry_at and error.retry_at.isoformat()) == retry_at
    assert isinstance(error, QuotaError) == (kind == "quota")


def test_a_quota_without_a_time_to_come_is_still_a_quota():
    for message in ("used up", "resets at 2026-03-08 11:00:00"):
        error = error_of({"error": {"code": "1308", "message": message}}, 429)
        assert (error.kind, error.retry_at, error.retryable) == ("quota", None, False)


def test_retry_after_is_passed_on():
    error = error_of({"error": {"code": "1302"}}, 429, {"Retry-After": "7"})
    assert error.retry_after == 7.0


@pytest.mark.parametrize("status", [400, 405, 502, 504])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "HTTP {} with an empty body"),
        (b" \r\n", "HTTP {} with an empty body"),
        (b"<html><h1>blocked</h1></html>", "HTTP {} with a page (text/html) instead of an API"),
        (b"\n <!doctypehtml>x", "HTTP {} with a page (text/html) instead of an API answer"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "HTTP {} with a page (text/html) instead of an"),
        (b"error: <BODY>x</BODY>", "HTTP {} with a page (text/html) instead of an API answer"),
        (b"upstream\n  gone", "HTTP {} (text/html): upstream gone"),
        (b"\xff\xfe", "HTTP {} (text/html): \ufffd\ufffd"),
        (b"[" * 100_000, "HTTP {} (text/html): [[["),
        (b"null", "HTTP {} (text/html): null"),
        (b"[1, 2]", "HTTP {} (text/html): [1, 2]"),
        (b"x" * 100_000, "HTTP {} (text/html): xxx"),
    ],
)
def test_what_is_no_json_object_is_described_and_never_quoted_at_length(status, body, message):
    error = error_of(body, status, {"Content-Type": "text/html; charset=utf-8"})
    assert type(error) is API_ERRORS.get(STATUSES[status].kind, APIError)
    assert error.message.startswith(message.format(status))
    assert len(error.message) < 250
    assert len(error.body) <= 2000


def test_a_body_without_a_content_type():
    assert error_of(b"oops", 500).message == "HTTP 500 (no content type): oops"


@pytest.mark.parametrize("body", [b"", b"hello", b"<html>", b"[]", b"null", b'{"choices":[]}'])
def test_with_status_200_only_a_reported_error_is_one(body):
    assert error_of(body) is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "1302", "message": "<!DOCTYPE html><p>page</p>"}},
        {"error": "gateway says <html><body>page</body></html>"},
        {"detail": {"upstream": "<head>page"}},
        {"error": {"code": "<html>page", "message": "m", "request_id": "<body>page"}},
    ],
)
def test_markup_is_never_shown(body):
    text = str(error_of(body, 502))
    assert "<" not in text
    assert "page</" not in text


def test_messages_and_bodies_are_cut():
    error = error_of({"error": {"code": "1210", "message": "long " * 1000}}, 400)
    assert len(error.message) == 500
    assert len(error.body) == 2000
    assert len(str(error)) < 600


@pytest.mark.parametrize("name", ["status", "task_status"])
def test_how_far_a_task_is_stays_known_of_a_body_that_is_cut(name):
    error = error_of({"message": "x" * 5000, name: "FAIL", "code": 1234})
    other = "task_status" if name == "status" else "status"
    assert (getattr(error, name), getattr(error, other), len(error.body)) == ("FAIL", "", 2000)


@pytest.mark.parametrize("body", [{"error": "x", "status": ["FAIL"]}, {"error": "x"}, b"[]", b"x"])
def test_a_body_may_say_nothing_about_a_task(body):
    error = error_of(body, 500)
    assert (error.status, error.task_status) == ("", "")


def test_an_error_without_a_message_says_the_status():
    error = error_of({"success": False}, 503)
    assert str(error) == 'the API answered HTTP 503: {"success": false} (HTTP 503)'
    assert error_of({}, 503).message == "the API answered HTTP 503"


@pytest.mark.parametrize("echo", [KEY.reveal(), KEY.reveal().partition(".")[2]])
@pytest.mark.parametrize("status", [200, 401, 502])
@pytest.mark.parametrize("padding", [0, 150, 180, 190, 480, 490, 1980, 7990])
def test_a_key_that_a_server_echoes_is_masked(echo, status, padding):
    text = f"{'p' * padding}{echo} is wrong"
    bodies = [{"error": {"code": "1002", "message": text}}, {"error": text}, text.encode()]
    for body in bodies:
        error = error_of(body, status, secrets=[KEY])
        if error is None:
            error = not_the_api(body, status=status, headers={}, now=NOW, secrets=[KEY])
        assert "Canary" not in str(error)
        assert "Canary" not in error.body
        assert MASK[:1] in error.body or padding > 1900


@pytest.mark.parametrize("name", ["status", "task_status"])
def test_a_key_in_the_place_of_a_status_is_masked(name):
    error = error_of({"error": "no", name: KEY.reveal()}, 401, secrets=[KEY])
    assert getattr(error, name) == MASK


@pytest.mark.parametrize("name", ["code", "request_id"])
def test_a_key_in_an_odd_place_is_masked(name):
    error = error_of({"error": {"message": "no", name: KEY.reveal()}}, 401, secrets=[KEY])
    assert getattr(error, name) == MASK
    assert "Canary" not in f"{error} {vars(error)}"


def test_an_error_carries_what_the_platform_said():
    body = {"error": {"code": "1113", "message": "no balance"}, "request_id": ID}
    error = error_of(body, 429, LOG_ID)
    assert type(error) is BillingError
    assert json.loads(error.body) == body
    assert str(error).startswith(f"no balance (code 1113, HTTP 429, request id {ID}). No balance")


@pytest.mark.parametrize(("status", "kind"), [(407, "connection"), (408, "timeout")])
def test_kinds_without_a_class_of_their_own_are_plain_api_errors(status, kind):
    error = error_of({"error": "x"}, status)
    assert (type(error), error.kind) == (APIError, kind)


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, PermissionDeniedError), (413, BadRequestError), (434, PermissionDeniedError)],
)
def test_statuses_without_a_code(status, error):
    assert type(error_of(b"", status)) is error


def test_not_the_api_says_what_came():
    headers = {"Content-Type": "text/html", **LOG_ID}
    page = not_the_api(b"<html>", status=200, headers=headers, now=NOW)
    assert type(page) is ResponseError
    assert (
        page.message
        == "not an API answer: HTTP 200 with a page (text/html) instead of an API" + (" answer")
    )
    assert (page.kind, page.retryable, page.status_code) == ("protocol", False, 200)
    assert (page.request_id, page.body) == (LOG_ID["X-Log-Id"], "<html>")
    assert "base URL" in str(page)


# Anything.


@given(JSON, st.integers(100, 599))
@example({"error": {"code": 10**4000, "message": "x"}}, 200)
@example({"error": {"message": {"a": float("nan"), "b": 2**80}}}, 200)
def test_any_json_value_is_an_error_or_none(document, status):
    fault = find_fault(document, status=status)
    if fault is None:
        return
    error = to_error(fault, status=status, headers={}, now=NOW, secrets=[KEY])
    assert isinstance(error, APIError)
    assert 0 < len(error.message) <= 500
    assert error.status_code == status
    assert str(error)


@given(st.none() | st.text() | st.from_regex(r"\d{1,6}"), st.integers(100, 599), st.text())
def test_any_code_has_a_meaning(code, status, message):
    meaning = meaning_of(code, status, message)
    assert meaning.kind != "stream"
    assert to_error(Fault(code, message), status=status, headers={}, now=NOW).kind in {
        meaning.kind,
        "quota",
    }


@given(st.binary(), st.integers(100, 599))
def test_any_body_is_read(data, status):
    error = error_of(data, status)
    assert error is not None or status < 400


def test_hostile_messages_cost_no_time():
    for piece in ("[a][", "][", "404 ", "404 NOT ", "<", "[1302][x]"):
        error = error_of({"error": {"code": "500", "message": piece * 20_000}}, 500)
        assert type(error) is (RateLimitError if "1302" in piece else ServerError)
