"""``zai mcp``: the operations of the platform as tools of the Model Context Protocol."""

import argparse
import os
import secrets
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from zai_async.cli.connection import add_options, connect
from zai_async.cli.terminal import Terminal
from zai_async.errors import ConfigurationError
from zai_async.testing.server import port

__all__ = ["mcp_parser", "run_mcp"]

# Loopback only, unless somebody asks for more: who reaches it spends the key's money.
_HOST, _PORT = "127.0.0.1", 8766
_TOKEN: Final = "ZAI_MCP_TOKEN"  # noqa: S105 - the name of a variable


def mcp_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai mcp``."""
    parser = argparse.ArgumentParser(
        prog="zai mcp",
        description="Serve the platform's operations as tools of the Model Context Protocol.",
    )
    parser.add_argument(
        "--root", type=Path, metavar="FOLDER", help="let tools send files of this folder"
    )
    parser.add_argument(
        "--http", action="store_true", help="serve Streamable HTTP instead of stdin and stdout"
    )
    group = parser.add_argument_group("http")
    group.add_argument("--host", default=_HOST, help=f"address to listen on; default: {_HOST}")
    group.add_argument(
        "--port", type=port, default=_PORT, help=f"0 picks a free one; default: {_PORT}"
    )
    group.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="another name of it"
    )
    group.add_argument(
        "--allow-origin", metavar="ORIGIN", action="append", default=[], help="of a web page"
    )
    add_options(parser)
    return parser


def run_mcp(argv: Sequence[str], terminal: Terminal) -> int:
    """Serve until stdin is closed, or until Ctrl-C."""
    arguments = mcp_parser().parse_args(argv)
    if find_spec("mcp") is None:
        raise ConfigurationError("zai mcp needs the extra mcp: pip install 'zai-async[mcp]'")
    if arguments.root is not None and not arguments.root.is_dir():
        raise ConfigurationError(f"--root: {str(arguments.root)!r} is no folder")
    # Imported by name, as in the rest of the package: checkers need not have the extra.
    room: Any = import_module("zai_async.integrations.mcp_server")
    with connect(arguments, terminal) as call:
        server = room.mcp_server(call.zai, root=arguments.root)
        if not arguments.http:
            call.run(room.serve_stdio(server))
            return 0
        # Never from an argument, which other users of the machine could see.
        token = os.environ.get(_TOKEN, "").strip()
        if not token:
            token = secrets.token_urlsafe(24)
            terminal.note(f"zai: Authorization: Bearer {token} (or set {_TOKEN})")
        app = room.http_app(
            server,
            token=token,
            host=arguments.host,
            allowed_hosts=arguments.allow_host,
            allowed_origins=arguments.allow_origin,
        )
        where = {"host": arguments.host, "port": arguments.port}
        call.run(room.serve_http(app, **where, on_start=terminal.data))
    return 0
