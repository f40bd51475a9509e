"""``zai agents``: agents that translate, make slides, or do other work."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from zai_async.cli.arguments import Actions, given, media, place, said, setting, text
from zai_async.cli.connection import Invocation, add_options, connect
from zai_async.cli.output import add_output
from zai_async.cli.tasks import OUT, hand_over, wait
from zai_async.cli.terminal import Terminal
from zai_async.models import AgentParams, AgentPartParam

__all__ = ["agents_parser", "run_agents"]

_TRANSLATOR: Final = "general_translation"
_SLIDES: Final = "slides_glm_agent"


def agents_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai agents``."""
    parser = argparse.ArgumentParser(prog="zai agents", description="Let an agent do some work.")
    actions = Actions(parser)
    translation = actions.add("translate", translate, "translate a text")
    invocation = actions.add("invoke", invoke, "call an agent and wait for what it makes")
    streaming = actions.add("stream", stream, "call an agent and see it work")
    conversation = actions.add("conversation", fetch_slides, "fetch the slides of a conversation")

    # Options of several actions stand together, so that they stay the same.
    for each in (invocation, streaming):
        each.add_argument("agent", type=text, metavar="AGENT", help="such as slides_glm_agent")
    for each in (translation, invocation, streaming):
        each.add_argument(
            "words", nargs="+", type=text, metavar="TEXT", help="what to say, or - for stdin"
        )
    conversation.add_argument(
        "id", type=text, metavar="ID", help="as `zai agents stream` printed it"
    )
    conversation.add_argument("--pdf", action="store_true", help="export a pdf too")

    group = translation.add_argument_group("request")
    group.add_argument("--to", type=text, metavar="LANGUAGE", help="such as de; default: zh-CN")
    group.add_argument(
        "--from", type=text, dest="source", metavar="LANGUAGE", help="default: found out"
    )
    group.add_argument(
        "--strategy", type=text, metavar="NAME", help="such as paraphrase; default: general"
    )
    for each in (invocation, streaming):
        group = each.add_argument_group("request")
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

    add_output(translation, "write to this file")
    add_output(streaming, "a directory for the slides, as HTML", accept=place)
    for each in (invocation, conversation):
        add_output(each, OUT, accept=place)
    for each in (translation, invocation, streaming, conversation):
        add_options(each)
    return parser


def run_agents(argv: Sequence[str], terminal: Terminal) -> int:
    """Let an agent do one thing."""
    parser = agents_parser()
    arguments = parser.parse_args(argv)
    # `conversation` alone takes no text.
    if "words" in arguments:
        arguments.text = said(parser, arguments.words)
    with connect(arguments, terminal) as call:
        arguments.action(call)
    return 0


def request_of(agent: str, variables: dict[str, Any], call: Invocation) -> AgentParams:
    """Return the request that the arguments describe: their text, and their images if any."""
    images: list[AgentPartParam] = [
        {"type": "image_url", "image_url": media(image)}
        for image in getattr(call.arguments, "image", ())
    ]
    parts: list[AgentPartParam] = [{"type": "text", "text": call.arguments.text}, *images]
    return {
        "agent_id": agent,
        "messages": [{"role": "user", "content": parts}],
        "custom_variables": variables,
        "options": call.options,
    }


def translate(call: Invocation) -> None:
    """Print the translation of a text."""
    arguments = call.arguments
    variables = given(
        source_lang=arguments.source, target_lang=arguments.to, strategy=arguments.strategy
    )
    reply = call.run(call.zai.agents.invoke(**request_of(_TRANSLATOR, variables, call)))
    call.answer(reply, reply.text, arguments.out)


def invoke(call: Invocation) -> None:
    """Call an agent, and wait for what it does later."""
    arguments = call.arguments
    request = request_of(arguments.agent, dict(arguments.set), call)
    # Those that answer at once return a task that is done.
    task = call.run(call.zai.agents.submit(**request))
    hand_over(wait(task, call, "agent"), call)


def stream(call: Invocation) -> None:
    """Print the text of an agent while it is written, then save its slides."""
    arguments, terminal = call.arguments, call.terminal
    request = request_of(arguments.agent, dict(arguments.set), call)
    answer = call.zai.agents.stream(**request)

    async def show() -> None:
        async with answer:
            async for piece in answer.text:
                if not arguments.json:
                    terminal.data(piece)

    call.run(show())
    # With --json nothing was printed so far: half of a JSON line would help nobody.
    call.answer(answer.snapshot, "\n")

    if arguments.out is not None:
        directory = Path(arguments.out)
        directory.mkdir(parents=True, exist_ok=True)
        for page in answer.pages:
            (directory / f"{page.position}.html").write_text(page.html, encoding="utf-8")
    # Needed to come back for the slides as files; it is not part of the answer.
    if answer.conversation_id and not call.quiet:
        terminal.note(f"zai: conversation {answer.conversation_id}")


def fetch_slides(call: Invocation) -> None:
    """Hand over the slides of a conversation."""
    work = call.zai.agents.conversation(
        agent_id=_SLIDES,
        conversation_id=call.arguments.id,
        custom_variables={"include_pdf": call.arguments.pdf},
        options=call.options,
    )
    hand_over(call.run(work), call)
