import copy
import json
import multiprocessing
import pickle
import re
import textwrap
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from typing import get_args

import pytest

from zai_async import errors
from zai_async._codes import Kind, Outcome, Repeat
from zai_async.errors import API_ERRORS, APIError, Attempt, ZaiError
from zai_async.models import ChatCompletion, Choice, Message

CLASSES = sorted(
    (e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, ZaiError)),
    key=lambda cls: cls.__name__,
)
ATTEMPTS = (
    Attempt(number=1, started=0.0, duration=0.5, status_code=429, code="1302", error="E"),
    Attempt(number=2, started=2.5, duration=1.0, wait=2.0, status_code=200, maybe_billed=True),
)
FACTS = {
    "kind": "stream",
    "code": "1302",
    "status_code": 429,
    "request_id": "20260308",
    "hint": "Wait.",
    "retryable": True,
    "repeat": "throttle",
    "retry_at": datetime(2026, 3, 8, tzinfo=UTC),
    "retry_after": 1.5,
    "body": "{}",
    "partial": ChatCompletion(choices=[Choice(message=Message(content="half"))], request_id="r"),
}
OWN_FACTS = {
    "LimitError": {"limit": 10},
    "EventTooLargeError": {"limit": 10},
    "StreamRestartedError": {"old_id": "a", "new_id": "b"},
    "StreamStalledError": {"phase": "first_progress", "waited": 1.5},
    "SubmitUnknownError": {"task": "t"},
    "TaskError": {"task": "t"},
    "TaskFailedError": {"task": "t"},
    "TaskTimeoutError": {"task": "t"},
    "ToolCallError": {"name": "f", "call_id": "c", "raw": "{"},
    "ToolCallIncompleteError": {"name": "f", "call_id": "c", "raw": "{"},
    "ToolCallMalformedError": {"name": "f", "call_id": "c", "raw": "{"},
}
LINE = re.compile(r"([ │├└─]*)(\w+)(?: \((\w+)\))?(?:\s.*)?")


def full(cls):
    """Return an error with every attribute set."""
    error = cls("sentence", **FACTS, **OWN_FACTS.get(cls.__name__, {}))
    error.attempts = ATTEMPTS
    error.operation = "chat.completions.create"
    error.in_stream = error.emitted = True
    error.add_note("a note")
    return error


def drawn():
    """Return the tree of the docstring as (class, parent, extra base)."""
    tree = errors.__doc__.partition("::\n\n")[2].partition("\n\n")[0]
    way = []
    for line in textwrap.dedent(tree).splitlines():
        indent, name, extra = LINE.fullmatch(line).groups()
        del way[len(indent) // 4 :]
        yield name, way[-1] if way else None, extra
        way.append(name)


def same(one, other):
    assert type(one) is type(other)
    assert one.args == other.args
    assert vars(one) == vars(other)
    assert str(one) == str(other)
    if one.partial is not None:
        assert one.partial.attempts == other.partial.attempts


def thrown(error):
    raise error


def test_the_docstring_draws_the_tree():
    tree = {name: (parent, extra) for name, parent, extra in drawn()}
    assert set(tree) == {cls.__name__ for cls in CLASSES}
    for cls in CLASSES:
        parent, extra = tree[cls.__name__]
        assert cls.__bases__[0] is (getattr(errors, parent) if parent else Exception)
        own = {base.__name__ for base in cls.__bases__[1:]}
        assert own - {"StreamTruncatedError"} == ({extra} if extra else set())


def test_every_class_is_exported_and_described():
    assert {cls.__name__ for cls in CLASSES} | {
        "Attempt",
        "HTTPAnswer",
        "Timing",
        "API_ERRORS",
    } == set(errors.__all__)
    for cls in CLASSES:
        assert cls.__doc__
        assert cls.__doc__ != (cls.__bases__[0].__doc__ or "")


@pytest.mark.parametrize("cls", CLASSES)
def test_what_programs_decide_by_is_one_of_the_known_words(cls):
    assert cls.kind in get_args(Kind)
    assert cls.repeat in get_args(Repeat)
    assert cls.retryable in {True, False}
    if issubclass(cls, errors.IncompleteError):
        assert cls.outcome in get_args(Outcome)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConfigurationError", ValueError),
        ("MissingKeyError", ValueError),
        ("ClientClosedError", RuntimeError),
        ("ClientDrainingError", RuntimeError),
        ("StreamConsumedError", RuntimeError),
        ("ConnectError", ConnectionError),
        ("TLSError", OSError),
        ("ProxyError", ConnectionError),
        ("ConnectionLostError", ConnectionError),
        ("RequestTimeoutError", TimeoutError),
        ("ConnectTimeoutError", TimeoutError),
        ("DeadlineError", TimeoutError),
        ("StreamStalledError", TimeoutError),
        ("TaskTimeoutError", TimeoutError),
        ("ToolCallIncompleteError", errors.StreamTruncatedError),
    ],
)
def test_the_builtin_exceptions_catch_ours(name, builtin):
    with pytest.raises(builtin, match="sentence"):
        thrown(getattr(errors, name)("sentence"))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_sentence_is_enough(cls):
    error = cls("sentence")
    assert str(error) == error.message == "sentence"
    assert (error.code, error.status_code, error.request_id, error.hint) == (None,) * 4
    assert (error.retry_at, error.retry_after, error.body, error.partial) == (None,) * 4
    assert (error.attempts, error.operation, error.in_stream, error.emitted) == ((), None, 0, 0)
    assert (error.kind, error.retryable, error.repeat) == (cls.kind, cls.retryable, cls.repeat)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_fact_is_an_attribute(cls):
    error = full(cls)
    for name, value in {**FACTS, **OWN_FACTS.get(cls.__name__, {})}.items():
        assert getattr(error, name) == value


@pytest.mark.parametrize(
    ("facts", "attempts", "text"),
    [
        ({}, 0, "no"),
        ({}, 1, "no"),
        ({}, 2, "no (attempts 2)"),
        ({"code": "1302"}, 0, "no (code 1302)"),
        ({"status_code": 429}, 0, "no (HTTP 429)"),
        ({"request_id": "r"}, 0, "no (request id r)"),
        ({"hint": "Wait."}, 0, "no. Wait."),
        (
            {"code": "1302", "status_code": 429, "request_id": "r", "hint": "Wait."},
            2,
            "no (code 1302, HTTP 429, request id r, attempts 2). Wait.",
        ),
    ],
)
def test_str_says_what_one_needs_to_ask_the_support(facts, attempts, text):
    error = ZaiError("no", **facts)
    error.attempts = ATTEMPTS[:attempts]
    assert str(error) == text


def test_a_sentence_with_a_full_stop_gets_no_second_one():
    assert str(ZaiError("Not today.", hint="Wait.")) == "Not today. Wait."
    assert str(ZaiError("Not today.")) == "Not today."


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_survive_pickle_and_copy(cls):
    for error in (full(cls), cls("sentence")):
        for protocol in range(2, 6):
            same(pickle.loads(pickle.dumps(error, protocol)), error)
        same(copy.copy(error), error)
        same(copy.deepcopy(error), error)


def test_a_deep_copy_shares_nothing_that_can_change():
    error = full(errors.StreamTruncatedError)
    other = copy.deepcopy(error)
    other.partial.choices[0].message.content = "changed"
    other.__notes__.append("another")
    assert error.partial.text == "half"
    assert error.__notes__ == ["a note"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_errors_come_back_from_another_process():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        futures = [(full(cls), pool.submit(thrown, full(cls))) for cls in CLASSES]
        for error, future in futures:
            same(future.exception(), error)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_raised_as_an_api_error(kind):
    cls = API_ERRORS.get(kind, APIError)
    assert issubclass(cls, errors.APIError)
    assert cls is errors.APIError or kind in {cls.kind, "overload"}


def test_a_request_that_was_not_sent_cannot_have_been_billed():
    unsent = {cls.__name__ for cls in CLASSES if not getattr(cls, "request_sent", True)}
    assert unsent == {
        "ConnectError",
        "ConnectTimeoutError",
        "LocalResourceError",
        "ProxyError",
        "TLSError",
    }


# What a web backend says


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_has_an_answer_for_strangers(kind):
    error = ZaiError("balance of acme is 0", kind=kind, hint="call acme", body="acme", code="1")
    status, headers, body = error.to_http()
    assert 400 <= status < 600
    assert headers == {"Content-Type": "application/json"}
    assert "acme" not in json.dumps(body)
    assert error.to_http().message == body["error"]["message"]
    assert json.loads(error.to_http().content) == body


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.RateLimitError("x"), 429),
        (errors.RateLimitError("x", kind="overload"), 503),
        (errors.BudgetExceededError("x"), 429),
        (errors.LimitError("x"), 502),
        (errors.ClientDrainingError("x"), 503),
        (errors.MissingKeyError("x"), 502),
        (errors.ConfigurationError("x"), 500),
        (errors.InvalidFileError("x"), 400),
        (errors.DeadlineError("x"), 504),
        (errors.EmptyAnswerError("x"), 502),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ZaiError) else None,
)
def test_status_says_whose_fault_it_is(error, status):
    assert error.to_http().status == status


@pytest.mark.parametrize(
    ("facts", "wait"),
    [
        ({"retry_after": 2.2}, "3"),
        ({"retry_at": datetime.fromtimestamp(1060, UTC)}, "60"),
        ({"retry_at": datetime.fromtimestamp(10, UTC)}, None),
        ({"retry_after": 0.0}, None),
        ({}, None),
    ],
)
def test_pause_is_told_in_whole_seconds(monkeypatch, facts, wait):
    monkeypatch.setattr("time.time", lambda: 1000.0)
    headers = errors.QuotaError("x", **facts).to_http().headers
    assert headers.get("Retry-After") == wait
