"""What relays and frameworks make of an error: the platform's code and words are found in it."""

import json

import pytest

from tests.counting import calls
from zai_async._secrets import Secret
from zai_async._wire import error_in_body, find_fault, meaning_of
from zai_async._wire.faults import hidden_fault
from zai_async.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BillingError,
    QuotaError,
    RateLimitError,
    ServerError,
)

BROKE = {"error": {"code": "1113", "message": "Insufficient balance"}}
TEXT = json.dumps(BROKE)
RELAYED = {
    "a sentence with JSON": {"error": {"message": f"RateLimitError: {TEXT}", "code": "429"}},
    "a sentence with JSON and more": {"error": {"message": f"{TEXT} - try later", "code": 429}},
    "the repr of a dictionary": {"detail": f"Error code: 429 - {BROKE}"},
    "JSON in JSON": {"error": TEXT},
    "JSON in JSON in JSON": {"error": {"message": json.dumps({"body": TEXT})}},
    "JSON at message": {"message": TEXT, "code": 500},
    "metadata.raw": {
        "error": {
            "message": "Provider returned error",
            "code": 429,
            "metadata": {"raw": TEXT, "provider_name": "Z.AI"},
        }
    },
    "metadata.raw that is cut": {
        "error": {"message": "Provider", "code": 429, "metadata": {"raw": TEXT[:-4]}}
    },
    "escaped twice and cut": {"error": {"message": json.dumps(TEXT)[1:-9], "code": "429"}},
    "an object at message": {"error": {"message": BROKE}},
    "a list of errors": {"errors": [BROKE["error"]]},
    "a list of relayed errors": {"errors": [{"message": "x", "extensions": BROKE}]},
    "a list at error": {"error": [BROKE["error"]]},
    "inside data": {"success": False, "data": BROKE},
    "inside detail": {"detail": BROKE},
    "inside details": {"statusCode": 429, "message": "upstream", "details": {"response": BROKE}},
    "in brackets": {"error": {"message": "upstream: [1113][no balance][x]", "code": "upstream"}},
    "in words": {"message": "the platform refused with code 1113", "code": "ERR"},
    "in Chinese": {"message": "错误码 1113 余额不足", "code": "ERR"},
    "under another name": {"errorCode": 1113, "errorMessage": "Insufficient balance"},
    "in snake case": {"error_code": "1113", "error_msg": "Insufficient balance"},
    "in capitals": {"Error": {"Code": "1113", "Message": "Insufficient balance"}, "code": "x"},
    "as a type": {"error": {"type": "insufficient_quota", "message": "Insufficient balance"}},
}


def error_of(body, status=429, kind="application/json", secrets=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": kind}
    return error_in_body(data, status=status, headers=headers, now=0.0, secrets=secrets)


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("shape", RELAYED)
def test_no_balance_is_no_balance_however_a_relay_puts_it(shape, status):
    error = error_of(RELAYED[shape], status)
    assert type(error) is BillingError
    assert error.code in {"1113", "insufficient_quota"}
    assert (error.kind, error.repeat) == ("billing", "never")


@pytest.mark.parametrize(
    "shape", sorted(set(RELAYED) - {"inside detail", "the repr of a dictionary"})
)
def test_a_relayed_error_is_one_with_status_200_too(shape):
    body = RELAYED[shape]
    if shape == "in capitals":
        body = {**body, "message": "x"}
    assert type(error_of(body, 200)) is BillingError


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (f"upstream said: {TEXT}".encode(), "text/plain"),
        (f"data: {TEXT}\n\n".encode(), "text/event-stream"),
        (json.dumps(TEXT).encode(), "application/json"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "application/json"),
        (json.dumps([BROKE]).encode(), "application/json"),
        (b"refused: code=1113, no balance", "text/plain"),
        (b'{"error": {"code": "1113", "message": "Insuf', "application/json"),
    ],
)
def test_a_body_that_is_no_object_may_hold_a_code_as_well(body, kind):
    error = error_of(body, kind=kind)
    assert (type(error), error.code) == (BillingError, "1113")


@pytest.mark.parametrize("status", [400, 500])
def test_the_words_of_the_platform_are_found_behind_those_of_a_relay(status):
    body = f"upstream said: {TEXT}".encode()
    assert error_of(body, status, kind="text/plain").message == "Insufficient balance"


def test_a_relay_whose_words_say_nothing_is_given_those_of_the_platform():
    error = error_of(RELAYED["metadata.raw"])
    assert error.message == "Provider returned error: Insufficient balance"
    assert error_of({"data": {"error": {"code": "1113", "message": "no"}}}).message == "no"


def test_a_reset_time_is_found_in_relayed_words():
    inner = {"error": {"code": "1308", "message": "will reset at 1970-01-01 10:00:00"}}
    error = error_of({"error": {"message": "upstream", "metadata": {"raw": json.dumps(inner)}}})
    assert type(error) is QuotaError
    assert error.retry_at.isoformat() == "1970-01-01T10:00:00+08:00"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": "1302", "message": TEXT}}, "1302"),
        ({"error": {"code": "429", "message": "1113 tokens"}}, "429"),
        ({"error": {"code": "429", "message": "model code 9999 is not served"}}, "429"),
        ({"error": {"code": "429", "message": "error code: 11134"}}, "429"),
        ({"error": {"code": "429", "message": "close code 1006"}}, "429"),
        ({"error": {"message": "slow", "code": "rate_limit"}}, "rate_limit"),
        ({"error": {"message": "slow", "type": "rate_limit_error"}}, None),
    ],
)
def test_what_is_no_relayed_code_changes_nothing(body, code):
    error = error_of(body)
    assert (type(error), error.code) == (RateLimitError, code)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"errorCode": "E1", "errorMessage": "top_p"}, "top_p"),
        ({"error_code": "E1", "error_msg": "top_p"}, "top_p"),
        ({"errcode": 40001, "errmsg": "top_p"}, "top_p"),
        ({"errors": [{"message": "top_p", "code": "x"}]}, "top_p"),
        ({"errors": ["top_p", "n"]}, "top_p"),
        ({"errors": {"top_p": ["is too large"]}}, '{"top_p":["is too large"]}'),
        (
            {"message": "invalid", "errors": {"top_p": ["is too large"]}},
            'invalid: {"top_p":["is too large"]}',
        ),
        ({"Message": "top_p"}, "top_p"),
        ({"MESSAGE": "top_p"}, "top_p"),
        ({"title": "top_p", "status": 400}, "top_p"),
        ({"title": "Bad Request", "detail": "top_p", "status": 400}, "top_p"),
        ({"error": "invalid_request", "error_description": "top_p"}, "top_p"),
        ({"error": {"reason": "top_p"}}, "top_p"),
        ({"error": {"description": "top_p"}}, "top_p"),
        (
            {"Fault": {"reason": "top_p"}},
            'the API answered HTTP 400: {"Fault": {"reason": "top_p"}}',
        ),
        ({"err": "top_p"}, 'the API answered HTTP 400: {"err": "top_p"}'),
        (
            {"status": {"message": "top_p"}},
            'the API answered HTTP 400: {"status": {"message": "top_p"}}',
        ),
        ([{"error": {"message": "top_p"}}], "top_p"),
    ],
)
def test_what_a_gateway_says_is_in_the_message(body, message):
    error = error_of(body, 400)
    assert (type(error), error.message) == (BadRequestError, message)


@pytest.mark.parametrize(
    "body",
    [
        {"errcode": 0, "errmsg": "ok"},
        {"errorCode": "", "errorMessage": ""},
        {"code": "success", "msg": "done"},
        {"errors": {"object": "list", "data": []}, "status": "failed"},
        {"errors": []},
        {"errors": [], "choices": []},
        {"choices": [], "errors": ["in passing"]},
        {"status": "error"},
        {"message": "hello"},
    ],
)
def test_what_is_no_error_with_status_200(body):
    assert find_fault(body) is None
    assert error_of(body, 200) is None


@pytest.mark.parametrize(
    "body",
    [
        {"status": "error", "message": "top_p"},
        {"errorMessage": "top_p"},
        {"errors": [{"message": "top_p"}]},
        {"errors": ["top_p"]},
        {"code": "E1", "errorMsg": "top_p"},
        {"errorCode": "E1", "errorMessage": "top_p"},
    ],
)
def test_what_only_errors_say_is_one_with_status_200(body):
    error = error_of(body, 200)
    assert isinstance(error, APIError)
    assert error.message == "top_p"


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "message",
    [
        "Required request parameter 'file' for method parameter type File is not present",
        "Required request body is missing: public com.example.Answer",
        "Required String parameter 'model' is not present",
        "Required request part 'file' is not present",
        "JSON parse error: Unexpected character ('}' (code 125))",
        "Request method 'GET' is not supported",
        "Content-Type 'text/plain' is not supported",
        "Failed to convert value of type 'java.lang.String' to required type 'int'",
        "model must not be blank",
        "模型名称不能为空",
        "请求参数错误",
    ],
)
def test_a_request_that_the_framework_cannot_map_is_the_callers_fault(status, message):
    error = error_of({"code": 500, "msg": message, "success": False}, status)
    assert (type(error), error.repeat, error.retryable) == (BadRequestError, "never", False)


@pytest.mark.parametrize("message", ["", "boom", "Required by the database", "NullPointer"])
def test_other_failures_of_the_framework_are_the_platforms(message):
    error = error_of({"code": 500, "msg": message, "success": False}, 200)
    assert (type(error), error.repeat) == (ServerError, "short")
    assert meaning_of("500", 200, message).kind == "server"


@pytest.mark.parametrize(
    "value",
    [
        {"a": [{"b": [1, None, True]}]},
        ["{"] * 300,
        {"a": "{" * 20_000},
        {"a": '{"a":' * 5000},
        {str(number): {"x": number} for number in range(1000)},
        {"a": '{"x": ' + "9" * 5000 + "}"},
        7,
    ],
    ids=range(7),
)
def test_the_search_ends_and_may_find_nothing(value):
    assert hidden_fault(value) is None
    assert calls(lambda: hidden_fault(value)) < 20_000


@pytest.mark.parametrize("depth", [1, 2, 500, 900, 5000])
@pytest.mark.parametrize("kind", ["[]", "{}"])
def test_no_nesting_is_too_deep(depth, kind):
    if kind == "[]":
        body = b"[" * depth + b"]" * depth
    else:
        body = b'{"error":' * depth + b'"boom"' + b"}" * depth
    error = error_of(body, 500)
    assert type(error) is ServerError


def test_depth_costs_nothing():
    value = "x"
    for _ in range(500):
        value = {"error": value}
    assert hidden_fault(value) is None
    assert find_fault(value) is not None


def test_the_controls_of_a_terminal_are_escaped_and_lines_are_kept():
    error = error_of({"error": {"code": "1210\x1b", "message": "a\x1b[2J\nb\u202ec\x9b\x00"}}, 400)
    assert error.message == r"a\x1b[2J" + "\n" + r"b\u202ec\x9b\x00"
    assert error.code is None
    assert "\x1b" not in str(error_of(b"\x1b[2Jgone", 502, "text/\x1b[1mplain"))


def test_a_key_that_is_echoed_again_and_again_leaves_no_piece_at_the_cut():
    key = "0123456789abcdef." + "Canary" * 40
    for size in (8_000, 100_000, 2**20 + 50):
        body = (key * (size // len(key) + 1)).encode()[:size]
        error = error_of(body, 401, "text/plain", [Secret(key)])
        assert type(error) is AuthenticationError
        assert "Canary" not in error.body
        assert "Canary" not in str(error)
