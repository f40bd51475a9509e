"""Tasks of the emulator: videos, images and asynchronous chats, from the first poll to the file."""

import re
import struct
import zlib

import openai
import pytest
import zai

from tests.emulator_wire import NOBODY, error_of, wire
from zai_async.testing import Emulator

VIDEO = {"model": "cogvideox-3", "prompt": "A cat plays with a ball"}
IMAGE = {"model": "glm-image", "prompt": "A cat"}
CHAT = {"model": "glm-4.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
VIDEOS = "/paas/v4/videos/generations"
IMAGES = "/paas/v4/images/generations"
LATER = "/paas/v4/async/images/generations"


@pytest.fixture
async def emulator():
    async with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator):
    async with wire(emulator) as client:
        yield client


async def started(client, path=VIDEOS, body=VIDEO, **changes):
    reply = await client.post(path, json=body | changes)
    assert reply.status_code == 200
    return reply.json()


async def polled(client, task):
    return await client.get(f"/paas/v4/async-result/{task['id']}")


async def ended(client, task):
    for _ in range(10):
        answer = (await polled(client, task)).json()
        if answer["task_status"] != "PROCESSING":
            return answer
    raise AssertionError(answer)


# Videos


async def test_a_video_takes_two_polls(client):
    task = await started(client, request_id="mine-1234")
    assert task == {
        "id": task["id"],
        "model": "cogvideox-3",
        "request_id": "mine-1234",
        "task_status": "PROCESSING",
    }
    running = (await polled(client, task)).json()
    assert running == {k: v for k, v in task.items() if k != "model"}  # as live: no model
    done = (await polled(client, task)).json()
    (result,) = done.pop("video_result")
    assert done == task | {"task_status": "SUCCESS"}
    assert result.keys() == {"url", "cover_image_url"}
    assert (await polled(client, task)).json()["task_status"] == "SUCCESS"


async def test_the_film_and_its_cover_can_be_fetched_without_a_key(emulator, client):
    emulator.tasks.polls = 1
    (result,) = (await ended(client, await started(client)))["video_result"]
    async with wire(emulator, NOBODY) as anyone:
        film = await anyone.get(result["url"])
        cover = await anyone.get(result["cover_image_url"])
    assert film.headers["Content-Type"] == "video/mp4"
    assert int(film.headers["Content-Length"]) == len(film.content)
    assert cover.headers["Content-Type"] == "image/png"
    fetches = [request for request in emulator.requests if request.operation == "cdn"]
    assert ["Authorization" in request.headers for request in fetches] == [False, False]


def boxes(data):
    """Read the boxes of an MP4 file on one level."""
    found = {}
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        found[kind], data = data[8:size], data[size:]
    return found


async def test_the_film_is_a_valid_mp4_of_the_wanted_length(emulator, client):
    emulator.tasks.polls = 1
    (result,) = (await ended(client, await started(client, duration=10)))["video_result"]
    data = (await client.get(result["url"])).content
    top = boxes(data)
    assert list(top) == [b"ftyp", b"moov", b"mdat"]
    movie = boxes(top[b"moov"])
    scale, duration = struct.unpack(">2I", movie[b"mvhd"][12:20])
    assert duration / scale == 10
    information = boxes(boxes(boxes(movie[b"trak"])[b"mdia"])[b"minf"])
    samples = boxes(information[b"stbl"])
    (size,) = struct.unpack(">I", samples[b"stsz"][12:])
    (offset,) = struct.unpack(">I", samples[b"stco"][8:])
    assert data[offset : offset + size] == top[b"mdat"]
    (length,) = struct.unpack(">I", top[b"mdat"][:4])
    assert length + 4 == size
    assert top[b"mdat"][4] & 0x1F == 5  # a key frame
    assert re.search(rb"\0\0[\0-\3]", top[b"mdat"][4:]) is None  # no start code inside


@pytest.mark.parametrize(
    "body",
    [
        {"model": "cogvideox-2", "image_url": "https://example.com/1.png", "size": "720x480"},
        {"model": "cogvideox-flash", "prompt": "p", "with_audio": True, "fps": 60},
        {"model": "cogvideox-3", "image_url": ["a", "b"], "quality": "speed"},
        {"model": "viduq1-text", "prompt": "p", "style": "anime", "aspect_ratio": "9:16"},
        {"model": "viduq1-image", "image_url": "a", "duration": 5},
        {"model": "viduq1-start-end", "image_url": ["a", "b"]},
        {"model": "vidu2-image", "prompt": "p", "duration": 4, "size": "1280x720"},
        {"model": "vidu2-start-end", "image_url": ["a"], "movement_amplitude": "small"},
        {"model": "vidu2-reference", "image_url": ["a", "b", "c"]},
    ],
)
async def test_every_video_model_starts_a_task(client, body):
    reply = await client.post(VIDEOS, json=body)
    assert (reply.status_code, reply.json()["model"]) == (200, body["model"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "1213"),
        ({"model": "cogvideox-3"}, "1213"),
        ({"model": "nope", "prompt": "p"}, "1211"),
        ({"model": "glm-5", "prompt": "p"}, "1212"),
        (VIDEO | {"prompt": "p" * 513}, "1210"),
        (VIDEO | {"duration": 7}, "1210"),
        (VIDEO | {"size": "1x1"}, "1210"),
        (VIDEO | {"fps": 25}, "1210"),
        (VIDEO | {"image_url": ["a", "b", "c"]}, "1210"),
        (VIDEO | {"image_url": ["a", "b"], "quality": "quality"}, "1210"),
        (VIDEO | {"user_id": "me"}, "1210"),
        ({"model": "viduq1-text", "prompt": "p", "image_url": "a"}, "1210"),
    ],
)
async def test_a_video_that_cannot_be_is_refused(client, body, code):
    assert error_of(await client.post(VIDEOS, json=body)) == (400, code)


async def test_a_body_that_is_not_json_is_refused(client):
    assert error_of(await client.post(VIDEOS, content=b"\xff{")) == (400, "1210")


# Scripted ends


async def test_an_unknown_task_is_refused_in_chinese(client):
    reply = await client.get("/paas/v4/async-result/123")
    message = "任务：123不存在。"  # noqa: RUF001
    assert reply.status_code == 400
    assert reply.json() == {"error": {"code": "1233", "message": message}}


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ({"status": "FAIL"}, {}),
        (
            {"status": "FAIL", "result": {"error": {"code": "1301", "message": "no"}}},
            {"error": {"code": "1301", "message": "no"}},
        ),
        ({"status": "PAUSED"}, {}),
        ({"result": {"video_result": [{}]}}, {"video_result": [{}]}),
        ({"result": {"video_result": {"url": "x"}}}, {"video_result": {"url": "x"}}),
    ],
)
async def test_ends_can_be_scripted(emulator, client, script, end):
    emulator.tasks.script(**script)
    task = await started(client)
    expected = task | {"task_status": script.get("status", "SUCCESS")} | end
    assert await ended(client, task) == expected


async def test_scripts_are_used_in_order_and_up(emulator, client):
    emulator.tasks.script("FAIL", polls=1, times=2)
    emulator.tasks.script("ODD", polls=1)
    tasks = [await started(client) for _ in range(4)]
    ends = [(await ended(client, task))["task_status"] for task in tasks]
    assert ends == ["FAIL", "FAIL", "ODD", "SUCCESS"]


async def test_a_script_may_hold_for_good_and_end_at_once(emulator, client):
    emulator.tasks.script("FAIL", polls=0, times=None)
    for _ in range(3):
        task = await started(client)
        assert (await polled(client, task)).json()["task_status"] == "FAIL"


async def test_a_task_may_not_be_found_at_first(emulator, client):
    emulator.tasks.script(missing=2, polls=2)
    task = await started(client)
    replies = [await polled(client, task) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [404, 404, 200, 200]
    assert [reply.json()["task_status"] for reply in replies[2:]] == ["PROCESSING", "SUCCESS"]


async def test_reset_forgets_tasks_scripts_and_polls(emulator, client):
    task = await started(client)
    emulator.tasks.polls = 9
    emulator.tasks.script("FAIL")
    emulator.reset()
    await emulator.wait_closed()
    async with wire(emulator) as fresh:
        assert error_of(await polled(fresh, task)) == (400, "1233")
        assert (await ended(fresh, await started(fresh)))["task_status"] == "SUCCESS"
    assert emulator.tasks.polls == 2


# Images


def pixels(data):
    """Decode a PNG file of the two filters that the emulator uses."""
    header, packed = data[16:29], b""
    chunks = data[8:]
    while chunks:
        size, kind = struct.unpack(">I4s", chunks[:8])
        body, (crc,) = chunks[8 : 8 + size], struct.unpack(">I", chunks[8 + size : 12 + size])
        assert crc == zlib.crc32(kind + body)
        packed += body if kind == b"IDAT" else b""
        chunks = chunks[12 + size :]
    width, height = struct.unpack(">2I", header[:8])
    raw, stride = zlib.decompress(packed), 3 * width + 1
    assert (raw[0], raw[stride]) == (1, 2)
    row = list(raw[1:stride])
    for index in range(3, len(row)):
        row[index] = (row[index] + row[index - 3]) % 256
    rows = [row]
    for number in range(1, height):
        delta = raw[number * stride + 1 : (number + 1) * stride]
        rows.append([(up + new) % 256 for up, new in zip(rows[-1], delta, strict=True)])
    return rows


async def test_an_image_is_a_gradient_of_the_wanted_size(client):
    body = {"model": "cogview-4-250304", "prompt": "x", "size": "512x528"}
    reply = await client.post(IMAGES, json=body)
    (image,) = reply.json()["data"]
    data = (await client.get(image["url"])).content
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    rows = pixels(data)
    assert (len(rows[0]) // 3, len(rows)) == (512, 528)
    blue = rows[0][2]
    corners = [rows[0][:3], rows[0][-3:], rows[-1][:3], rows[-1][-3:]]
    assert corners == [[0, 0, blue], [255, 0, blue], [0, 255, blue], [255, 255, blue]]


async def test_the_prompt_decides_the_address(client):
    async def link(prompt):
        reply = await client.post(IMAGES, json=IMAGE | {"prompt": prompt})
        return reply.json()["data"][0]["url"]

    assert await link("a") == await link("a") != await link("b")


async def test_an_image_can_be_a_task(client):
    task = await started(client, LATER, IMAGE)
    (image,) = (await ended(client, task))["image_result"]
    assert (await client.get(image["url"])).headers["Content-Type"] == "image/png"


@pytest.mark.parametrize(
    ("path", "changes", "code"),
    [
        (IMAGES, {"size": "1024"}, "1210"),
        (IMAGES, {"size": "1000x1024"}, "1210"),
        (IMAGES, {"size": "2048x4096"}, "1210"),
        (IMAGES, {"model": "cogview-4", "size": "2048x2048"}, "1210"),
        (IMAGES, {"quality": "best"}, "1210"),
        (IMAGES, {"model": "glm-5"}, "1212"),
        (IMAGES, {"model": "nope"}, "1211"),
        (LATER, {"model": "cogview-4"}, "1212"),
        (LATER, {"quality": "standard"}, "1210"),
        (LATER, {"size": "10x10"}, "1210"),
    ],
)
async def test_an_image_that_cannot_be_is_refused(client, path, changes, code):
    assert error_of(await client.post(path, json=IMAGE | changes)) == (400, code)


@pytest.mark.parametrize("size", [None, "1728x960", "1568x1056", "2048x2048"])
async def test_offered_and_custom_sizes_are_fine(client, size):
    assert (await client.post(IMAGES, json=IMAGE | {"size": size})).status_code == 200


@pytest.mark.parametrize("name", ["nothing", "ab-64x64.png"])
async def test_nothing_else_is_served(client, name):
    reply = await client.get(f"http://{client.base_url.netloc.decode()}/cdn/{name}")
    assert (reply.status_code, reply.headers["Content-Type"]) == (404, "text/html")


# Chats


async def test_a_chat_can_be_a_task(emulator, client):
    emulator.chat.reply("hello", thinking="hm")
    body = CHAT | {"stream": True}
    task = await started(client, "/paas/v4/async/chat/completions", body)
    done = await ended(client, task)
    assert (done["model"], done["task_status"]) == ("GLM-4.5-FLASH", "SUCCESS")
    assert done["choices"][0]["message"]["content"] == "hello"
    assert done["choices"][0]["message"]["reasoning_content"] == "hm"


async def test_a_chat_task_writes_its_own_answer(client):
    done = await ended(client, await started(client, "/paas/v4/async/chat/completions", CHAT))
    assert "Hello" in done["choices"][0]["message"]["content"]


async def test_tasks_need_a_key(emulator):
    async with wire(emulator, NOBODY) as anyone:
        assert error_of(await anyone.post(VIDEOS, json=VIDEO)) == (401, "1001")


# Other people's clients


async def test_openai_generates_an_image(emulator):
    async with openai.AsyncOpenAI(api_key="key.secret", base_url=emulator.url) as client:
        answer = await client.images.generate(model="glm-image", prompt="A cat")
    assert answer.data[0].url.endswith("-1280x1280.png")


def test_zai_waits_for_a_video():
    with Emulator() as emulator, zai.ZaiClient(api_key="key.secret", base_url=emulator.url) as sdk:
        task = sdk.videos.generations(model="cogvideox-3", prompt="A cat")
        states = [sdk.videos.retrieve_videos_result(task.id) for _ in range(2)]
        assert [state.task_status for state in states] == ["PROCESSING", "SUCCESS"]
        assert states[1].video_result[0].url.endswith(".mp4")
