"""Audio of the emulator: transcriptions, speech and voices."""

import base64
import hashlib
import io
import wave

import openai
import pytest
import zai

from tests.emulator_wire import error_of, events_of, wire
from zai_async.testing import Emulator
from zai_async.testing.emulator.media import pcm, wav

WRITE = "/paas/v4/audio/transcriptions"
SPEAK = "/paas/v4/audio/speech"
VOICE = "/paas/v4/voice"
ASR = {"model": "glm-asr-2512"}
TTS = {"model": "glm-tts", "input": "Hello there, world"}
TWO_SECONDS = wav(pcm(2))


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with wire(emulator) as client:
        yield client


async def written(client, data=TWO_SECONDS, name="a.wav", **fields):
    return await client.post(WRITE, data=ASR | fields, files={"file": (name, data)})


# Transcriptions


async def test_a_recording_is_as_long_as_it_is(client):
    body = (await written(client, request_id="mine-1234")).json()
    assert body.pop("created") > 1_700_000_000
    assert body == {
        "id": body["id"],
        "request_id": "mine-1234",
        "model": "glm-asr-2512",
        "text": "This recording is 2.0 seconds long.",
    }


@pytest.mark.parametrize("data", [b"abcd", b"RIFF"])
async def test_what_is_not_wav_is_counted_in_bytes(client, data):
    assert (await written(client, data, "a.MP3")).json()["text"] == (
        "This recording is 4 bytes long."
    )


async def test_transcripts_can_be_registered(emulator, client):
    emulator.audio.transcribe(b"one", "first")
    emulator.audio.transcribe(hashlib.sha256(b"two").hexdigest(), "second")
    texts = [(await written(client, data)).json()["text"] for data in (b"one", b"two")]
    assert texts == ["first", "second"]
    emulator.reset()
    await emulator.wait_closed()
    async with wire(emulator) as fresh:
        assert (await written(fresh, b"one")).json()["text"] == "This recording is 3 bytes long."


@pytest.mark.parametrize("text", ["hello there 你好", "x", ""])
async def test_a_transcript_can_stream(emulator, client, text):
    emulator.audio.transcribe(b"one", text)
    reply = await written(client, b"one", stream="true")
    events = events_of(reply)
    kinds = [event["type"] for event in events]
    assert kinds == ["transcript.text.delta"] * (len(events) - 1) + ["transcript.text.done"]
    assert "".join(event["delta"] for event in events) == text
    assert {event["model"] for event in events} == {"glm-asr-2512"}
    assert emulator.requests[0].streams


async def test_base64_does_as_well_but_a_file_wins(client):
    async def text(files):
        fields = ASR | {"file_base64": base64.b64encode(b"four").decode()}
        return (await client.post(WRITE, data=fields, files=files)).json()["text"]

    assert await text({"none": (None, "")}) == "This recording is 4 bytes long."
    assert await text({"file": ("a.wav", b"seven b")}) == "This recording is 7 bytes long."


@pytest.mark.parametrize(
    ("fields", "file", "code"),
    [
        (ASR, None, "1213"),
        ({}, ("a.wav", b"x"), "1213"),
        ({"model": "glm-5"}, ("a.wav", b"x"), "1212"),
        (ASR, ("a.ogg", b"x"), "1210"),
        (ASR, ("a.wav", wav(pcm(31))), "1210"),
        (ASR, ("a.wav", b"x" * (25 * 2**20 + 1)), "1210"),
        (ASR | {"file_base64": "?"}, None, "1210"),
        (ASR | {"stream": "maybe"}, ("a.wav", b"x"), "1210"),
        (ASR | {"hotwords": ["w"] * 101}, ("a.wav", b"x"), "1210"),
    ],
)
async def test_a_recording_that_cannot_be_is_refused(client, fields, file, code):
    files = {"none": (None, "")} if file is None else {"file": file}
    assert error_of(await client.post(WRITE, data=fields, files=files)) == (400, code)


async def test_hotwords_may_come_one_by_one(client):
    assert (await written(client, hotwords=["one"])).status_code == 200


# Speech


def heard(data):
    with wave.open(io.BytesIO(data)) as reader:
        shape = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
        assert shape == (1, 2, 24_000)
        return reader.getnframes() / 24_000


async def test_speech_is_a_wav_file_as_long_as_the_text(client):
    reply = await client.post(SPEAK, json=TTS | {"response_format": "wav"})
    assert reply.headers["Content-Type"] == "audio/wav"
    assert heard(reply.content) == pytest.approx(0.06 * len(TTS["input"]), abs=0.01)
    fast = await client.post(SPEAK, json=TTS | {"response_format": "wav", "speed": 2})
    assert heard(fast.content) == pytest.approx(heard(reply.content) / 2, abs=0.01)


async def test_speech_is_pcm_unless_told_otherwise(client):
    reply = await client.post(SPEAK, json=TTS)
    loud = await client.post(SPEAK, json=TTS | {"volume": 10})
    assert reply.headers["Content-Type"] == "audio/pcm"
    assert reply.content == pcm(0.06 * len(TTS["input"]))
    assert len(loud.content) == len(reply.content)
    peaks = [max(memoryview(one.content).cast("h")) for one in (reply, loud)]
    assert peaks == [6_000, 32_767]


@pytest.mark.parametrize("encoding", ["base64", "hex"])
async def test_speech_streams_in_long_lines(client, encoding):
    body = TTS | {"input": "x" * 100, "stream": True, "encode_format": encoding}
    *pieces, last = events_of(await client.post(SPEAK, json=body))
    deltas = [piece["choices"][0]["delta"] for piece in pieces]
    unpack = bytes.fromhex if encoding == "hex" else base64.b64decode
    assert b"".join(unpack(delta["content"]) for delta in deltas) == pcm(6)
    assert len(deltas[0]["content"]) > 65_536
    assert (deltas[0]["return_sample_rate"], deltas[0]["return_format"]) == (24_000, "pcm")
    assert last["choices"] == [{"index": 0, "finish_reason": "stop"}]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"input": "x" * 1025}, "1210"),
        ({"input": ""}, "1210"),
        ({"speed": 3}, "1210"),
        ({"volume": 0}, "1210"),
        ({"voice": "nobody"}, "1214"),
        ({"model": "glm-5"}, "1212"),
        ({"stream": True, "response_format": "wav"}, "1210"),
    ],
)
async def test_speech_that_cannot_be_is_refused_in_json(client, changes, code):
    assert error_of(await client.post(SPEAK, json=TTS | changes)) == (400, code)


# Voices


async def uploaded(client, data=TWO_SECONDS, purpose="voice-clone-input"):
    form = {"data": {"purpose": purpose}, "files": {"file": ("me.wav", data)}}
    return (await client.post("/paas/v4/files", **form)).json()["id"]


async def cloned(client, file_id, **changes):
    body = {"model": "glm-tts-clone", "voice_name": "me", "input": "Hi", "file_id": file_id}
    return await client.post(f"{VOICE}/clone", json=body | changes)


async def voices(client, **query):
    return await client.get(f"{VOICE}/list", params=query)


async def test_voices_are_listed_without_a_content_type(client):
    reply = await voices(client)
    assert "Content-Type" not in reply.headers
    listed = reply.json()["voice_list"]
    assert len(listed) == 7
    assert listed[0].keys() == {"voice", "voice_name", "voice_type", "create_time"}


async def test_a_clone_can_be_made_used_and_deleted(emulator, client):
    reply = (await cloned(client, await uploaded(client), request_id="mine-1234")).json()
    voice = reply["voice"]
    assert (reply["file_purpose"], reply["request_id"]) == ("voice-clone-output", "mine-1234")
    assert heard(emulator.files[reply["file_id"]].data) == pytest.approx(0.12)
    (found,) = (await voices(client, voiceType="PRIVATE")).json()["voice_list"]
    assert (found["voice"], found["voice_name"]) == (voice, "me")
    (found,) = (await voices(client, voiceName="jam")).json()["voice_list"]
    assert found["voice_type"] == "OFFICIAL"
    assert (await client.post(SPEAK, json=TTS | {"voice": voice})).status_code == 200
    gone = await client.post(f"{VOICE}/delete", json={"voice": voice})
    assert gone.json().keys() == {"voice", "update_time"}
    assert error_of(await client.post(SPEAK, json=TTS | {"voice": voice})) == (400, "1214")


async def test_voices_that_cannot_be_are_refused(client):
    wrong, large = (
        await uploaded(client, purpose="agent"),
        await uploaded(client, b"x" * 10_485_761),
    )
    for file_id in ("nobody", wrong, large):
        assert error_of(await cloned(client, file_id)) == (400, "1210")
    assert error_of(await cloned(client, wrong, model="glm-tts")) == (400, "1212")
    assert error_of(await voices(client, voiceType="MINE")) == (400, "1210")
    official = await client.post(f"{VOICE}/delete", json={"voice": "jam"})
    assert error_of(official) == (403, "1220")


@pytest.mark.parametrize(("format", "kind"), [({}, "wav"), ({"response_format": "pcm"}, "pcm")])
async def test_customization_speaks_at_once(client, format, kind):
    fields = TTS | {"voice_text": "Hi"} | format
    path, recording = "/paas/v4/audio/customization", {"voice_data": ("me.wav", TWO_SECONDS)}
    reply = await client.post(path, data=fields, files=recording)
    assert reply.headers["Content-Type"] == f"audio/{kind}"
    assert len(reply.content) >= len(pcm(0.06 * len(TTS["input"])))
    missing = await client.post(path, data=fields, files={"other": ("a", b"")})
    assert error_of(missing) == (400, "1213")


# Other people's clients


async def test_openai_writes_and_speaks(emulator):
    emulator.audio.transcribe(TWO_SECONDS, "hello")
    async with openai.AsyncOpenAI(api_key="key.secret", base_url=emulator.url) as client:
        answer = await client.audio.transcriptions.create(file=("a.wav", TWO_SECONDS), **ASR)
        assert answer.text == "hello"
        speech = await client.audio.speech.create(voice="jam", response_format="wav", **TTS)
        assert heard(speech.content) > 1


def test_zai_writes_speaks_and_clones():
    with Emulator() as emulator, zai.ZaiClient(api_key="key.secret", base_url=emulator.url) as sdk:
        emulator.audio.transcribe(TWO_SECONDS, "hello")
        answer = sdk.audio.transcriptions.create(file=("a.wav", TWO_SECONDS), **ASR)
        assert answer.text == "hello"
        speech = sdk.audio.speech(voice="jam", response_format="wav", **TTS)
        assert heard(speech.content) > 1
        assert len(sdk.voice.list().voice_list) == 7
        file = sdk.files.create(file=("me.wav", TWO_SECONDS), purpose="voice-clone-input")
        voice = sdk.voice.clone(
            model="glm-tts-clone", voice_name="me", text="Hi", input="Hi", file_id=file.id
        )
        assert sdk.voice.delete(voice=voice.voice).voice == voice.voice
