"""What is built on the client and reached through it: batches, and turns with tools.

Both stand above the client and import from it. An import back would be a circle, and every program
would load what most need none of; so they are loaded when they are first asked for, and here alone.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zai_async.session import SessionManager
from zai_async.streams import ChatStream

if TYPE_CHECKING:
    from zai_async.batch import Batching
    from zai_async.tools import RunState, ToolRun

__all__ = ["batching", "tool_run"]


def batching(manager: SessionManager) -> "Batching":
    """Return ``zai.batch``."""
    made: Batching = import_module("zai_async.batch").Batching(manager)
    return made


def tool_run(
    manager: SessionManager,
    ask: Callable[..., ChatStream],
    params: Mapping[str, Any],
    state: "RunState | None" = None,
) -> "ToolRun":
    """Return a turn with tools that asks the model by ``ask``, new or from a state on."""
    made: ToolRun = import_module("zai_async.tools").ToolRun(
        ask, params, state, hooks=manager.settings.hooks
    )
    return made
