"""Ctrl-C and SIGTERM: the first lets a run come to its end, the second one stops it at once."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["on_stop_signals"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_stop_signals(
    stop: Callable[[str], None], abort: Callable[[], None]
) -> Generator[None, None, None]:
    """Call ``stop`` with the name of the first signal, and ``abort`` at each further one.

    What handled the signals before does so again afterwards. Only the main thread is sent any.
    """
    loop = asyncio.get_running_loop()
    taken: dict[signal.Signals, object] = {}
    received = 0

    def receive(number: signal.Signals) -> None:
        nonlocal received
        received += 1
        if received == 1:
            stop(number.name)
        else:
            abort()

    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            before = signal.getsignal(number)
            # Windows has no handlers of this kind.
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, receive, number)
                taken[number] = before
    try:
        yield
    finally:
        for number, handler in taken.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)  # type: ignore[arg-type]  # what getsignal() returns
