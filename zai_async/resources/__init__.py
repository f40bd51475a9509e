"""The groups of operations, as a client shows them."""

from zai_async.resources.chat import Chat, Completions

__all__ = ["Chat", "Completions"]
