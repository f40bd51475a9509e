"""Running the chat app until a signal ends it."""

import signal
from collections.abc import Callable

import anyio
from aiohttp import web

__all__ = ["serve"]


async def serve(
    app: web.Application, host: str, port: int, is_ready: Callable[[str], object]
) -> None:
    """Serve until Ctrl-C or SIGTERM; ``is_ready`` is called with the address of the page.

    Raises:
        OSError: The address cannot be listened on.
    """
    # Without handler_cancellation a handler learns of a lost reader only when it writes.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await web.TCPSite(runner, host, port).start()
            number = runner.addresses[0][1]
            is_ready(f"http://{f'[{host}]' if ':' in host else host}:{number}/")
            await anext(aiter(signals))
    finally:
        await runner.cleanup()
