"""Tasks whose answers are values of a type, here and in another process."""

import json
import pickle
from dataclasses import dataclass

import pytest

from tests.batches import completion
from tests.task_wire import RECEIPT, played
from zai_async import ConfigurationError, IncompleteError, StructuredOutputError, wait_all
from zai_async.models import ChatResult
from zai_async.tasks import ParsedResult
from zai_async.testing import FakeReply

ASK = {"model": "glm-5.3", "messages": "Name a colour."}


@dataclass
class Colour:
    name: str


def answered(text, **choice):
    answer = completion(text)
    answer["choices"][0].update(choice)
    return FakeReply.json({**answer, "id": "t-1", "task_status": "SUCCESS"})


RUNNING = FakeReply.json({"id": "t-1", "task_status": "PROCESSING"})


def test_a_result_is_a_value_of_the_type():
    seen = []

    async def work(zai):
        task = await zai.chat.completions.submit(schema=Colour, **ASK)
        answer = await task.wait(on_update=lambda update: seen.append(update.parsed))
        assert task.result() is answer
        assert await wait_all([task]) == [answer]
        return answer

    answer, wire = played(work, RECEIPT, RUNNING, answered('{"name": "blue"}'))
    assert isinstance(answer, ParsedResult)
    assert (answer.parsed, answer.text) == (Colour("blue"), '{"name": "blue"}')
    assert answer.attempts
    assert seen == [None, Colour("blue")]
    body = json.loads(wire.requests[0].body)
    assert body["response_format"] == {"type": "json_object"}
    assert '"name"' in body["messages"][0]["content"]
    assert pickle.loads(pickle.dumps(answer)).parsed == Colour("blue")


def test_a_task_that_was_submitted_elsewhere_is_read_as_well():
    async def work(zai):
        task = zai.chat.completions.task("t-1", schema=Colour)
        again = zai.attach(pickle.loads(pickle.dumps(task)))
        assert again == task
        plain = await zai.chat.completions.task("t-1").wait()
        assert type(plain) is ChatResult
        return await again.wait()

    answer, _ = played(work, answered('{"name": "red"}'))
    assert answer.parsed == Colour("red")


def test_what_does_not_fit_is_told_with_its_text():
    async def work(zai):
        task = await zai.chat.completions.submit(schema=Colour, **ASK)
        with pytest.raises(StructuredOutputError, match="does not fit Colour") as caught:
            await task.wait()
        assert caught.value.task is task
        assert (caught.value.raw, caught.value.usage.total_tokens) == ('{"name": 3}', 7)
        # It has ended, and is not asked about again.
        assert task.done
        with pytest.raises(StructuredOutputError):
            task.result()

    _, wire = played(work, RECEIPT, answered('{"name": 3}'))
    assert len(wire.requests) == 2


def test_an_answer_without_a_proper_end_is_judged_first():
    async def work(zai):
        task = await zai.chat.completions.submit(schema=Colour, **ASK)
        with pytest.raises(IncompleteError):
            await task.wait()

    played(work, RECEIPT, answered("", finish_reason="network_error"))


def test_a_type_without_schema_is_refused_before_anything_is_sent():
    async def work(zai):
        with pytest.raises(ConfigurationError, match="has no schema"):
            await zai.chat.completions.submit(schema=object, **ASK)
        with pytest.raises(ConfigurationError, match="has no schema"):
            zai.chat.completions.task("t-1", schema=object)

    assert played(work, RECEIPT)[1].requests == []
