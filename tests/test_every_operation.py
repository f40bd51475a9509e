"""Every operation through every gateway, end to end against the emulator's dialects.

The table in docs/gateways.md names these tests; `test_every_operation_is_here` keeps them complete.
"""

import json
import re
from pathlib import Path

import pytest

from tests.test_resources import CASES
from tests.test_uploads import PNG, wav
from zai_async import AsyncZai, ConfigurationError, RetryPolicy
from zai_async import _operations as ep
from zai_async._wire import Operation
from zai_async.providers import (
    BIGMODEL,
    BIGMODEL_CODING,
    LOWCODEAPI,
    LOWCODEAPI_CODING,
    PROVIDERS,
    ZAI,
    ZAI_CODING,
    truto,
)

TEXT = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
BODY = {"model": "glm-4.6", "messages": [{"role": "user", "content": "hi"}]}
ROW = {"custom_id": "row-001", "method": "POST", "url": "/v4/chat/completions", "body": BODY}
ROWS = json.dumps(ROW).encode() + b"\n"


async def chat(zai):
    answer = await zai.chat.completions.create(model="glm-4.6", messages="hello")
    async with zai.chat.completions.stream(model="glm-4.6", messages="hello") as stream:
        return answer.text == (await stream.completion()).text != ""


async def async_chat(zai):
    task = await zai.chat.completions.submit(model="glm-4.6", messages="hello")
    return (await task.fetch()).text


async def video(zai):
    task = await zai.videos.submit(model="cogvideox-3", prompt="a lighthouse")
    return (await task.fetch()).url


async def async_image(zai):
    task = await zai.images.submit(model="glm-image", prompt="a lighthouse", quality="hd")
    return (await task.fetch()).url


async def image(zai):
    return (await zai.images.generate(model="glm-image", prompt="a lighthouse")).url


async def transcription(zai):
    params = {"model": "glm-asr-2512", "file": ("a.wav", wav(0.2))}
    text = (await zai.audio.transcriptions.create(**params)).text
    async with zai.audio.transcriptions.stream(**params) as stream:
        return text == (await stream.transcription()).text != ""


async def speech(zai):
    return (await zai.audio.speech.create(model="glm-tts", input="hello")).content


async def batch(zai):
    file = await zai.files.create(file=("rows.jsonl", ROWS), purpose="batch")
    made = await zai.batches.create(input_file_id=file.id, endpoint="/v4/chat/completions")
    return (await zai.batches.retrieve(made.id)).id == made.id


async def cancelled_batch(zai):
    file = await zai.files.create(file=("rows.jsonl", ROWS), purpose="batch")
    made = await zai.batches.create(input_file_id=file.id, endpoint="/v4/chat/completions")
    return (await zai.batches.cancel(made.id)).status


async def listed_batches(zai):
    return await zai.batches.list() is not None


async def uploaded(zai):
    return (await zai.files.create(file=("a.pdf", b"%PDF-1.4"), purpose="agent")).id


async def content(zai):
    file = await zai.files.create(file=("rows.jsonl", ROWS), purpose="batch")
    return (await zai.files.content(file.id)).content == ROWS


async def deleted(zai):
    file = await zai.files.create(file=("rows.jsonl", ROWS), purpose="batch")
    return (await zai.files.delete(file.id)).deleted


async def listed_files(zai):
    return await zai.files.list(purpose="batch") is not None


async def parsed(zai):
    return (
        await zai.file_parser.parse(
            file=("a.pdf", b"%PDF-1.4"), tool_type="prime-sync", file_type="PDF"
        )
    ).content


async def parser_task(zai):
    task = await zai.file_parser.submit(
        file=("a.pdf", b"%PDF-1.4"), tool_type="lite", file_type="PDF"
    )
    return (await task.fetch()).content


async def cloned(zai):
    file = await zai.files.create(file=("a.wav", wav(4)), purpose="voice-clone-input")
    voice = await zai.voices.clone(
        model="glm-tts-clone", voice_name="mine", input="hello", file_id=file.id
    )
    return voice.voice


async def removed_voice(zai):
    return (await zai.voices.delete(voice=await cloned(zai))).voice


async def agent(zai):
    variables = {"target_lang": "de"}
    return (
        await zai.agents.invoke(
            agent_id="general_translation", messages=TEXT, custom_variables=variables
        )
    ).text


async def agent_task(zai):
    task = await zai.agents.submit(
        agent_id="vidu_template_agent",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "dance"},
                    {"type": "image_url", "image_url": "https://example.org/a.png"},
                ],
            }
        ],
        custom_variables={"template": "bodyshake"},
    )
    return (await task.fetch()).urls


async def conversation(zai):
    async with zai.agents.stream(agent_id="slides_glm_agent", messages=TEXT) as stream:
        await stream.reply()
    return (
        await zai.agents.conversation(
            agent_id="slides_glm_agent",
            conversation_id=stream.conversation_id,
            custom_variables={"include_pdf": True},
        )
    ).urls


OPERATIONS = {
    "chat.completions.create": chat,
    "chat.completions.submit": async_chat,
    "videos.submit": video,
    "images.generate": image,
    "images.submit": async_image,
    "tasks.result": video,
    "audio.transcriptions.create": transcription,
    "audio.speech.create": speech,
    "voices.clone": cloned,
    "voices.delete": removed_voice,
    "files.create": uploaded,
    "files.list": listed_files,
    "files.delete": deleted,
    "files.content": content,
    "file_parser.submit": parser_task,
    "file_parser.result": parser_task,
    "file_parser.parse": parsed,
    "ocr.handwriting": lambda zai: zai.ocr.handwriting(file=("a.png", PNG)),
    "batches.create": batch,
    "batches.list": listed_batches,
    "batches.retrieve": batch,
    "batches.cancel": cancelled_batch,
    "agents.invoke": agent,
    "agents.result": agent_task,
    "agents.conversation": conversation,
    "quota": lambda zai: zai.quota(),
}


def simple(case):
    """Make the call of a case of tests/test_resources.py."""

    async def call(zai):
        for part in case.name.split("."):
            zai = getattr(zai, part)
        return await zai(**case.params)

    return call


OPERATIONS = {case.name: simple(case) for case in CASES} | OPERATIONS
GATEWAYS = {
    "zai": (ZAI, "root_url", "id.secret"),
    "zai-coding": (ZAI_CODING, "root_url", "id.secret"),
    "bigmodel": (BIGMODEL, "root_url", "id.secret"),
    "bigmodel-coding": (BIGMODEL_CODING, "root_url", "id.secret"),
    "lowcodeapi": (LOWCODEAPI, "lowcodeapi_url", "at_token"),
    "lowcodeapi-coding": (LOWCODEAPI_CODING, "lowcodeapi_url", "at_token"),
    "truto": (truto("account-1"), "truto_url", "truto-token"),
}


def test_every_operation_is_here():
    named = {each.name for each in vars(ep).values() if isinstance(each, Operation)}
    assert set(OPERATIONS) == named


def test_every_gateway_is_here():
    assert list(GATEWAYS) == [*PROVIDERS, "truto"]


def test_the_table_in_the_docs_names_these_tests():
    page = (Path(__file__).parents[1] / "docs/gateways.md").read_text()
    rows = re.findall(r"^\| (?:POST|GET|DELETE) `([\w.]+)`", page, re.MULTILINE)
    assert set(rows) == set(OPERATIONS)
    assert "tests/test_every_operation.py" in page


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_operation(zai_emulator, operation, gateway):
    provider, address, key = GATEWAYS[gateway]
    zai_emulator.tasks.polls = 1
    client = AsyncZai(
        api_key=key,
        provider=provider,
        base_url=getattr(zai_emulator, address),
        retry=RetryPolicy(retries=0),
    )
    async with client as zai:
        if provider.has(operation):
            assert await OPERATIONS[operation](zai)
            assert zai_emulator.requests
        else:
            with pytest.raises(ConfigurationError, match="has no operation"):
                await OPERATIONS[operation](zai)
