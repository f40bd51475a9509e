"""One tool call: from the arguments that a model wrote to the text that it reads."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

import anyio
import msgspec

from zai_async._threads import running_loop
from zai_async.models import ToolCall
from zai_async.models.encoding import to_plain
from zai_async.session import Hooks, ToolEvent, work_block
from zai_async.structured import is_pydantic
from zai_async.tools.events import ToolProgress
from zai_async.tools.state import ToolRecord
from zai_async.tools.tool import Tool, ToolError

__all__ = ["RunningCall", "current_tool_call", "report_progress", "run_call"]

_FAILED: Final = "the tool failed"


class RunningCall:
    """What a function can find out about the call that it runs for."""

    def __init__(
        self, record: ToolRecord, send: Callable[[ToolProgress], None], hooks: Hooks
    ) -> None:
        self.record = record
        self.hooks = hooks
        self._send = send
        self._loop = asyncio.get_running_loop()

    def report(self, data: object) -> None:
        """Hand data to the events of the run, from any thread."""
        # From the loop itself at once, so that progress comes before the end of its call.
        if running_loop() is self._loop:
            self._pass_on(data)
        else:
            self._loop.call_soon_threadsafe(self._pass_on, data)

    def _pass_on(self, data: object) -> None:
        # A thread may go on after its call was given up.
        if self.record.status == "started":
            self._send(ToolProgress(self.record.call.id, data))


_running: Final[ContextVar[RunningCall | None]] = ContextVar("zai_async_tool_call", default=None)


def current_tool_call() -> ToolCall | None:
    """Return the call for which a tool runs, None outside of a run.

    Its ``id`` is a key under which the tool can note what it has done.
    """
    running = _running.get()
    return None if running is None else running.record.call


def report_progress(data: object) -> None:
    """Tell how far a tool has come: the run hands it out as ``ToolProgress``.

    May be called from a thread; does nothing outside of a run.
    """
    running = _running.get()
    if running is not None:
        running.report(data)


async def run_call(
    running: RunningCall,
    tool: Tool[..., Any],
    arguments: Mapping[str, Any],
    *,
    expose_errors: bool,
) -> Exception | None:
    """Run a tool and write down what came of it; return the exception that it raised.

    What the model reads of an exception that was not meant for it is only that there was one:
    messages hold paths, addresses and secrets.
    """
    record = running.record
    # Never reset: the task makes nothing but calls, and each of them sets its own.
    _running.set(running)
    # Not fail_after(): a TimeoutError that the tool raises itself is another matter.
    scope = anyio.move_on_after(tool.timeout)
    shown = arguments if running.hooks.content else None
    event = ToolEvent(name=tool.name, tool_call_id=record.call.id, arguments=shown)
    try:
        with scope, work_block(running.hooks, event):
            record.finish("completed", text_of(await tool.run(arguments)))
    except asyncio.CancelledError:
        # Something that the tool awaited may have been cancelled, and not the tool itself.
        task = asyncio.current_task()
        record.fail("cancelled", "the call was cancelled")
        if task is None or task.cancelling():
            raise
        return None
    except ToolError as error:
        record.fail("failed", str(error))
        return error
    except Exception as error:  # noqa: BLE001 - whatever a tool raises, the model has to be told
        said = f"{type(error).__name__}: {error}" if expose_errors else _FAILED
        record.fail("failed", said)
        return error
    if scope.cancelled_caught:
        record.fail("timeout", f"the tool took longer than {tool.timeout:g} seconds")
    return None


def text_of(result: object) -> str:
    """Return the result of a tool as a model reads it: text as it is, all else as JSON.

    Raises:
        TypeError: JSON has no form for it.
    """
    if isinstance(result, str):
        return result
    # By its own method, which knows aliases and serializers that we do not.
    if is_pydantic(type(result)):
        return str(result.model_dump_json())  # type: ignore[attr-defined]
    plain = to_plain(result)
    try:
        return msgspec.json.encode(plain).decode()
    except UnicodeEncodeError:
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
