"""``zai agents``: agents that translate, make slides, or do other work."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zai_async.cli.arguments import given, media, said, setting, text
from zai_async.cli.connection import Actions, Connection, add_options, connect
from zai_async.cli.output import Output, add_output
from zai_async.cli.tasks import OUT, hand_over, wait
from zai_async.cli.terminal import Terminal
from zai_async.models import AgentParams, AgentPartParam
from zai_async.streams import AgentStream, SlidePage

__all__ = ["run_agents"]

_TRANSLATOR = "general_translation"
_SLIDES = "slides_glm_agent"


def run_agents(argv: Sequence[str], terminal: Terminal) -> int:
    """Let an agent do one thing."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if "words" in arguments:
        arguments.text = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        arguments.act(arguments, connection, terminal)
    return 0


def _translate(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    wishes = given(
        source_lang=arguments.source, target_lang=arguments.to, strategy=arguments.strategy
    )
    parts: list[AgentPartParam] = [{"type": "text", "text": arguments.text}]
    request = _request(_TRANSLATOR, parts, wishes, connection)
    reply = connection.run(connection.zai.agents.invoke(**request))
    Output(arguments, terminal, arguments.out).answer(reply, reply.text)


def _invoke(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    """Call an agent, and wait for what it does later."""
    task = connection.run(connection.zai.agents.submit(**_custom(arguments, connection)))
    reply = wait(task, arguments, connection, terminal, "agent")
    hand_over(reply, arguments, connection, terminal)


def _stream(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    stream = connection.zai.agents.stream(**_custom(arguments, connection))
    connection.run(_show(stream, terminal, silent=arguments.json))
    if arguments.json:
        Output(arguments, terminal).answer(stream.snapshot, "")
    if arguments.out is not None:
        _save(stream.pages, Path(arguments.out))
    if stream.conversation_id and not arguments.quiet:
        terminal.note(f"zai: conversation {stream.conversation_id}")


async def _show(stream: AgentStream, terminal: Terminal, *, silent: bool) -> None:
    async with stream:
        async for piece in stream.text:
            if not silent:
                terminal.data(piece)
    if not silent:
        terminal.data("\n")


def _save(pages: Iterable[SlidePage], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for page in pages:
        (directory / f"{page.position}.html").write_text(page.html, encoding="utf-8")


def _conversation(
    arguments: argparse.Namespace, connection: Connection, terminal: Terminal
) -> None:
    reply = connection.run(
        connection.zai.agents.conversation(
            agent_id=_SLIDES,
            conversation_id=arguments.id,
            custom_variables={"include_pdf": arguments.pdf},
            options=connection.options,
        )
    )
    hand_over(reply, arguments, connection, terminal)


def _custom(arguments: argparse.Namespace, connection: Connection) -> AgentParams:
    images: list[AgentPartParam] = [
        {"type": "image_url", "image_url": media(image)} for image in arguments.image
    ]
    parts: list[AgentPartParam] = [{"type": "text", "text": arguments.text}, *images]
    return _request(arguments.agent, parts, dict(arguments.set), connection)


def _request(
    agent: str, parts: Sequence[AgentPartParam], wishes: dict[str, Any], connection: Connection
) -> AgentParams:
    return {
        "agent_id": agent,
        "messages": [{"role": "user", "content": parts}],
        "custom_variables": wishes,
        "options": connection.options,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai agents", description="Let an agent do some work.")
    actions = Actions(parser)
    _add_translate(actions)
    invoke = actions.add("invoke", _invoke, "call an agent and wait for what it makes")
    _add_call(invoke, OUT)
    stream = actions.add("stream", _stream, "call an agent and see it work")
    _add_call(stream, "a directory for the slides, as HTML")
    _add_conversation(actions)
    return parser


def _add_translate(actions: Actions) -> None:
    parser = actions.add("translate", _translate, "translate a text")
    _add_text(parser)
    group = parser.add_argument_group("request")
    group.add_argument("--to", type=text, metavar="LANGUAGE", help="such as de; default: zh-CN")
    group.add_argument(
        "--from", type=text, dest="source", metavar="LANGUAGE", help="default: found out"
    )
    group.add_argument(
        "--strategy", type=text, metavar="NAME", help="such as paraphrase; default: general"
    )
    add_output(parser, "write to this file")
    add_options(parser)


def _add_call(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument("agent", type=text, metavar="AGENT", help="such as slides_glm_agent")
    _add_text(parser)
    group = parser.add_argument_group("request")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        type=setting,
        metavar="NAME=VALUE",
        help="what the agent wants to know besides; may be repeated",
    )
    group.add_argument(
        "--image", action="append", default=[], metavar="FILE", help="a path or an address"
    )
    add_output(parser, out)
    add_options(parser)


def _add_text(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="+", type=text, metavar="TEXT", help="what to say, or - for stdin"
    )


def _add_conversation(actions: Actions) -> None:
    parser = actions.add("conversation", _conversation, "fetch the slides of a conversation")
    parser.add_argument("id", type=text, metavar="ID", help="as `zai agents stream` printed it")
    parser.add_argument("--pdf", action="store_true", help="export a pdf too")
    add_output(parser, OUT)
    add_options(parser)
