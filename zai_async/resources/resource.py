"""What every group of operations is made of."""

from zai_async.session import SessionManager

__all__ = ["Resource"]


class Resource:
    """Hold the engine that makes the calls."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
