"""Tasks and what comes of them: videos, images, submitted completions."""

import pytest

from tests.reading import read
from zai_async.models import (
    ChatResult,
    ImageResult,
    ImagesResponse,
    TaskStatus,
    Video,
    VideoFile,
)
from zai_async.models.tasks import known_state

RECEIPT = {
    "model": "cogvideox-3",
    "id": "20261120094223aa",
    "request_id": "r-000001",
    "task_status": "PROCESSING",
}
DONE = {**RECEIPT, "task_status": "SUCCESS"}


def test_a_receipt_names_the_task():
    receipt = read(TaskStatus, RECEIPT)
    assert (receipt.id, receipt.request_id, receipt.model) == (
        "20261120094223aa",
        "r-000001",
        "cogvideox-3",
    )
    assert receipt.state == "processing"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PROCESSING", "processing"),
        ("SUCCESS", "succeeded"),
        ("success", "succeeded"),
        ("FAIL", "failed"),
        ("Failed", "failed"),
        ("completed", "succeeded"),
        ("expired", "failed"),
        ("cancelled", "failed"),
        ("cancelling", "processing"),
        ("QUEUED_ON_THE_MOON", "processing"),
        ("", "processing"),
    ],
)
@pytest.mark.parametrize("kind", [TaskStatus, Video, ImageResult, ChatResult])
def test_the_state_of_a_task(kind, status, state):
    assert read(kind, {"task_status": status}).state == state


@pytest.mark.parametrize(
    ("status", "known"),
    [
        ("PROCESSING", True),
        ("pending", True),
        ("validating", True),
        ("FAIL", True),
        ("QUEUED_ON_THE_MOON", False),
        ("", False),
    ],
)
def test_whether_a_status_is_known(status, known):
    assert (known_state(status) is not None) is known


def test_a_task_in_progress_has_no_result_and_may_lack_its_model():
    document = {"id": "1", "request_id": "r", "task_status": "PROCESSING"}
    video, image = read(Video, document), read(ImageResult, document)
    assert (video.model, video.url, video.urls, video.cover_url) == ("", None, [], None)
    assert (image.url, image.urls) == (None, [])
    assert read(ChatResult, document).text == ""


FILE = {"url": "https://cdn.example/v.mp4", "cover_image_url": "https://cdn.example/v.png"}


@pytest.mark.parametrize("result", [[FILE], FILE], ids=["list", "object"])
def test_a_video_is_read_from_a_list_and_from_an_object(result):
    video = read(Video, {**DONE, "video_result": result})
    assert video.video_result == [VideoFile(**FILE)]
    assert (video.url, video.cover_url) == (FILE["url"], FILE["cover_image_url"])


def test_a_success_without_an_address_has_none():
    video = read(Video, {**DONE, "video_result": [{"url": ""}, {"url": None}]})
    assert (video.state, video.url, video.urls, video.cover_url) == ("succeeded", None, [], None)


def test_a_submitted_image_is_read():
    result = read(ImageResult, {**DONE, "image_result": [{"url": "https://cdn.example/i.png"}]})
    assert (result.state, result.url) == ("succeeded", "https://cdn.example/i.png")


def test_images_are_read_with_what_the_audit_found():
    images = read(
        ImagesResponse,
        {
            "created": 1790000000,
            "data": [{"url": "https://cdn.example/1.png"}, {"url": "https://cdn.example/2.png"}],
            "content_filter": [{"role": "user", "level": 3}],
        },
    )
    assert images.url == "https://cdn.example/1.png"
    assert images.urls == ["https://cdn.example/1.png", "https://cdn.example/2.png"]
    assert [(found.role, found.level) for found in images.content_filter] == [("user", 3)]


def test_no_image_has_no_address():
    assert (read(ImagesResponse, {}).url, read(ImagesResponse, {}).urls) == (None, [])


def test_a_submitted_completion_is_a_completion():
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Hi"},
    }
    result = read(ChatResult, {**DONE, "model": "GLM-4.5-FLASH", "choices": [choice]})
    assert (result.state, result.text, result.outcome) == ("succeeded", "Hi", "completed")
