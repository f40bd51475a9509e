"""The emulator answers what the examples ask."""

import pytest

from zai_async.testing.emulator.prose import answer_text, known_answer, random_for, thinking_text


@pytest.mark.parametrize("prompt", ["Explain SSE", "server-sent event?", "Why is the SKY\nblue?"])
def test_expected_questions_get_their_answer(prompt):
    answer, thought = known_answer(prompt)
    assert answer_text(prompt, random_for(0)) == answer
    assert thinking_text(prompt, random_for(0)) == thought


@pytest.mark.parametrize("prompt", ["", "possessed", "Hi"])
def test_other_questions_do_not(prompt):
    assert known_answer(prompt) is None
