"""Files of the emulator, and the forms that carry them."""

import hashlib

import httpx
import openai
import pytest
import zai
from hypothesis import given
from hypothesis import strategies as st

from tests.emulator_wire import error_of, wire
from zai_async.testing import Emulator
from zai_async.testing.emulator.requests import read_form

FILES = "/paas/v4/files"
LINES = ("in.jsonl", b"{}\r\n{}\n")


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with wire(emulator) as client:
        yield client


async def upload(client, name="a.pdf", data=b"x", purpose="agent"):
    return await client.post(FILES, data={"purpose": purpose}, files={"file": (name, data)})


async def test_an_upload_is_kept_byte_by_byte(emulator, client):
    data = bytes(range(256)) * 300
    reply = await upload(client, "glossary ü.pdf", data)
    document = reply.json()
    assert document.pop("created_at") > 1_700_000_000
    assert document == {
        "id": document["id"],
        "object": "file",
        "bytes": len(data),
        "filename": "glossary ü.pdf",
        "purpose": "agent",
    }
    file = emulator.files[document["id"]]
    assert (file.data, file.sha256) == (data, hashlib.sha256(data).hexdigest())
    fetched = await client.get(f"{FILES}/{file.id}/content")
    assert fetched.headers["Content-Type"] == "application/octet-stream"
    assert fetched.content == data


@pytest.mark.parametrize(
    ("fields", "files", "code"),
    [
        ({}, {"file": LINES}, "1213"),
        ({"purpose": "agent"}, {"other": LINES}, "1213"),
        ({"purpose": "fine-tune"}, {"file": LINES}, "1210"),
        ({"purpose": "batch"}, {"file": ("in.txt", b"")}, "1210"),
    ],
)
async def test_an_upload_that_cannot_be_is_refused(emulator, client, fields, files, code):
    assert error_of(await client.post(FILES, data=fields, files=files)) == (400, code)
    assert len(emulator.files) == 0


async def test_a_body_that_is_not_a_form_holds_nothing(client):
    assert error_of(await client.post(FILES, json={"purpose": "agent"})) == (400, "1213")


async def test_a_large_file_is_answered_with_435(emulator, client):
    assert emulator.files.limit == 100 * 1024 * 1024
    emulator.files.limit = 10
    assert error_of(await upload(client, data=b"x" * 11)) == (435, "1210")
    assert (await upload(client, data=b"x" * 10)).status_code == 200


async def test_lists_come_in_pages(client):
    ids = [(await upload(client, *LINES, "batch")).json()["id"] for _ in range(3)]
    await upload(client)

    async def page(**query):
        reply = await client.get(FILES, params={"purpose": "batch"} | query)
        body = reply.json()
        assert body["object"] == "list"
        return [file["id"] for file in body["data"]], body["has_more"]

    assert len(set(ids)) == 3
    assert await page() == (ids, False)
    assert await page(limit=2) == (ids[:2], True)
    assert await page(limit=2, after=ids[1], order="created_at") == (ids[2:], False)
    assert await page(after=ids[2]) == ([], False)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "1213"),
        ({"purpose": "batch", "limit": 101}, "1210"),
        ({"purpose": "batch", "limit": "many"}, "1210"),
        ({"purpose": "batch", "after": "nobody"}, "1210"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(client, query, code):
    assert error_of(await client.get(FILES, params=query)) == (400, code)


async def test_a_deleted_file_is_gone(client):
    file = (await upload(client)).json()["id"]
    reply = await client.delete(f"{FILES}/{file}")
    assert reply.json() == {"id": file, "object": "file", "deleted": True}
    assert error_of(await client.get(f"{FILES}/{file}/content")) == (400, "1210")
    assert error_of(await client.delete(f"{FILES}/{file}")) == (400, "1210")


# Forms


@given(
    st.dictionaries(st.sampled_from(["purpose", "model", "stream"]), st.text(), max_size=3),
    st.dictionaries(st.sampled_from(["file", "voice_data"]), st.binary(), max_size=2),
)
def test_every_form_is_read_as_it_was_meant(texts, files):
    parts = {name: (None, text) for name, text in texts.items()}
    parts |= {name: ("a.bin", data, "x/y") for name, data in files.items()}
    request = httpx.Request("POST", "http://test/", files=parts or {"none": (None, "")})
    form = read_form(request.headers["Content-Type"], request.read())
    assert form.fields == (texts if parts else {"none": ""})
    assert {name: upload.data for name, upload in form.files.items()} == files
    assert {upload.content_type for upload in form.files.values()} <= {"x/y"}


@given(st.text(), st.binary())
def test_no_body_breaks_the_reader(name, data):
    text = name.replace("\r", "").encode(errors="replace")
    head = b'Content-Disposition: form-data; name="' + text + b'"'
    body = b"--b\r\n" + head + b"\r\n\r\n" + data + b"\r\n--b--\r\n"
    for whole in (body, data):
        form = read_form("multipart/form-data; boundary=b", whole)
        assert len(form.fields) + len(form.files) <= 1 + data.count(b"--b")


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "multipart/mixed"])
def test_other_bodies_give_an_empty_form(kind):
    form = read_form(kind, b"--x\r\n")
    assert (form.fields, form.files) == ({}, {})


def test_names_that_come_more_than_once_are_lists():
    def part(name, text):
        head = f'Content-Disposition: form-data; name="{name}"'
        return f"--b\r\n{head}\r\n\r\n{text}\r\n".encode()

    body = part("hotwords[]", "a") + part("x", "1") + part("x", "2") + b"--b--\r\n"
    form = read_form("multipart/form-data; boundary=b", body)
    assert form.fields == {"hotwords": ["a"], "x": ["1", "2"]}


# Other people's clients


async def test_openai_uploads_lists_fetches_and_deletes(emulator):
    async with openai.AsyncOpenAI(api_key="key.secret", base_url=emulator.url) as client:
        file = await client.files.create(file=LINES, purpose="batch")
        page = await client.files.list(purpose="batch", limit=1)
        assert [one.id for one in page.data] == [file.id]
        assert (await client.files.content(file.id)).content == LINES[1]
        assert (await client.files.delete(file.id)).deleted


def test_zai_uploads_lists_fetches_and_deletes():
    with Emulator() as emulator, zai.ZaiClient(api_key="key.secret", base_url=emulator.url) as sdk:
        file = sdk.files.create(file=LINES, purpose="batch")
        assert emulator.files[file.id].data == LINES[1]
        assert [one.id for one in sdk.files.list(purpose="batch").data] == [file.id]
        assert sdk.files.content(file.id).content == LINES[1]
        assert sdk.files.delete(file.id).deleted
