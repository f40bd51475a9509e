"""``zai doctor``: what it finds, and what it says about it."""

import json
import logging
import re

import pytest

from tests.command_line import sent, surround
from zai_async import LOWCODEAPI
from zai_async.cli import main
from zai_async.testing import Emulator


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, zai_emulator, tmp_path_factory):
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)
    surround(monkeypatch, zai_emulator, tmp_path_factory.mktemp("home"))


def examine(capsys, *argv, status=0):
    """Return what was found, by its topic; of several the last."""
    assert main(["doctor", "--json", *argv]) == status
    return {found["topic"]: found["detail"] for found in json.loads(capsys.readouterr().out)}


def test_everything_is_fine(capsys, zai_emulator):
    assert examine(capsys) == {
        "key": "in ZAI_API_KEY",
        "address": f"{zai_emulator.root_url} (ZAI_BASE_URL)",
        "proxy": "none",
        "endpoint": "zai: accepts the key",
        "clock": "agrees with the server's",
    }
    assert [request.method for request in zai_emulator.requests] == ["GET"]


def test_findings_are_lines(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "key       in ZAI_API_KEY"
    assert len(lines) == 5


def test_no_key(capsys, monkeypatch):
    monkeypatch.delenv("ZAI_API_KEY")
    found = examine(capsys, status=3)
    assert found.keys() == {"key"}
    assert "set ZAI_API_KEY" in found["key"]


def test_a_key_that_is_refused(capsys, monkeypatch):
    monkeypatch.setenv("ZAI_API_KEY", "bad.key")
    assert "HTTP 401" in examine(capsys, status=3)["endpoint"]


def test_the_emulator_needs_nothing(capsys, monkeypatch):
    monkeypatch.delenv("ZAI_API_KEY")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    found = examine(capsys, "--emulate", "--pace", "0", "--ask")
    assert found["key"] == "none is needed by the emulator"
    assert found["address"].endswith("/api (the emulator)")
    assert found["proxy"] == "none"
    assert found["answer"].startswith("glm-4.7-flash answered after ")


def test_where_an_address_comes_from(capsys, monkeypatch, zai_emulator):
    monkeypatch.delenv("ZAI_BASE_URL")
    found = examine(capsys, "--base-url", zai_emulator.url)
    assert found["address"] == f"{zai_emulator.root_url} (--base-url)"


@pytest.mark.parametrize("provider", ["zai", "bigmodel"])
def test_the_usual_address_behind_a_proxy_that_is_down(capsys, monkeypatch, provider):
    monkeypatch.delenv("ZAI_BASE_URL")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")
    found = examine(capsys, "--provider", provider, status=3)
    assert found["address"].endswith(f"/api (usual for {provider})")
    assert found["proxy"] == "127.0.0.1:1 (HTTPS_PROXY)"
    assert "the proxy cannot be reached" in found["endpoint"]
    assert found["clock"] == "not compared: no answer told the time"
    assert "secret" not in str(found)


def test_a_proxy_that_is_not_meant(capsys, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert examine(capsys)["proxy"] == "none for 127.0.0.1 (NO_PROXY)"


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", "s ahead of the server's"),
        ("Fri, 01 Jan 2100 00:00:00 GMT", "s behind the server's"),
        ("yesterday", "not compared"),
    ],
)
def test_a_clock_that_is_wrong(capsys, zai_emulator, date, words):
    zai_emulator.fault(headers={"Date": date})
    assert words in examine(capsys)["clock"]


def test_a_gateway_that_cannot_be_asked_for_models(capsys, monkeypatch, zai_emulator):
    for name in LOWCODEAPI.key_variables:
        monkeypatch.setenv(name, "at_token")
    found = examine(capsys, "--provider", "lowcodeapi", "--base-url", zai_emulator.lowcodeapi_url)
    assert "has no list of models" in found["endpoints"]


def test_a_question(capsys, zai_emulator):
    found = examine(capsys, "--ask", "glm-5.3")
    assert sent(zai_emulator)["max_tokens"] == 1
    assert found["answer"].startswith("glm-5.3 answered after ")
    assert re.fullmatch(r"glm-5\.3: not found yet; \d at a time to begin with", found["limit"])


def test_a_limit_that_was_met(capsys, zai_emulator):
    zai_emulator.fault(code="1302", path="chat")
    found = examine(capsys, "--ask")
    assert " answered at attempt 2 after " in found["answer"]
    assert re.search(r"the account allows \d at a time \(1 refused so far\)", found["limit"])


def test_a_question_that_is_not_answered(capsys, zai_emulator):
    zai_emulator.fault(code="1113", path="chat", times=None)
    found = examine(capsys, "--ask", status=1)
    assert found["answer"].startswith("none from glm-4.7-flash: ")
    assert "1113" in found["answer"]


def test_a_question_to_no_model_has_no_limit(capsys):
    found = examine(capsys, "--ask", "", status=1)
    assert "model" in found["answer"]
    assert "limit" not in found


def test_a_question_after_the_key_was_refused(capsys, monkeypatch):
    with Emulator(api_key="id.another") as emulator:
        monkeypatch.setenv("ZAI_BASE_URL", emulator.url)
        found = examine(capsys, "--ask", status=3)
    assert found["answer"].startswith("none from ")


# What other commands say while they wait


@pytest.fixture
def log_level():
    yield
    logging.getLogger("zai_async").setLevel(logging.NOTSET)


@pytest.mark.usefixtures("log_level")
def test_verbose_commands_say_in_words_why_they_wait(capsys, monkeypatch, zai_emulator):
    monkeypatch.setattr("logging.root.handlers", [])
    zai_emulator.fault(code="1302")
    assert main(["chat", "-v", "--no-stream", "Hi"]) == 0
    said = capsys.readouterr().err
    assert "too many requests at once (code 1302); again when a permit is free" in said
