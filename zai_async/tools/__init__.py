"""Functions that a model may call."""

from zai_async.tools.tool import Tool, ToolError, ToolOptions, tool

__all__ = ["Tool", "ToolError", "ToolOptions", "tool"]
