import pytest

from zai_async._outcomes import ensure_proper_end, ensure_success, judge
from zai_async.errors import EmptyAnswerError, GenerationFailedError, StreamTruncatedError
from zai_async.models import ChatCompletion, Choice, Message, ToolCall
from zai_async.models.chat import Audio, FunctionCall

SAID = {"content": "hi"}
THOUGHT = {"reasoning_content": "hm"}
CALLED = {"tool_calls": [ToolCall(id="c", function=FunctionCall(name="f"))]}
SEARCHED = {"tool_calls": [ToolCall(id="c", type="web_search")]}
NAMELESS = {"tool_calls": [ToolCall(id="c"), ToolCall()]}
SPOKEN = {"audio": Audio(id="a")}

ENDS = [
    ("stop", SAID, "completed"),
    ("stop", SPOKEN, "completed"),
    ("stop", CALLED, "completed"),
    ("stop", {}, "empty"),
    ("stop", THOUGHT, "empty"),
    ("stop", {"content": " \n"}, "empty"),
    ("tool_calls", CALLED, "tool_calls"),
    ("tool_calls", SEARCHED, "tool_calls"),
    ("tool_calls", NAMELESS, "empty"),
    ("tool_calls", SAID | NAMELESS, "truncated"),
    ("stop", NAMELESS, "empty"),
    ("tool_calls", SAID, "truncated"),
    ("tool_calls", SPOKEN, "truncated"),
    ("tool_calls", {}, "empty"),
    ("tool_calls", THOUGHT, "empty"),
    ("length", SAID, "length"),
    ("length", THOUGHT, "empty"),
    ("sensitive", SAID, "sensitive"),
    ("sensitive", {}, "sensitive"),
    ("model_context_window_exceeded", SAID, "context_exceeded"),
    ("network_error", {}, "network_error"),
    ("network_error", SAID, "network_error"),
    ("invented_tomorrow", SAID, "other"),
    ("invented_tomorrow", {}, "empty"),
    (None, SAID, "truncated"),
    (None, THOUGHT, "truncated"),
    ("", SAID, "truncated"),
    (None, {}, "empty"),
]
FAILURES = {
    "truncated": StreamTruncatedError,
    "network_error": GenerationFailedError,
    "empty": EmptyAnswerError,
}


def answer(finish_reason, message, **facts):
    choice = Choice(finish_reason=finish_reason, message=Message(**message))
    return ChatCompletion(choices=[choice], **facts)


@pytest.mark.parametrize(("reason", "message", "outcome"), ENDS)
def test_how_an_answer_ended(reason, message, outcome):
    assert judge(answer(reason, message)) == outcome


@pytest.mark.parametrize(("reason", "message", "outcome"), ENDS)
def test_an_answer_that_one_cannot_use_is_raised(reason, message, outcome):
    whole = answer(reason, message, id="a1")
    if outcome not in FAILURES:
        assert ensure_proper_end(whole) == outcome
        return
    with pytest.raises(FAILURES[outcome]) as caught:
        ensure_proper_end(whole)
    assert caught.value.partial is whole
    assert caught.value.outcome == outcome
    assert caught.value.request_id == "a1"


@pytest.mark.parametrize(("reason", "message", "outcome"), ENDS)
def test_what_the_caller_allows_is_returned(reason, message, outcome):
    assert ensure_proper_end(answer(reason, message), {outcome}) == outcome


def test_allowing_one_end_does_not_allow_another():
    with pytest.raises(EmptyAnswerError):
        ensure_proper_end(answer("stop", {}), ["length", "truncated"])


def test_an_answer_without_choices_is_empty():
    assert judge(ChatCompletion()) == "empty"
    with pytest.raises(EmptyAnswerError, match=r"^the answer holds nothing$"):
        ensure_proper_end(ChatCompletion())


@pytest.mark.parametrize(
    ("reason", "message", "text"),
    [
        ("stop", {}, r"^the answer holds nothing$"),
        ("stop", THOUGHT, r"^the answer holds only reasoning$"),
        ("length", THOUGHT, r"^the answer holds only reasoning\. .* raise max_tokens or lower"),
    ],
)
def test_an_empty_answer_says_why(reason, message, text):
    with pytest.raises(EmptyAnswerError, match=text):
        ensure_proper_end(answer(reason, message))


@pytest.mark.parametrize(
    ("ids", "request_id"),
    [({"request_id": "r", "id": "a"}, "r"), ({"id": "a"}, "a"), ({}, None)],
)
def test_the_error_names_the_request(ids, request_id):
    with pytest.raises(StreamTruncatedError) as caught:
        ensure_proper_end(answer(None, SAID, **ids))
    assert caught.value.request_id == request_id


@pytest.mark.parametrize("outcome", ["completed", "length", "sensitive", "other"])
def test_other_streams_end_as_they_end(outcome):
    assert ensure_success(outcome) == outcome


@pytest.mark.parametrize(
    ("outcome", "error"), [("network_error", GenerationFailedError), ("empty", EmptyAnswerError)]
)
def test_other_streams_fail_unless_that_is_allowed(outcome, error):
    for allow in ((), {"truncated"}):
        with pytest.raises(error) as caught:
            ensure_success(outcome, allow)
        assert caught.value.outcome == outcome
    assert ensure_success(outcome, {outcome}) == outcome
