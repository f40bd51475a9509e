import json
import re

import pytest

from zai_async import _operations as ep
from zai_async._secrets import Secret
from zai_async._wire import Operation, parse_reply
from zai_async.errors import AuthenticationError, RateLimitError, ResponseError
from zai_async.models import ChatCompletion, ChatParams

ANSWER = {
    "id": "a1",
    "created": 1,
    "model": "glm-5.3",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def parse(body, operation=ep.CHAT, status=200, headers=None, secrets=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_reply(
        operation, data, status=status, headers=headers or {}, now=0.0, secrets=secrets
    )


def test_an_answer_is_decoded():
    answer = parse(ANSWER)
    assert isinstance(answer, ChatCompletion)
    assert (answer.text, answer.usage.total_tokens) == ("hi", 3)


def test_an_answer_of_a_foreign_shape_is_decoded_as_far_as_it_goes():
    answer = parse({**ANSWER, "created": "yesterday", "news": [1], "usage": None})
    assert (answer.text, answer.created, answer.usage.total_tokens) == ("hi", 0, 0)


@pytest.mark.parametrize(
    ("own", "headers", "expected"),
    [
        ({"request_id": "mine"}, {"X-Log-Id": "theirs"}, "mine"),
        ({}, {"X-Log-Id": "theirs"}, "theirs"),
        ({}, {}, None),
    ],
)
def test_the_request_id_comes_from_the_body_or_the_header(own, headers, expected):
    assert parse({**ANSWER, **own}, headers=headers).request_id == expected


def test_an_answer_that_is_no_reply_has_no_request_id():
    operation = Operation("numbers", "paas/v4/numbers", list[int], ChatParams)
    assert parse([1, 2], operation, headers={"X-Log-Id": "theirs"}) == [1, 2]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"error": {"code": "1302", "message": "slow"}}, 429, RateLimitError),
        ({"error": {"code": "1305", "message": "busy"}}, 200, RateLimitError),
        ({"code": 401, "msg": "expired", "success": False}, 200, AuthenticationError),
        (b"", 401, AuthenticationError),
    ],
)
def test_a_reported_error_is_raised_whatever_the_status(body, status, error):
    with pytest.raises(error) as caught:
        parse(body, status=status)
    assert caught.value.status_code == status


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not an API answer: HTTP 200 with an empty body"),
        (b"<html>hello</html>", "not an API answer: HTTP 200 with a page"),
        (b"hello", "not an API answer: HTTP 200 (text/plain): hello"),
        (b"[]", "not an API answer: HTTP 200 (text/plain): []"),
        (b'{"choices": [', 'not an API answer: HTTP 200 (text/plain): {"choices": ['),
    ],
)
def test_what_is_no_answer_at_all_is_a_response_error(body, message):
    with pytest.raises(ResponseError, match=f"^{re.escape(message)}") as caught:
        parse(body, headers={"Content-Type": "text/plain"})
    assert caught.value.body == body.decode()
    assert caught.value.__suppress_context__


def test_a_key_in_a_foreign_answer_is_masked():
    with pytest.raises(ResponseError) as caught:
        parse(b"hello 0123456789.CanaryCanary", secrets=[Secret("0123456789.CanaryCanary")])
    assert "Canary" not in str(caught.value)
    assert "Canary" not in caught.value.body
