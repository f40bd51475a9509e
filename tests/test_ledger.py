"""What the ledger says of calls, whichever way they ended, and what budgets refuse."""

import gc
import pickle

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import virtual_loop
from tests.calls import ASK, COMPLETION, FakeClock, ask, client, scripted
from tests.chat_wire import GOOD, USAGE, body, texts
from zai_async import (
    AsyncZai,
    BadRequestError,
    Budget,
    BudgetExceededError,
    CallOptions,
    ConfigurationError,
    ConnectionLostError,
    Price,
    RetryPolicy,
    ServerError,
    StreamTruncatedError,
    Usage,
    ledger,
)
from zai_async.ledger import Ledger, Spending, _Tally
from zai_async.models.chat import CompletionTokensDetails, PromptTokensDetails
from zai_async.testing import FakeReply, FakeTransport

PRICES = {"glm-5.3": Price(prompt=1.0, completion=3.0, cached=0.5), "cogview": Price(call=0.01)}
TOLD = FakeReply.json(COMPLETION | {"usage": USAGE})
DOWN = FakeReply.json({"error": {"code": "1234"}}, status=500)
AGENT = {"id": "a", "agent_id": "x", "choices": [{"messages": [{"content": "Hi"}]}]}


def told(prompt, completion, *, cached=0, reasoning=0):
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning),
    )


# The books


def test_a_ledger_starts_empty():
    ledger = Ledger()
    assert (ledger.total, ledger.by_model(), ledger.by_tag()) == (Spending(), {}, {})


def test_a_call_is_written_down_under_its_model_and_its_tag():
    ledger = Ledger()
    ledger.record("a", "x", attempts=2, usage=told(10, 5, cached=4, reasoning=3))
    ledger.record("a", None, attempts=1, unknown=True)
    ledger.record("b", "x", attempts=1)
    assert ledger.by_model()["a"] == Spending(
        calls=2,
        attempts=3,
        unknown=1,
        prompt_tokens=10,
        cached_tokens=4,
        completion_tokens=5,
        reasoning_tokens=3,
        unpriced=1,
    )
    assert ledger.by_tag()["x"].calls == 2
    assert ledger.by_tag()[None].unknown == 1
    assert ledger.total.tokens == 15


def test_money_is_counted_where_prices_are_known():
    ledger = Ledger(PRICES)
    ledger.record("glm-5.3", None, attempts=1, usage=told(1_000_000, 1_000_000, cached=400_000))
    ledger.record("cogview", None, attempts=1, billed=True)
    ledger.record("COGVIEW", None, attempts=1)
    ledger.record("glm-6", None, attempts=1, usage=told(1, 1))
    assert ledger.by_model()["glm-5.3"].cost == pytest.approx(0.6 + 0.2 + 3.0)
    assert ledger.by_model()["cogview"].cost == 0.01
    assert (ledger.total.unpriced, ledger.by_model()["glm-6"].cost) == (1, 0.0)


def test_cached_tokens_cost_what_others_do_unless_told_otherwise():
    ledger = Ledger({"m": Price(prompt=2.0)})
    ledger.record("m", None, attempts=1, usage=told(1_000_000, 0, cached=1_000_000))
    assert ledger.total.cost == 2.0


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (Usage(total_tokens=7), (0, 0, 7)),
        (Usage(prompt_tokens=3, total_tokens=7), (3, 0, 4)),
        (Usage(prompt_tokens=3, completion_tokens=4), (3, 4, 0)),
        (Usage(prompt_tokens=3, completion_tokens=4, total_tokens=5), (3, 4, 0)),
        (Usage(), (0, 0, 0)),
    ],
)
def test_tokens_told_in_a_total_only_are_counted_and_priced_as_the_dearer(usage, tokens):
    ledger, budget = Ledger({"m": Price(prompt=1, completion=3)}), Budget(tokens=100)
    ledger.record("m", None, attempts=1, usage=usage, budgets=[budget])
    total = ledger.total
    assert (total.prompt_tokens, total.completion_tokens, total.undivided_tokens) == tokens
    assert total.tokens == budget.tokens_spent == sum(tokens)
    assert total.cost == pytest.approx((tokens[0] + 3 * tokens[1] + 3 * tokens[2]) / 1e6)


def test_a_prompt_is_dearer_where_that_is_the_price():
    ledger = Ledger({"m": Price(prompt=2, completion=1)})
    assert ledger.cost_of("m", Usage(total_tokens=1_000_000)) == 2.0


def test_the_sum_of_counts_keeps_what_each_of_them_tells():
    parts, whole = Usage(prompt_tokens=3, completion_tokens=4), Usage(total_tokens=7)
    both = parts + whole
    assert (both.prompt_tokens, both.completion_tokens) == (3, 4)
    assert (both.total_tokens, both.undivided_tokens) == (14, 7)


def test_more_cached_tokens_than_the_prompt_has_do_not_refill_a_budget():
    ledger, budget = Ledger(PRICES), Budget(cost=1.0)
    for usage in (told(0, 0, cached=10**9), told(1_000_000, 0, cached=10**9)):
        ledger.record("glm-5.3", None, attempts=1, usage=usage, budgets=[budget])
    assert budget.cost_spent == ledger.total.cost == 0.5


AMOUNTS = st.integers(0, 10**9)
LINES = st.tuples(
    st.sampled_from("abc"), st.sampled_from(["x", None]), AMOUNTS, AMOUNTS, st.booleans()
)


@given(st.lists(LINES))
def test_models_and_tags_add_up_to_the_total(lines):
    ledger, budget = Ledger(), Budget(tokens=1)
    for model, tag, prompt, completion, unknown in lines:
        usage = told(prompt, completion)
        ledger.record(model, tag, attempts=1, usage=usage, unknown=unknown, budgets=[budget])
    assert sum(ledger.by_model().values(), Spending()) == ledger.total
    assert sum(ledger.by_tag().values(), Spending()) == ledger.total
    assert budget.tokens_spent == ledger.total.tokens == sum(line[2] + line[3] for line in lines)
    assert ledger.total.calls == len(lines)


# Calls


async def test_the_ledger_agrees_with_the_platform(zai_emulator):
    """70 answers, 20 of them at the second attempt, and 30 calls that are cancelled."""
    retry = RetryPolicy()
    async with client(zai_emulator.url, retry=retry, clock=FakeClock()) as zai:
        for _ in range(20):
            zai_emulator.fault(code="1234")
            await ask(zai)
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(ask, zai)
        zai_emulator.fault(silence_after=(600, 60.0), times=30)
        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(cancelled, zai, number % 2)
        total = zai.usage.total
        assert (total.calls, total.attempts, total.unknown) == (100, 120, 30)
        assert total.attempts == len(zai_emulator.requests)
        assert total.tokens > 0
        assert zai.usage.by_model().keys() == {"glm-5.3"}


async def cancelled(zai, entered):
    stream = zai.chat.completions.stream(**ASK)
    with anyio.CancelScope() as scope:
        if entered:
            async with stream:
                await anext(stream)
                scope.cancel()
                await stream.completion()
        await anext(stream)
        scope.cancel()
        await anext(stream)
    await stream.aclose()


async def test_what_was_refused_has_used_nothing():
    zai, _ = scripted(DOWN, retry=RetryPolicy(retries=1))
    async with zai:
        for call in (ask(zai), zai.chat.completions.stream(**ASK).completion()):
            with pytest.raises(ServerError):
                await call
    assert zai.usage.total == Spending(calls=2, attempts=4)


async def test_a_lost_attempt_is_unknown_although_the_next_one_succeeds():
    lost = FakeReply(headers=TOLD.headers, steps=(ConnectionLostError("gone"),))
    zai, _ = scripted(lost, TOLD)
    async with zai:
        answer = await ask(zai)
    assert [attempt.maybe_billed for attempt in answer.attempts] == [True, False]
    assert (zai.usage.total.tokens, zai.usage.total.unknown) == (12, 1)


@pytest.mark.filterwarnings("ignore:.*was never closed:ResourceWarning")
@pytest.mark.parametrize("read", ["completion", "break", "forgotten"])
async def test_streams_are_counted_once(read):
    zai, _ = scripted(FakeReply.stream(GOOD), FakeReply.stream(GOOD[:200], 60.0, GOOD[200:]))
    async with zai, zai.chat.completions.stream(**ASK) as stream:
        assert (await stream.completion()).usage.total_tokens == 12
        await stream.aclose()
        assert (zai.usage.total.calls, zai.usage.total.tokens) == (1, 12)
        if read == "completion":
            return
        other = zai.chat.completions.stream(**ASK)
        await anext(other)
        if read == "forgotten":
            del other
            gc.collect()
        else:
            await other.aclose()
            await other.aclose()
        assert zai.usage.total == zai.usage.by_model()["glm-5.3"]
        assert (zai.usage.total.calls, zai.usage.total.unknown) == (2, 1)


async def test_a_cut_stream_is_unknown():
    zai, _ = scripted(FakeReply.stream(body(texts("Hello"), done=False)))
    async with zai, zai.chat.completions.stream(**ASK) as stream:
        with pytest.raises(StreamTruncatedError):
            await stream.completion()
    assert (zai.usage.total.calls, zai.usage.total.unknown) == (1, 1)


async def test_usage_told_in_the_answer_counts_although_the_answer_is_not_good():
    """Nothing but usage: an error of the caller's call, but paid for."""
    empty = body(
        [{"choices": [{"index": 0, "finish_reason": "stop", "delta": {}}], "usage": USAGE}]
    )
    zai, _ = scripted(FakeReply.stream(empty))
    async with zai, zai.chat.completions.stream(**ASK, options=CallOptions(retries=0)) as stream:
        with pytest.raises(Exception, match="nothing"):
            await stream.completion()
    assert (zai.usage.total.tokens, zai.usage.total.unknown) == (12, 0)


async def test_an_answer_that_tells_nothing_is_unknown():
    zai, _ = scripted(FakeReply.json(COMPLETION))
    async with zai:
        await ask(zai)
    assert (zai.usage.total.calls, zai.usage.total.unknown) == (1, 1)


async def test_calls_that_use_no_tokens_are_never_unknown():
    models = FakeReply.json({"data": []})
    zai, _ = scripted(models, FakeReply.json({"search_result": []}))
    async with zai:
        await zai.models.list()
        await zai.web_search.create(search_engine="search-prime", search_query="x")
    assert zai.usage.total == Spending(calls=2, attempts=2)
    assert zai.usage.by_model().keys() == {"models.list", "web_search.create"}


async def test_agents_count_their_tokens_too():
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    stream = FakeReply.sse(AGENT | {"usage": usage})
    zai, _ = scripted(FakeReply.json(AGENT | {"usage": usage}), FakeReply.json(AGENT), stream)
    async with zai:
        params = {"agent_id": "x", "messages": "Hi"}
        await zai.agents.invoke(**params)
        await zai.agents.invoke(**params)
        async with zai.agents.stream(**params) as answer:
            await answer.reply()
    assert zai.usage.by_model()["x"] == Spending(
        calls=3, attempts=3, prompt_tokens=6, completion_tokens=8, unpriced=2
    )


async def test_agents_that_tell_a_total_only_use_up_a_budget():
    """Those that draw slides do: what they used went under for nothing."""
    usage, budget = {"total_tokens": 7}, Budget(tokens=7)
    stream = FakeReply.sse(AGENT | {"usage": usage})
    zai, _ = scripted(FakeReply.json(AGENT | {"usage": usage}), stream, budget=budget)
    params = {"agent_id": "x", "messages": "Hi"}
    async with zai:
        await zai.agents.invoke(**params)
        with pytest.raises(BudgetExceededError, match="7 of 7"):
            await zai.agents.invoke(**params)
        budget.tokens = 8
        async with zai.agents.stream(**params) as answer:
            await answer.reply()
    assert zai.usage.total == Spending(calls=2, attempts=2, undivided_tokens=14, unpriced=2)
    assert budget.tokens_spent == 14


RUNNING = FakeReply.json({"id": "1", "model": "GLM-5.3", "task_status": "PROCESSING"})
DONE = FakeReply.json({**COMPLETION, "id": "1", "task_status": "SUCCESS", "usage": USAGE})


async def test_the_tokens_of_a_task_count_once_and_where_it_was_submitted():
    budget = Budget(cost=1.0)
    options = CallOptions(tag="night", budget=budget)
    zai, _ = scripted(RUNNING, RUNNING, DONE, provider="bigmodel", prices=PRICES)
    async with zai:
        task = await zai.chat.completions.submit(**ASK, options=options)
        await task.fetch()
        assert zai.usage.total.tokens == 0
        await task.fetch()
        await zai.chat.completions.task("1").fetch()
    night = zai.usage.by_tag()["night"]
    assert (night.calls, night.tokens, night.unknown) == (1, 12, 0)
    assert zai.usage.total.tokens == 12
    assert zai.usage.by_model()["glm-5.3"].cost == night.cost == budget.cost_spent > 0


async def test_the_tokens_of_a_task_of_somebody_elses_count_under_its_model():
    zai, _ = scripted(DONE, provider="bigmodel", prices=PRICES)
    async with zai:
        for _ in range(2):
            await zai.chat.completions.task("1").fetch()
    spent = zai.usage.by_model()
    assert (spent["glm-5.3"].calls, spent["glm-5.3"].tokens) == (0, 12)
    assert (spent["tasks.result"].calls, spent["tasks.result"].tokens) == (2, 0)


def test_nothing_that_is_counted_is_left_out_of_what_is_shown():
    assert _Tally.__struct_fields__ == Spending.__struct_fields__


def test_old_work_is_forgotten(monkeypatch):
    monkeypatch.setattr("zai_async.ledger._MOST_JOBS", 1)
    ledger = Ledger()
    for job in ("a", "b", "a"):
        ledger.settle(job, "m", None, told(1, 0))
    assert ledger.total.tokens == 3
    ledger.submitted("c", "n", None)
    ledger.submitted("d", "n", None)
    ledger.settle("c", "m", None, told(1, 0))
    assert (ledger.by_model()["m"].tokens, "n" in ledger.by_model()) == (4, False)


async def test_only_what_was_delivered_costs_the_price_of_a_call():
    """Not what was refused, never sent, only asked about, or free."""
    prices = {"m": Price(call=1.0), "x": Price(call=1.0)}
    refused = FakeReply.json({"error": {"code": "1210"}}, status=400)
    lost = FakeReply(failure=ConnectionLostError("gone"))
    pending = FakeReply.json({"agent_id": "x", "async_id": "7", "status": "pending"})
    count = FakeReply.json({"usage": {"prompt_tokens": 3}})
    zai, _ = scripted(
        refused, lost, count, pending, pending, FakeReply.json(COMPLETION), prices=prices
    )
    async with zai:
        for _ in range(2):
            with pytest.raises((BadRequestError, ConnectionLostError)):
                await ask(zai, model="m", options=CallOptions(retries=0))
        await zai.tokenizer.count(model="m", messages="Hi")
        assert zai.usage.total.cost == 0
        task = await zai.agents.submit(agent_id="x", messages="Hi")
        await task.fetch()
        assert zai.usage.total.cost == 1.0
        await ask(zai, model="m")
    assert zai.usage.total.cost == 2.0


async def test_what_is_no_task_is_not_remembered_as_one():
    zai, _ = scripted(TOLD)
    async with zai:
        await ask(zai)
    assert not zai.usage._jobs


async def test_a_submission_that_is_answered_at_once_submits_nothing():
    whole = AGENT | {"usage": {"total_tokens": 3, "prompt_tokens": 1, "completion_tokens": 2}}
    zai, _ = scripted(FakeReply.json(whole))
    async with zai:
        await zai.agents.submit(agent_id="x", messages="Hi")
    assert (zai.usage.total.calls, zai.usage.total.tokens) == (1, 3)


async def test_a_call_that_waited_in_vain_sent_nothing():
    transport = FakeTransport(FakeReply(delay=60.0))
    async with AsyncZai(api_key="k", transport=transport, limits=1) as zai:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, zai)
            group.start_soon(ask, zai)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert zai.usage.total == Spending(calls=1, attempts=1, unknown=1)


async def test_derived_clients_share_the_ledger():
    zai, _ = scripted(TOLD)
    async with zai:
        other = zai.with_options(timeout=5)
        await ask(other, options=CallOptions(tag="night"))
        assert zai.usage is other.usage
        assert zai.usage.by_tag()["night"].tokens == 12


# Budgets


@pytest.mark.parametrize("limit", [{"tokens": 0}, {"cost": -1.0}, {"cost": float("nan")}])
def test_budgets_that_make_no_sense(limit):
    with pytest.raises(ValueError, match="above 0"):
        Budget(**limit)


def test_a_budget_can_be_stored():
    budget = Budget(tokens=10, cost=1.0)
    budget.charge(tokens=3, cost=0.5)
    assert pickle.loads(pickle.dumps(budget)) == budget


@pytest.mark.parametrize("place", ["client", "call", "derived"])
async def test_a_budget_refuses_before_sending(place):
    budget = Budget(tokens=20)
    models = FakeReply.json({"object": "list", "data": []})
    zai, transport = scripted(TOLD, TOLD, models, budget=budget if place == "client" else None)
    options = CallOptions(budget=budget if place == "call" else None)
    async with zai:
        used = zai.with_options(budget=budget) if place == "derived" else zai
        await ask(used, options=options)
        await ask(used, options=options)
        with pytest.raises(BudgetExceededError, match="24 of 20 tokens are spent") as caught:
            await ask(used, options=options)
        await used.models.list()  # costs nothing
    assert (caught.value.attempts, len(transport.requests)) == ((), 3)
    assert zai.usage.by_model()["glm-5.3"].calls == 2


async def test_a_budget_in_money():
    zai, transport = scripted(TOLD, budget=Budget(cost=0.00002), prices=PRICES)
    async with zai:
        await ask(zai)
        with pytest.raises(BudgetExceededError, match=r"2\.2e-05 of 2e-05 is spent"):
            await ask(zai)
        with pytest.raises(ConfigurationError, match="needs the price of 'glm-6'"):
            await ask(zai.with_options(budget=Budget(cost=1.0)), model="glm-6")
    assert len(transport.requests) == 1


def test_a_budget_is_exceeded_by_no_more_than_what_is_in_flight():
    async def work():
        transport = FakeTransport(msgspec.structs.replace(TOLD, delay=1.0))
        budget, refused = Budget(tokens=120), []

        async def one(zai):
            try:
                await ask(zai)
            except BudgetExceededError as error:
                refused.append(error)

        async with (
            AsyncZai(api_key="k", transport=transport, budget=budget, limits=4) as zai,
            anyio.create_task_group() as group,
        ):
            for _ in range(100):
                group.start_soon(one, zai)
        assert 120 <= budget.tokens_spent <= 120 + 3 * 12
        assert len(transport.requests) + len(refused) == 100

    virtual_loop.run(work())


async def test_a_budget_that_ends_between_two_attempts():
    budget = Budget(tokens=1)

    def reply(_):
        budget.charge(tokens=5, cost=0.0)  # another call has ended
        return DOWN

    zai, transport = scripted(reply, budget=budget)
    async with zai:
        with pytest.raises(BudgetExceededError) as caught:
            await ask(zai)
    assert len(transport.requests) == zai.usage.total.attempts == 1
    assert [attempt.code for attempt in caught.value.attempts] == ["1234"]


def test_a_tag_for_each_user_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(ledger, "_MOST_ACCOUNTS", 10)
    book = Ledger()
    usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    for number in range(100):
        book.record("glm", "often", attempts=1, usage=usage)
        book.record("glm", f"user {number}", attempts=1, usage=usage)
    assert len(book.by_tag()) == 10
    assert book.by_tag()["often"].calls == 100
    assert "user 99" in book.by_tag()
    assert "user 9" not in book.by_tag()
    assert (book.total.calls, book.total.tokens) == (200, 600)
