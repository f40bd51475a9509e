"""The command line in this process: what it sends, prints and returns."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import socket
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.command_line import Screen, pipe_in, sent, surround, watch
from zai_async import errors
from zai_async.cli import commands, end_at_once, main
from zai_async.cli.commands import COMMANDS
from zai_async.cli.output import report
from zai_async.cli.terminal import Terminal
from zai_async.providers import PROVIDERS
from zai_async.testing.server import parser

REFERENCE = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
# The first table row by row, because sentences name the options of other programs.
SECTIONS = {
    title: "".join(line for line in text.splitlines() if line.startswith("| `"))
    for title, _, text in (section.partition("\n") for section in REFERENCE.split("\n## "))
}
GONE = "http://127.0.0.1:9/api"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, zai_emulator, tmp_path_factory):
    surround(monkeypatch, zai_emulator, tmp_path_factory.mktemp("home"))


@pytest.fixture
def typed(monkeypatch):
    """Put a person in front of stdin and stdout who types these lines."""

    def type_lines(*lines):
        left = iter(lines)
        monkeypatch.setattr(sys, "stdin", Screen())
        monkeypatch.setattr(sys, "stdout", Screen())
        monkeypatch.setattr("builtins.input", lambda _prompt: strike(next(left, EOFError())))
        return sys.stdout

    return type_lines


def strike(key):
    if isinstance(key, BaseException):
        raise key
    return key


# Commands


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    output = capsys.readouterr().out
    assert all(name in output and summary in output for name, summary in COMMANDS.items())


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.startswith("zai-async ")


def test_no_command_is_a_usage_error_with_help(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["zai"])
    assert main() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "commands:" in captured.err


@pytest.fixture
def interruptible():
    """Give the process the usual handler of Ctrl-C, and then the one that it had."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupt_while_modules_are_loaded_ends_the_process_at_once(
    capsys, monkeypatch, interruptible
):
    seen = []
    monkeypatch.setattr(os, "_exit", seen.append)

    def import_and_look(name):
        seen.append(signal.getsignal(signal.SIGINT))
        signal.raise_signal(signal.SIGINT)
        return import_module(name)

    monkeypatch.setattr(commands, "import_module", import_and_look)
    monkeypatch.setattr(sys, "argv", ["zai", "completion", "bash"])
    monkeypatch.setattr(
        "zai_async.cli.completion.run_completion",
        lambda *_: seen.append(signal.getsignal(signal.SIGINT)) or 0,
    )
    assert main() == 0
    assert seen == [end_at_once, 130, signal.default_int_handler]


def test_interrupt_while_the_loop_is_made_comes_after_it(capsys, monkeypatch, interruptible):
    made = []

    class Runner(asyncio.Runner):
        def __enter__(self):
            signal.raise_signal(signal.SIGINT)
            made.append(self)
            return super().__enter__()

    monkeypatch.setattr("zai_async.cli.connection.asyncio.Runner", Runner)
    assert main(["chat", "Hi", "--emulate"]) == 130
    assert len(made) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capsys.readouterr().out == ""


def test_commands_may_run_in_any_thread(capsys):
    with ThreadPoolExecutor(1) as threads:
        command = ["chat", "Hi", "--emulate", "--pace", "0", "--quiet"]
        assert threads.submit(main, command).result() == 0
    assert capsys.readouterr().out


def test_interrupts_that_somebody_else_takes_are_left_to_them(capsys, interruptible):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert main(["completion", "bash"]) == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_unknown_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["chant"])
    assert "chant" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"zai {name}" in capsys.readouterr().out


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z-]+", text))


def help_of(capsys, *words):
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--help"])
    return capsys.readouterr().out


def test_reference_lists_the_commands():
    rows = re.findall(r"^\| \[`zai (\w+)`\]\(#zai-(\w+)\) \| (.+) \|$", REFERENCE, re.MULTILINE)
    assert [name for name, _, _ in rows] == [link for _, link, _ in rows] == list(COMMANDS)
    assert [summary.lower() for _, _, summary in rows] == [s.lower() for s in COMMANDS.values()]
    assert all(f"zai {name}" in SECTIONS for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_reference_knows_every_option(command, capsys):
    output = help_of(capsys, command)
    actions = re.findall(r"(?m)^    ([a-z-]+)\b", output) if " ACTION" in output else []
    known = options_in(output + "".join(help_of(capsys, command, each) for each in actions))
    alone = {"completion", "emulator", "keys"}  # these talk to nobody
    common = "" if command in alone else SECTIONS["Common options"]
    documented = SECTIONS[f"zai {command}"] + common
    if command == "run":
        documented += SECTIONS["zai chat"]  # to which it refers
    assert known == options_in(documented) | {"--help"}


def test_emulator_tells_what_is_usual(capsys):
    output = " ".join(help_of(capsys, "emulator").split())
    for action in parser("zai emulator")._actions[1:]:
        if action.default == []:
            continue
        usual = "any" if action.default is None else f"{action.default}".removesuffix(".0")
        assert f"{action.help}" in output
        assert f"default: {usual}" in action.help
        assert usual == "any" or f"`{usual}`" in SECTIONS["zai emulator"]


@pytest.mark.parametrize(
    "option",
    [
        "--port=99999",
        "--port=-1",
        "--port=x",
        f"--port={'9' * 5000}",
        "--pace=-1",
        "--pace=nan",
        "--pace=inf",
        "--pace=x",
        "--seed=x",
    ],
    ids=lambda option: option[:14],
)
def test_emulator_refuses_what_is_no_number(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["emulator", option])
    assert option.partition("=")[0] in capsys.readouterr().err


def test_emulator_where_nobody_can_listen(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["emulator", "--port", str(taken.getsockname()[1])]) == 1
    output, said = capsys.readouterr()
    assert output == ""
    assert re.fullmatch(r"zai: .+\n", said)


def test_address_and_key_of_every_gateway_are_explained(capsys):
    words = " ".join(help_of(capsys, "chat").split())
    for provider in PROVIDERS.values():
        assert all(name in words for name in provider.url_variables)
        for name in (*provider.key_variables, *provider.url_variables):
            assert f"`{name}`" in REFERENCE


# Asking


@pytest.mark.parametrize("options", [[], ["--no-stream"]], ids=["stream", "whole"])
def test_only_the_answer_goes_to_stdout(capsys, zai_emulator, options):
    zai_emulator.chat.reply("Hello\nthere.", thinking="hm", chunk_size=3)
    assert main(["chat", "Hi", *options]) == 0
    assert capsys.readouterr() == ("Hello\nthere.\n", "")
    assert sent(zai_emulator)["messages"] == [{"role": "user", "content": "Hi"}]
    assert sent(zai_emulator)["model"] == "glm-5.3"


def test_answer_that_ends_its_line_gets_no_second_end(capsys, zai_emulator):
    zai_emulator.chat.reply("Hello\n")
    main(["chat", "Hi"])
    assert capsys.readouterr().out == "Hello\n"


def test_options_are_sent(zai_emulator):
    argv = "chat what --model glm-5.2 --thinking --effort low --max-tokens 500 is --temperature 0.5"
    assert main([*argv.split(), "--system", "Be brief.", "--", "-x?"]) == 0
    body = sent(zai_emulator)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "what is -x?"},
    ]
    fields = ("model", "thinking", "reasoning_effort", "max_tokens", "temperature")
    expected = ["glm-5.2", {"type": "enabled"}, "low", 500, 0.5]
    assert [body[name] for name in fields] == expected


def test_thinking_can_be_switched_off(zai_emulator, monkeypatch):
    monkeypatch.setenv("ZAI_MODEL", "glm-5")
    assert main(["chat", "--no-thinking", "Hi"]) == 0
    assert sent(zai_emulator)["thinking"] == {"type": "disabled"}
    assert sent(zai_emulator)["model"] == "glm-5"


@pytest.mark.parametrize(
    ("words", "piped", "prompt"),
    [
        ([], b"piped\n", "piped\n"),
        (["Sum", "up:"], b"a\nb\n", "Sum up:\n\na\nb\n"),
        (["Hi"], b"", "Hi"),
        ([], b"  if x:\r\n\treturn \r\n\n", "  if x:\r\n\treturn \r\n\n"),
        ([], b"\xef\xbb\xbfcaf\xc3\xa9\x1b[0m", "\ufeffcaf\xe9\x1b[0m"),
    ],
)
def test_prompt_is_arguments_and_input_as_it_is(zai_emulator, monkeypatch, words, piped, prompt):
    pipe_in(monkeypatch, piped)
    assert main(["chat", *words]) == 0
    assert sent(zai_emulator)["messages"][0]["content"] == prompt


def test_arguments_suffice_when_a_person_could_type(zai_emulator, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Screen("not read"))
    assert main(["chat", "Hi"]) == 0
    assert sent(zai_emulator)["messages"][0]["content"] == "Hi"


def test_input_is_read_to_its_end_when_the_answer_goes_to_a_file(zai_emulator, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Screen("typed\nlines\n"))
    assert main(["chat"]) == 0
    assert sent(zai_emulator)["messages"][0]["content"] == "typed\nlines\n"


@pytest.mark.parametrize("piped", [b"", b" \n\t\r\n"])
def test_no_prompt_is_a_usage_error(capsys, monkeypatch, piped):
    pipe_in(monkeypatch, piped)
    with pytest.raises(SystemExit, match="2"):
        main(["chat"])
    assert "no prompt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    ["--timeout=0", "--deadline=x", "--retries=-1", "--pace=inf", "--temperature=nan", "--oops"],
)
def test_options_that_cannot_be_meant(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["chat", "Hi", option])
    assert option.partition("=")[0] in capsys.readouterr().err


def test_bytes_of_another_encoding_become_marks(zai_emulator):
    assert main(["chat", "caf\udce9"]) == 0
    assert sent(zai_emulator)["messages"][0]["content"] == "caf\ufffd"


@pytest.mark.parametrize(
    ("piped", "said"),
    [
        (b"caf\xe9", "stdin is not text in UTF-8: byte 4 is 0xe9; give"),
        (b"\x89PNG\r\n\x1a\n", "stdin is not text in UTF-8: byte 1 is 0x89; give"),
        (b"\xed\xa0\x80", "byte 1 is 0xed; give"),
        (b"%PDF\0", "stdin is not text: character 5 is U+0000; give"),
    ],
)
def test_input_that_is_no_text_is_refused(capsys, monkeypatch, zai_emulator, piped, said):
    pipe_in(monkeypatch, piped)
    with pytest.raises(SystemExit, match="2"):
        main(["chat", "What is this?"])
    told = capsys.readouterr().err
    assert said in told
    assert "--file FILE" in told
    assert zai_emulator.requests == []


@pytest.mark.parametrize("command", [["tokens"], ["search"], ["image"], ["agents", "translate"]])
def test_every_command_refuses_such_input(capsys, monkeypatch, zai_emulator, command):
    pipe_in(monkeypatch, b"\xff")
    with pytest.raises(SystemExit, match="2"):
        main([*command, "-"])
    assert "stdin is not text in UTF-8: byte 1 is 0xff\n" in capsys.readouterr().err
    assert zai_emulator.requests == []


def test_output_survives_a_poor_encoding(zai_emulator, monkeypatch):
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="ascii"))
    delta = (
        rb'{"id":"1","choices":[{"delta":{"content":"caf\u00e9 \ud800!"},"finish_reason":"stop"}]}'
    )
    zai_emulator.fault(raw_frames=[b"data: " + delta + b"\n\n", b"data: [DONE]\n\n"])
    assert main(["chat", "Hi"]) == 0
    assert output.getvalue() == b"caf? ?!\n"


def test_json_is_one_line_and_survives_a_poor_encoding(capsys, zai_emulator):
    zai_emulator.chat.reply("caf\u00e9", thinking="hm")
    assert main(["chat", "Hi", "--json"]) == 0
    output = capsys.readouterr().out
    assert output.isascii()
    assert output.count("\n") == 1
    message = json.loads(output)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "caf\u00e9", "reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("length", "zai: the answer stops at the token limit\n"),
        ("sensitive", "zai: the safety filter stopped the answer\n"),
        ("model_context_window_exceeded", "zai: the answer stops because the context is full\n"),
        ("stop", ""),
    ],
)
def test_answer_that_stops_early(capsys, zai_emulator, reason, said):
    zai_emulator.chat.reply("Once upon", finish_reason=reason)
    assert main(["chat", "Hi"]) == 0
    assert capsys.readouterr() == ("Once upon\n", said)


# What a person sees


def test_thinking_is_dimmed_and_apart(capsys, zai_emulator, monkeypatch):
    watched = watch(monkeypatch)
    zai_emulator.chat.reply("Yes.", thinking="hm", chunk_size=10)
    assert main(["chat", "Hi"]) == 0
    assert capsys.readouterr().out == "Yes.\n"
    thinking, summary = watched.getvalue().split("\n\n")
    assert thinking == "\x1b[2mhm\x1b[0m"
    assert summary.startswith("\x1b[2mglm-5.3 · ")


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off(zai_emulator, monkeypatch, variable, value):
    watched = watch(monkeypatch)
    monkeypatch.setenv(variable, value)
    zai_emulator.chat.reply("Yes.", thinking="hm")
    main(["chat", "Hi"])
    assert "\x1b" not in watched.getvalue()


def test_usage_counts_tokens_and_time(zai_emulator, monkeypatch):
    watched = watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    zai_emulator.chat.reply("one two three", thinking="hm")
    main(["chat", "Hi"])
    summary = watched.getvalue().splitlines()[-1]
    assert "+ 4 tokens (1 thinking) · 0." in summary
    assert "tokens/s · 20" in summary


@pytest.mark.parametrize(
    ("columns", "ending"),
    [(200, r"tokens/s · \w+"), (60, "tokens/s"), (30, "tokens"), (1, "glm-5.3")],
)
def test_usage_fits_a_narrow_terminal(zai_emulator, monkeypatch, columns, ending):
    watched = watch(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    zai_emulator.chat.reply("one two three")
    main(["chat", "Hi"])
    line = re.sub(r"\x1b\[\d+m", "", watched.getvalue().splitlines()[-1])
    assert re.search(rf"{ending}$", line)
    assert len(line) < max(columns, 8)


def test_usage_without_thinking_and_numbers(zai_emulator, monkeypatch):
    watched = watch(monkeypatch)
    zai_emulator.chat.reply("Yes.", usage=None)
    main(["chat", "Hi"])
    line = re.sub(r"\x1b\[\d+m", "", watched.getvalue().splitlines()[-1])
    assert re.fullmatch(r"glm-\S+ · \d+\.\d s · \S+", line)


def test_a_total_that_is_not_divided_is_shown_as_one(zai_emulator, monkeypatch):
    watched = watch(monkeypatch)
    zai_emulator.chat.reply("Yes.", usage={"total_tokens": 7})
    main(["chat", "Hi"])
    line = re.sub(r"\x1b\[\d+m", "", watched.getvalue().splitlines()[-1])
    assert re.fullmatch(r"glm-\S+ · 7 tokens · \d+\.\d s · \S+", line)


def test_hidden_thinking_and_silence(zai_emulator, monkeypatch):
    watched = watch(monkeypatch)
    for option in ("--hide-thinking", "--quiet"):
        zai_emulator.chat.reply("Yes.", thinking="hm")
        assert main(["chat", "Hi", option]) == 0
    assert "hm" not in watched.getvalue()
    assert watched.getvalue().count("tokens/s") == 1


def test_thinking_of_a_json_answer_is_hidden_unless_wanted(zai_emulator, monkeypatch):
    watched = watch(monkeypatch)
    zai_emulator.chat.reply("Yes.", thinking="hm", times=2)
    main(["chat", "Hi", "--json"])
    assert "hm" not in watched.getvalue()
    main(["chat", "Hi", "--json", "--show-thinking"])
    assert "hm" in watched.getvalue()


def test_thinking_between_two_parts_of_the_answer_stands_apart(zai_emulator, monkeypatch):
    screen = watch(monkeypatch)
    monkeypatch.setattr(sys, "stdout", screen)
    deltas = [{"content": "One."}, {"reasoning_content": "hm"}, {"content": "Two."}]
    chunks = [{"id": "1", "choices": [{"delta": delta}]} for delta in deltas]
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    frames = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    zai_emulator.fault(raw_frames=[*frames, "data: [DONE]\n\n"])
    main(["chat", "Hi"])
    assert screen.getvalue().startswith("One.\n\n\x1b[2mhm\x1b[0m\n\nTwo.\n\n")


def test_thinking_is_plain_in_a_file(capsys, zai_emulator):
    zai_emulator.chat.reply("Yes.", thinking="hm")
    main(["chat", "Hi", "--show-thinking"])
    assert capsys.readouterr() == ("Yes.\n", "hm\n\n")


def test_a_terminal_is_not_driven_by_the_answer(zai_emulator, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Screen())
    zai_emulator.chat.reply("a\x1b]0;title\x07b\r\n\tc\x9bd")
    main(["chat", "Hi"])
    assert sys.stdout.getvalue() == "a\ufffd]0;title\ufffdb\n\tc\ufffdd\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters()))
def test_no_control_character_reaches_a_terminal(text):
    with contextlib.redirect_stdout(Screen()) as screen:
        Terminal().data(text)
    shown = screen.getvalue().replace("\n", "").replace("\t", "")
    assert all(unicodedata.category(character) != "Cc" for character in shown)
    ordering = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert ordering.isdisjoint(map(unicodedata.bidirectional, shown))


def test_a_file_gets_the_answer_as_it_is(capsys, zai_emulator):
    zai_emulator.chat.reply("a\x1b[2mb\r\n")
    main(["chat", "Hi"])
    assert capsys.readouterr().out == "a\x1b[2mb\r\n"


# Errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.MissingKeyError, 3),
        (errors.AuthenticationError, 3),
        (errors.PermissionDeniedError, 3),
        (errors.BillingError, 3),
        (errors.AccountError, 3),
        (errors.RateLimitError, 4),
        (errors.QuotaError, 4),
        (errors.DeadlineError, 124),
        (errors.ConfigurationError, 2),
        (errors.BadRequestError, 1),
        (errors.StreamStalledError, 1),
        (errors.ConnectError, 1),
    ],
)
def test_exit_statuses(error, status, capsys):
    assert report(error("Oh,\n  no", code="7", hint="Mind it."), Terminal()) == status
    said = capsys.readouterr().err
    assert said.startswith("zai: Oh, no (code 7)")
    assert said.endswith(" Mind it.\n")


def test_no_key_says_what_to_do(capsys, monkeypatch):
    monkeypatch.delenv("ZAI_API_KEY")
    assert main(["chat", "Hi"]) == 3
    said = capsys.readouterr().err
    assert "ZAI_API_KEY (made at https://" in said
    assert "--emulate" in said
    assert said.count("\n") == 1


def test_no_key_names_the_variables_of_the_gateway(capsys, monkeypatch):
    monkeypatch.delenv("ZAI_API_KEY")
    assert main(["chat", "Hi", "--provider", "bigmodel"]) == 3
    said = capsys.readouterr().err
    assert "set ZHIPUAI_API_KEY or ZAI_API_KEY, or save" in said


def test_refused_key(capsys, monkeypatch):
    monkeypatch.setenv("ZAI_API_KEY", "bad.key")
    assert main(["chat", "Hi"]) == 3
    said = capsys.readouterr().err
    assert "(code 1000, HTTP 401, request id 20" in said
    assert "bad.key" not in said


def test_too_many_requests(capsys, zai_emulator):
    zai_emulator.fault(code="1302")
    assert main(["chat", "Hi", "--retries", "0"]) == 4
    assert "code 1302" in capsys.readouterr().err


def test_deadline(capsys, zai_emulator):
    zai_emulator.fault(hang=True)
    assert main(["chat", "Hi", "--deadline", "0.05"]) == 124
    assert "deadline" in capsys.readouterr().err


def test_silence(zai_emulator):
    zai_emulator.fault(hang=True, times=None)
    assert main(["chat", "Hi", "--timeout", "0.05", "--retries", "0"]) == 1


def test_address_that_is_none(capsys):
    assert main(["chat", "Hi", "--base-url", "ftp://host"]) == 2
    assert "base_url" in capsys.readouterr().err


def test_nobody_answers(capsys):
    assert main(["chat", "Hi", "--base-url", GONE, "--retries", "0"]) == 1
    assert "refused" in capsys.readouterr().err


def test_cut_answer_is_printed_as_far_as_it_got(capsys, zai_emulator):
    zai_emulator.chat.reply("one two three", chunk_size=4)
    zai_emulator.fault(error_in_stream="1234", after=2)
    assert main(["chat", "Hi"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "one two "
    assert captured.err.endswith(" What was printed is not the whole answer.\n")


def test_error_in_the_middle_of_thinking_has_its_own_line(capsys, zai_emulator):
    zai_emulator.chat.reply("Yes.", thinking="one two three", chunk_size=4)
    zai_emulator.fault(error_in_stream="1234", after=2)
    assert main(["chat", "Hi", "--show-thinking"]) == 1
    assert capsys.readouterr().err.startswith("one two \nzai: ")


# The emulator inside


@pytest.mark.parametrize("provider", PROVIDERS)
def test_emulate_needs_neither_key_nor_network(capsys, monkeypatch, provider):
    monkeypatch.delenv("ZAI_API_KEY")
    monkeypatch.setenv("ZAI_BASE_URL", GONE)
    monkeypatch.setenv("HTTP_PROXY", GONE)
    assert main(["chat", "Hi", "--emulate", "--pace", "0", "--provider", provider]) == 0
    assert "> Hi" in capsys.readouterr().out


# The conversation


def test_conversation_remembers_questions_and_answers(typed, zai_emulator, capsys):
    output = typed("Hi", "", "And you?")
    zai_emulator.chat.reply("Hello.", thinking="hm")
    zai_emulator.chat.reply("Fine.")
    assert main(["chat", "--system", "Be brief."]) == 0
    assert output.getvalue() == "Hello.\nFine.\n"
    assert sent(zai_emulator)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello.", "reasoning_content": "hm"},
        {"role": "user", "content": "And you?"},
    ]
    assert capsys.readouterr().err.startswith("glm-5.3: /help")


def test_commands_change_the_conversation(typed, zai_emulator, capsys):
    typed("/system Be kind.", "Hi", "/reset", "/system", "/model glm-5", "/model", "Again")
    assert main(["chat"]) == 0
    first, second = (request.json for request in zai_emulator.requests)
    assert first["messages"][0] == {"role": "system", "content": "Be kind."}
    assert second["messages"] == [{"role": "user", "content": "Again"}]
    assert second["model"] == "glm-5"
    assert "instructions set\nforgotten\ninstructions dropped\nmodel: glm-5\nmodel: glm-5\n" in (
        capsys.readouterr().err
    )


def test_help_and_unknown_commands_ask_nothing(typed, zai_emulator, capsys):
    typed("/help", "/nope", "/exit", "not read")
    assert main(["chat"]) == 0
    assert zai_emulator.requests == []
    said = capsys.readouterr().err
    assert "/system [TEXT]" in said
    assert "no command /nope" in said


def test_a_path_is_no_command(typed, zai_emulator):
    typed("/etc/hosts is what?")
    assert main(["chat"]) == 0
    assert sent(zai_emulator)["messages"][0]["content"] == "/etc/hosts is what?"


def test_conversation_goes_on_after_an_error_and_forgets_it(typed, zai_emulator, capsys):
    typed("Bad", "Good")
    zai_emulator.fault(code="1214")
    assert main(["chat"]) == 0
    assert "code 1214" in capsys.readouterr().err
    assert sent(zai_emulator)["messages"] == [{"role": "user", "content": "Good"}]


def test_filtered_answer_is_not_sent_again(typed, zai_emulator):
    typed("Bad", "Good")
    zai_emulator.chat.reply("I sh", finish_reason="sensitive")
    assert main(["chat"]) == 0
    assert sent(zai_emulator)["messages"] == [{"role": "user", "content": "Good"}]


def test_interrupt_at_the_prompt_leaves(typed, monkeypatch):
    watched = watch(monkeypatch)
    typed(KeyboardInterrupt())
    assert main(["chat"]) == 130
    assert watched.getvalue().endswith("\n\n")


def test_interrupt_while_modules_are_loaded(monkeypatch, capsys):
    monkeypatch.setattr("zai_async.cli.commands.run", lambda _argv: strike(KeyboardInterrupt()))
    assert main(["chat", "Hi"]) == 130
    assert capsys.readouterr() == ("", "")


def test_interrupt_where_nobody_watches_prints_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdin, "read", lambda: strike(KeyboardInterrupt()))
    assert main(["chat"]) == 130
    assert capsys.readouterr() == ("", "")


def test_prompt_works_without_line_editing(typed, monkeypatch):
    typed("/exit")
    monkeypatch.setitem(sys.modules, "readline", None)
    assert main(["chat"]) == 0
    assert "zai_async.cli" not in sys.stdout.getvalue()


def test_an_interrupt_of_a_class_that_is_being_made(monkeypatch):
    """Before Python 3.12 what ``__set_name__`` raises is the cause of a RuntimeError."""
    for cause in (KeyboardInterrupt(), ValueError()):
        failed = RuntimeError("Error calling __set_name__")
        failed.__cause__ = cause

        def run(argv, failed=failed):
            raise failed

        monkeypatch.setattr("zai_async.cli.commands.run", run)
        if isinstance(cause, KeyboardInterrupt):
            assert main(["check"]) == 130
        else:
            with pytest.raises(RuntimeError):
                main(["check"])
