"""Forms of answers that the gateways' own pages show: on the wire, and through the client."""

import re

import pytest

from tests.emulator_wire import wire
from zai_async import AsyncZai, TaskFailedError
from zai_async.testing import Emulator
from zai_async.testing.emulator.media import pcm, wav
from zai_async.testing.emulator.transcripts import clock, subtitles, verbose

SPOKEN = "Hello there. How are you? Fine!"
SOUND = wav(pcm(3.0))
ASR = "/paas/v4/audio/transcriptions"
VIDEO = {"model": "cogvideox-3", "prompt": "a lighthouse"}
SRT = """\
1
00:00:00,000 --> 00:00:01,258
Hello there.

2
00:00:01,258 --> 00:00:02,516
How are you?

3
00:00:02,516 --> 00:00:03,000
Fine!
"""


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        emulator.audio.transcribe(SOUND, SPOKEN)
        yield emulator


@pytest.fixture
async def zai(emulator):
    async with AsyncZai(base_url=emulator.url, api_key="test") as zai:
        yield zai


@pytest.fixture
async def lowcode(emulator):
    address = emulator.lowcodeapi_url
    async with AsyncZai(provider="lowcodeapi", base_url=address, api_key="at_1") as zai:
        yield zai


async def transcript(url, kind, **params):
    async with wire_at(url) as client:
        parts = {"file": ("a.wav", SOUND), "model": (None, "glm-asr-2512")}
        parts |= {"response_format": (None, kind)} if kind else {}
        return await client.post(ASR, files=parts, params=params)


def wire_at(url):
    class Somewhere:
        root_url = url

    return wire(Somewhere)


# Transcripts


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text", f"{SPOKEN}\n"),
        ("srt", SRT),
        ("vtt", "WEBVTT\n\n" + re.sub(r"(?m)^\d\n", "", SRT).replace(",", ".")),
    ],
)
async def test_transcripts_that_are_text(emulator, kind, body):
    answer = await transcript(emulator.root_url, kind)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == body


async def test_transcripts_that_are_json(emulator):
    plain = (await transcript(emulator.root_url, "")).json()
    assert plain["text"] == (await transcript(emulator.root_url, "json")).json()["text"] == SPOKEN
    told = (await transcript(emulator.root_url, "verbose_json")).json()
    assert (told["language"], told["duration"], told["text"]) == ("english", 3.0, SPOKEN)
    assert [segment["text"] for segment in told["segments"]] == [
        "Hello there.",
        "How are you?",
        "Fine!",
    ]
    refused = await transcript(emulator.root_url, "docx")
    assert refused.json()["error"]["code"] == "1210"


def test_transcripts_of_nothing_and_of_hours():
    assert subtitles("", 1.0, "vtt") == "WEBVTT\n"
    assert verbose("", 1.0)["segments"] == []
    assert verbose("你好。", 1.0)["language"] == "chinese"
    assert clock(3723.0456, ",") == "01:02:03,046"


@pytest.mark.parametrize("envelope", ["result", "data"])
async def test_a_transcript_in_lowcodeapis_envelope(emulator, envelope):
    emulator.lowcodeapi.envelope = envelope
    url, token = f"{emulator.lowcodeapi_url}/api", {"api_token": "at_1"}
    assert (await transcript(url, "vtt", **token)).text.startswith("WEBVTT")
    emulator.lowcodeapi.text = "envelope"
    assert (await transcript(url, "vtt", **token)).json()[envelope].startswith("WEBVTT")
    emulator.reset()
    assert emulator.lowcodeapi.text == "plain"


@pytest.mark.parametrize("kind", ["json", "text", "srt", "vtt", "verbose_json"])
async def test_the_client_reads_each_form(zai, kind):
    create = zai.audio.transcriptions.create
    heard = await create(model="glm-asr-2512", file=SOUND, extra={"response_format": kind})
    assert SPOKEN.split(".", maxsplit=1)[0] in heard.text


@pytest.mark.parametrize("envelope", ["result", "data"])
@pytest.mark.parametrize("kind", ["json", "text", "srt", "vtt", "verbose_json"])
async def test_the_client_reads_each_form_in_an_envelope(emulator, lowcode, kind, envelope):
    emulator.lowcodeapi.text, emulator.lowcodeapi.envelope = "envelope", envelope
    create = lowcode.audio.transcriptions.create
    heard = await create(model="glm-asr-2512", file=SOUND, extra={"response_format": kind})
    assert SPOKEN.split(".", maxsplit=1)[0] in heard.text


# The tokenizer


async def test_the_tokenizer_of_lowcodeapi(emulator):
    emulator.lowcodeapi.tokenizer, emulator.lowcodeapi.envelope = "tokens", "data"
    async with wire_at(emulator.lowcodeapi_url) as client:
        body = {"model": "glm-4.6", "input": "Hello, world!"}
        asked = "/paas/v4/tokenizer?api_token=at_1"
        answer = (await client.post(asked, json=body)).json()
        assert answer == {
            "data": {"tokens": ["Hello", ",", " world", "!"], "token_count": 4},
        }
        refused = await client.post(asked, json={"model": "nothing", "input": "x"})
        assert refused.status_code == 400
    emulator.reset()
    assert emulator.lowcodeapi.tokenizer == "usage"


@pytest.mark.parametrize("envelope", ["result", "data"])
async def test_the_client_reads_the_tokens_of_lowcodeapi(emulator, lowcode, envelope):
    emulator.lowcodeapi.tokenizer, emulator.lowcodeapi.envelope = "tokens", envelope
    counted = await lowcode.tokenizer.count(model="glm-4.6", messages="Hello, world!")
    assert counted.total_tokens == 4


# Videos


@pytest.mark.parametrize("form", ["video_url", "url"])
async def test_videos_in_the_plain_form(emulator, form):
    emulator.tasks.form = form
    async with wire(emulator) as client:
        begun = (await client.post("/paas/v4/videos/generations", json=VIDEO)).json()
        polls = [
            (await client.get(f"/paas/v4/async-result/{begun['id']}")).json() for _ in range(2)
        ]
    assert begun == polls[0] == {"id": begun["id"], "status": "processing"}
    assert polls[1].keys() == {"id", "status", form}
    assert (polls[1]["status"], polls[1][form][-4:]) == ("completed", ".mp4")
    emulator.reset()
    assert emulator.tasks.form == "platform"


@pytest.mark.parametrize("form", ["platform", "video_url", "url"])
async def test_the_client_waits_for_videos_in_each_form(emulator, zai, form):
    emulator.tasks.form, emulator.tasks.polls = form, 1
    task = await zai.videos.submit(**VIDEO)
    video = await task.wait(timeout=1000, interval=0.05)
    assert video.url.endswith(".mp4")


@pytest.mark.parametrize("form", ["platform", "video_url", "url"])
@pytest.mark.parametrize("envelope", ["result", "data"])
async def test_the_client_waits_for_videos_of_lowcodeapi(emulator, lowcode, form, envelope):
    emulator.tasks.form, emulator.tasks.polls = form, 1
    emulator.lowcodeapi.envelope = envelope
    task = await lowcode.videos.submit(**VIDEO)
    video = await task.wait(timeout=1000, interval=0.05)
    assert video.url.endswith(".mp4")


@pytest.mark.parametrize("form", ["video_url", "url"])
async def test_the_client_learns_of_a_failure_in_the_plain_form(emulator, zai, form):
    emulator.tasks.form = form
    emulator.tasks.script("FAIL", result={"error": {"code": "1301", "message": "no"}}, polls=1)
    task = await zai.videos.submit(**VIDEO)
    with pytest.raises(TaskFailedError):
        await task.wait(timeout=1000, interval=0.05)
