"""Whether aiohttp still has inside what ``_internals`` uses."""

from typing import Any

import aiohttp
from aiohttp import helpers, http_writer
from aiohttp.client_proto import ResponseHandler

__all__ = ["hold"]


def hold() -> bool:
    """Tell whether aiohttp still has inside what is used here."""
    unbound: Any = None  # a loop is not needed to ask for names
    names: tuple[tuple[object, str], ...] = (
        (aiohttp.StreamReader, "_buffer _eof _eof_callbacks _exception _high_water _loop on_eof"),
        (aiohttp.StreamReader, "_protocol _size _waiter feed_data begin_http_chunk_receiving"),
        (ResponseHandler(unbound), "_buffer _exception _parser _payload _reading_paused read"),
        (ResponseHandler(unbound), "_read_bufsize _skip_payload set_exception set_response_params"),
        (aiohttp.TCPConnector, "_close _get _wrap_create_connection"),
        (aiohttp.ClientRequest, "connection_key"),
        (aiohttp.ClientSession, "_request trace_configs"),
        (http_writer, "_serialize_headers"),
        (helpers, "_EXC_SENTINEL"),
    )
    return all(hasattr(owner, name) for owner, wanted in names for name in wanted.split())
