"""The examples of whole workflows, over the emulator; the page about them shows the same code."""

import json
import os
from functools import partial

import pytest

from tests.calls import FakeClock
from tests.test_examples import EXAMPLES, load
from tests.test_recordings import MEETING

PAGE = EXAMPLES.parent / "docs/workflows.md"
NAMES = (
    "audio_to_actions",
    "pdf_to_markdown",
    "translate_with_glossary",
    "video_between_frames",
    "grounded_answer",
)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@pytest.fixture(autouse=True)
def platform(zai_emulator, monkeypatch):
    """Point the environment at the emulator, which is how the examples find it."""
    monkeypatch.setenv("ZAI_BASE_URL", zai_emulator.url)
    monkeypatch.setenv("ZAI_API_KEY", "test")
    return zai_emulator


async def test_recording_becomes_actions(platform, tmp_path, capsys):
    path = tmp_path / "meeting.wav"
    path.write_bytes(MEETING)
    minutes = {
        "summary": "They met.",
        "decisions": ["Go on."],
        "actions": [{"task": "Write it down", "owner": "Ada", "due": "Monday"}],
    }
    platform.chat.reply(json.dumps(minutes))
    example = load("workflows/audio_to_actions.py")
    found = await example.main(str(path))
    assert found.actions == [example.Action("Write it down", "Ada", "Monday")]
    said = platform.requests[-1].json["messages"][-1]["content"]
    assert "0 s: This recording is 25.4 seconds long.\n25 s: This" in said
    assert "heard 82 of 82 s" in capsys.readouterr().err


async def test_part_of_the_recording_that_fails_is_heard_once_more(platform, tmp_path, monkeypatch):
    path = tmp_path / "meeting.wav"
    path.write_bytes(MEETING)
    example = load("workflows/audio_to_actions.py")
    calls = []

    class Heard(example.Transcription):
        pass

    async def create(self, *, finished, **params):
        calls.append(list(finished))
        part = example.TranscribedPart(end=25.0)
        if not finished:
            raise example.TranscriptionIncompleteError("part 2", finished=[part])
        return Heard(text="Hi")

    monkeypatch.setattr("zai_async.resources.Transcriptions.create", create)
    assert (await example.main(str(path))).summary
    assert [len(finished) for finished in calls] == [0, 1]


async def test_pdf_becomes_markdown(platform, tmp_path):
    source, target = tmp_path / "report.pdf", tmp_path / "report.md"
    source.write_bytes(b"%PDF-1.7\n" + bytes(100))
    outline = {
        "title": "Tides",
        "summary": "The sea moves.",
        "sections": [{"heading": "Moon", "pages": "1-2"}],
    }
    platform.chat.reply(json.dumps(outline))
    found = await load("workflows/pdf_to_markdown.py").main(str(source), str(target))
    assert found.title == "Tides"
    assert platform.requests[0].json["file"].startswith("data:application/pdf;base64,JVBERi")
    text = target.read_text(encoding="utf-8")
    assert text.startswith("# Tides\n\nThe sea moves.\n\n- Moon (1-2)\n\n---\n\n")
    read = text.partition("---\n\n")[2]
    assert read
    assert read in platform.requests[1].json["messages"][-1]["content"]


async def test_translation_keeps_to_its_glossary(platform, tmp_path):
    source, terms = tmp_path / "manual.txt", tmp_path / "terms.csv"
    source.write_text("The limiter waits for a permit.", encoding="utf-8")
    terms.write_text("limiter,limiter\npermit,Erlaubnis\nkey,Schlüssel\n", encoding="utf-8")
    example = load("workflows/translate_with_glossary.py")
    translated, missing = await example.main(str(source), str(terms), "de")
    assert translated == "[de] The limiter waits for a permit."
    assert missing == ["permit -> Erlaubnis"]
    upload, call = platform.requests
    assert b"Erlaubnis" in upload.body
    assert call.json["custom_variables"]["glossary"]


async def test_video_goes_from_one_frame_to_another(platform, tmp_path, capsys, monkeypatch):
    for name in ("day.png", "night.png"):
        (tmp_path / name).write_bytes(PNG + name.encode())
    example = load("workflows/video_between_frames.py")
    # Between two polls nobody waits.
    monkeypatch.setattr(example, "AsyncZai", partial(example.AsyncZai, clock=FakeClock()))
    paths = [str(tmp_path / name) for name in ("day.png", "night.png")]
    target = await example.main(*paths, "The sun sets", str(tmp_path / "out.mp4"))
    assert target.read_bytes()[4:8] == b"ftyp"
    first, last = platform.requests[0].json["image_url"]
    assert first != last
    assert first.startswith("data:image/png;base64,iVBOR")
    assert "SUCCESS" in capsys.readouterr().err


PAGES = [
    {"title": "Tides", "link": "https://example.com/tides", "refer": "ref_1"},
    {"title": "Moon", "link": "https://example.com/moon", "refer": "ref_2"},
    {"title": "Rain", "link": "https://example.com/rain", "refer": "ref_3"},
]


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            "The moon pulls [ref_2], and the sea moves [ref_1][ref_2]. So it is[ref_9].",
            """The moon pulls [1], and the sea moves [2][1]. So it is.

[1] Moon https://example.com/moon
[2] Tides https://example.com/tides""",
        ),
        ("Nobody knows.", "Nobody knows."),
    ],
)
async def test_answer_is_grounded_in_pages_that_it_cites(platform, answer, shown):
    platform.chat.reply(answer, web_search=PAGES)
    assert await load("workflows/grounded_answer.py").main("Why are there tides?") == shown
    (request,) = platform.requests
    assert request.json["tools"][0]["web_search"]["enable"] is True


async def test_answer_is_grounded_in_what_the_platform_finds(platform):
    answer = await load("workflows/grounded_answer.py").main("Why are there tides?")
    assert answer


def test_page_shows_the_examples_as_they_are():
    page = PAGE.read_text(encoding="utf-8")
    for name in NAMES:
        source = (EXAMPLES / f"workflows/{name}.py").read_text(encoding="utf-8")
        # What they are called with stands in their first lines, and on the page in words.
        code = source[source.index("import asyncio") : source.index("\n\nif __name__")].rstrip()
        start, end = f"<!-- {name} -->\n\n", "\n<!-- end -->"
        before, after = page.split(start)
        page = before + start + f"```py\n{code}\n```\n" + end + after.partition(end)[2]
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page, "UPDATE_DOCS=1 brings it up to date"
