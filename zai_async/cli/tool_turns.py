"""A question that is answered with tools, as ``zai chat --tools`` shows it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from zai_async._protocol.events import TextDelta, ThinkingDelta
from zai_async.cli.connection import Invocation
from zai_async.models import ChatCompletion, ChatParams, MessageParam, ToolCall
from zai_async.tools import ToolFinished, ToolRun

__all__ = ["ToolTurn"]


class TurnDisplay(Protocol):
    """Where a turn is shown."""

    def thinking(self, text: str) -> None:
        """Show a piece of the reasoning."""
        ...

    def text(self, text: str) -> None:
        """Show a piece of an answer."""
        ...

    def tool(self, text: str) -> None:
        """Show a line about a call."""
        ...


class ToolTurn:
    """One turn: the model is asked, and asked again with the results of what it calls.

    Args:
        call: Where to ask.
        display: Where everything is shown.
        tools: What the model may call.
    """

    def __init__(
        self, call: Invocation, display: TurnDisplay, tools: Sequence[Callable[..., Any]]
    ) -> None:
        self.messages: list[MessageParam] = []
        """The messages of the turn, when it is over."""
        self._call = call
        self._display = display
        self._tools = tools

    def take(self, request: ChatParams) -> ChatCompletion:
        """Return the last answer; a person is asked about calls that need approval.

        Raises:
            ZaiError: There is no answer, or no proper one.
        """
        completions = self._call.zai.chat.completions
        params: Any = {**request, "tools": self._tools}
        run = completions.run_tools(**params)
        answer = self._call.run(self.show(run))
        while run.pending is not None:
            # Between two runs, because whoever types would hold the event loop up.
            decisions = {call.id: self.allows(call) for call in run.pending.pending}
            run = completions.resume_tools(
                run.pending, tools=self._tools, decisions=decisions, options=self._call.options
            )
            answer = self._call.run(self.show(run))
        self.messages = run.messages
        return answer

    async def show(self, run: ToolRun) -> ChatCompletion:
        """Show what happens until the run ends or waits for a decision."""
        # Leaving it ends tools that still run, as after Ctrl-C.
        async with run:
            async for event in run.events:
                match event:
                    case ThinkingDelta(text):
                        self._display.thinking(text)
                    case TextDelta(text):
                        self._display.text(text)
                    case ToolCall():
                        self._display.tool(f"{event.name}({event.arguments})")
                    case ToolFinished():
                        self._display.tool(f"{event.name}: {event.outcome}: {event.content}")
                    case _:
                        pass
            return await run.completion()

    def allows(self, call: ToolCall) -> bool:
        """Ask a person about a call; where there is none, nobody agrees."""
        if not self._call.terminal.interactive:
            note = f"zai: {call.name} needs somebody who agrees, and nobody is asked here"
            self._call.terminal.note(note)
            return False
        # The question belongs on a line of its own, below what the model has said.
        self._call.terminal.end_line()
        try:
            said = input(f"allow {call.name}({call.arguments})? [y/N] ")
        except EOFError:
            return False
        return said.strip().lower() in {"y", "yes"}
