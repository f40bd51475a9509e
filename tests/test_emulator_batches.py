"""Batches and file parsing of the emulator."""

import json

import openai
import pytest
import zai

from tests.emulator_wire import error_of, wire
from zai_async.testing import Emulator

ENDPOINT = "/v4/chat/completions"
BATCHES = "/paas/v4/batches"
PARSER = "/paas/v4/files/parser"
NOTE = {"file": ("note.txt", b"Hello\nthere")}


def row(name, **changes):
    body = {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hello"}]}
    return {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body} | changes


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with wire(emulator) as client:
        yield client


def lines(*rows):
    return b"\n".join(json.dumps(one).encode() for one in rows) + b"\n"


async def upload(client, *rows, purpose="batch"):
    form = {"data": {"purpose": purpose}, "files": {"file": ("in.jsonl", lines(*rows))}}
    return (await client.post("/paas/v4/files", **form)).json()["id"]


async def create(client, *rows, **changes):
    body = {"input_file_id": await upload(client, *rows), "endpoint": ENDPOINT}
    return await client.post(BATCHES, json=body | changes)


async def content(client, file_id):
    reply = await client.get(f"/paas/v4/files/{file_id}/content")
    return [json.loads(line) for line in reply.text.splitlines()]


async def test_a_batch_answers_every_row(emulator, client):
    emulator.chat.reply("scripted")
    bad = row("row-003", body={"model": "nope", "messages": []})
    reply = await create(client, row("row-001"), row("row-002"), bad, metadata={"a": "b"})
    batch = reply.json()
    assert batch["created_at"] > 1_700_000_000_000  # milliseconds, as live
    assert (batch["output_file_id"], batch["completion_window"]) == (None, None)
    assert batch["request_counts"] == {"total": 3, "completed": None, "failed": None}
    running = (await client.get(f"{BATCHES}/{batch['id']}")).json()
    assert (running["status"], running["output_file_id"]) == ("in_progress", "")
    done = (await client.get(f"{BATCHES}/{batch['id']}")).json()
    assert (done["status"], done["metadata"]) == ("completed", {"a": "b"})
    assert done["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    good = await content(client, done["output_file_id"])
    assert [line["custom_id"] for line in good] == ["row-001", "row-002"]
    texts = [line["response"]["body"]["choices"][0]["message"]["content"] for line in good]
    assert (texts[0], "Hello" in texts[1]) == ("scripted", True)
    (failed,) = await content(client, done["error_file_id"])
    assert failed["response"]["status_code"] == 400
    assert failed["response"]["body"]["error"]["code"] == "1211"
    assert (await client.get(f"{BATCHES}/{batch['id']}")).json() == done


@pytest.mark.parametrize(
    ("polls", "statuses"),
    [
        (1, ["completed"]),
        (3, ["in_progress", "finalizing", "completed"]),
        (4, ["validating", "in_progress", "finalizing", "completed"]),
    ],
)
async def test_a_batch_takes_as_many_polls_as_wanted(emulator, client, polls, statuses):
    emulator.tasks.polls = polls
    batch = (await create(client, row("row-001"))).json()
    path = f"{BATCHES}/{batch['id']}"
    seen = [(await client.get(path)).json()["status"] for _ in range(polls)]
    assert (batch["status"], seen) == ("validating", statuses)


@pytest.mark.parametrize("delete", [True, False])
async def test_the_input_goes_unless_it_is_to_stay(emulator, client, delete):
    emulator.tasks.polls = 1
    batch = (await create(client, row("row-001"), auto_delete_input_file=delete)).json()
    await client.get(f"{BATCHES}/{batch['id']}")
    reply = await client.get(f"/paas/v4/files/{batch['input_file_id']}/content")
    assert (reply.status_code == 400) is delete


async def test_a_batch_can_be_cancelled_until_it_is_over(client):
    batch = (await create(client, row("row-001"))).json()
    path = f"{BATCHES}/{batch['id']}"
    assert (await client.post(f"{path}/cancel")).json()["status"] == "cancelling"
    cancelled = (await client.get(path)).json()
    assert (cancelled["status"], cancelled["output_file_id"]) == ("cancelled", "")
    assert error_of(await client.post(f"{path}/cancel")) == (400, "1210")


async def test_batches_are_listed_in_pages(client):
    ids = [(await create(client, row("row-001"))).json()["id"] for _ in range(3)]

    async def page(**query):
        body = (await client.get(BATCHES, params=query)).json()
        return [batch["id"] for batch in body["data"]], body["has_more"]

    assert await page() == (ids, False)
    assert await page(limit=2) == (ids[:2], True)
    assert await page(after=ids[1], limit=1) == (ids[2:], False)


@pytest.mark.parametrize(
    ("rows", "changes", "code"),
    [
        ([row("short")], {}, "1210"),
        ([row("row-001"), row("row-001")], {}, "1210"),
        ([row("row-001", url="/v4/embeddings")], {}, "1210"),
        ([row("row-001", method="GET")], {}, "1210"),
        ([{"custom_id": "row-001"}], {}, "1213"),
        ([], {}, "1210"),
        ([row("row-001")], {"endpoint": "/v1/chat/completions"}, "1210"),
        ([row("row-001")], {"input_file_id": "nobody"}, "1210"),
    ],
)
async def test_a_batch_that_cannot_be_is_refused(client, rows, changes, code):
    assert error_of(await create(client, *rows, **changes)) == (400, code)


async def test_files_for_other_purposes_and_unknown_batches_are_refused(client):
    file = await upload(client, row("row-001"), purpose="agent")
    assert error_of(await create(client, input_file_id=file)) == (400, "1210")
    assert error_of(await client.get(f"{BATCHES}/nobody")) == (400, "1210")


# Parsing


async def started(client, files=NOTE):
    fields = {"tool_type": "lite", "file_type": "TXT"}
    return (await client.post(f"{PARSER}/create", data=fields, files=files)).json()


async def test_a_file_is_parsed_into_its_text(client):
    task = await started(client)
    assert task == {"success": True, "message": task["message"], "task_id": task["task_id"]}
    path = f"{PARSER}/result/{task['task_id']}"
    answers = [(await client.get(f"{path}/text")).json() for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["processing", "succeeded"]
    assert [answer["content"] for answer in answers] == ["", "Hello\nthere"]
    linked = (await client.get(f"{path}/download_link")).json()
    assert (linked["content"], (await client.get(linked["parsing_result_url"])).status_code) == (
        "",
        200,
    )
    assert error_of(await client.get(f"{path}/html")) == (400, "1210")
    assert error_of(await client.get(f"{PARSER}/result/nobody/text")) == (400, "1233")


async def test_what_is_no_text_is_counted(client):
    fields = {"tool_type": "prime-sync", "file_type": "PNG"}
    files = {"file": ("a.png", b"\x89PNG")}
    answer = (await client.post(f"{PARSER}/sync", data=fields, files=files)).json()
    assert (answer["status"], answer["content"]) == ("succeeded", "a.png has 4 bytes.")


async def test_a_missing_type_is_reported_with_200(client):
    reply = await client.post(f"{PARSER}/sync", data={"tool_type": "prime-sync"}, files=NOTE)
    assert (reply.status_code, reply.json()["code"]) == (200, 500)
    assert "'file_type'" in reply.json()["msg"]


@pytest.mark.parametrize("probability", [True, False])
async def test_handwriting_is_read_line_by_line(client, probability):
    fields = {"tool_type": "hand_write", "probability": str(probability).lower()}
    answer = (await client.post("/paas/v4/files/ocr", data=fields, files=NOTE)).json()
    assert (answer["status"], answer["words_result_num"]) == ("succeeded", 2)
    assert [line["words"] for line in answer["words_result"]] == ["Hello", "there"]
    assert ["probability" in line for line in answer["words_result"]] == [probability] * 2


async def test_reset_forgets_batches_and_parsings(emulator, client):
    batch = (await create(client, row("row-001"))).json()
    task = await started(client)
    emulator.reset()
    await emulator.wait_closed()
    async with wire(emulator) as fresh:
        assert error_of(await fresh.get(f"{BATCHES}/{batch['id']}")) == (400, "1210")
        lost = await fresh.get(f"{PARSER}/result/{task['task_id']}/text")
        assert error_of(lost) == (400, "1233")


# Other people's clients


async def test_openai_runs_a_batch(emulator):
    emulator.tasks.polls = 1
    async with openai.AsyncOpenAI(api_key="key.secret", base_url=emulator.url) as client:
        file = await client.files.create(file=("in.jsonl", lines(row("row-001"))), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
        )
        done = await client.batches.retrieve(batch.id)
        assert (done.status, done.request_counts.completed) == ("completed", 1)


def test_zai_runs_a_batch_and_a_parser():
    with Emulator() as emulator, zai.ZaiClient(api_key="key.secret", base_url=emulator.url) as sdk:
        file = sdk.files.create(file=("in.jsonl", lines(row("row-001"))), purpose="batch")
        batch = sdk.batches.create(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
        )
        assert sdk.batches.retrieve(batch.id).status == "in_progress"
        assert sdk.batches.retrieve(batch.id).status == "completed"
        parsed = sdk.file_parser.create(file=NOTE["file"], file_type="TXT", tool_type="lite")
        assert parsed.task_id
