"""``zai ui``: a chat in the browser."""

import argparse
import os
import webbrowser
from collections.abc import Sequence

from zai_async.cli.arguments import text
from zai_async.cli.chat import CHAT_MODEL, VISION_MODEL
from zai_async.cli.connection import add_options, connect
from zai_async.cli.terminal import FAILED, Terminal
from zai_async.cli.texts import SEARCH_DEFAULTS, SEARCH_DEFAULTS_OF
from zai_async.testing.server import port

__all__ = ["run_ui", "ui_parser"]

_NO_PAGE = """\
zai: the page has not been built. It comes with the wheels of zai-async; in a clone of the
repository `make ui` builds it, which needs npm."""


def ui_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai ui``."""
    parser = argparse.ArgumentParser(
        prog="zai ui",
        usage="zai ui [OPTION ...]",
        description="Serve a chat on this machine and open it in the browser.",
    )
    group = parser.add_argument_group("page")
    group.add_argument(
        "-m", "--model", type=text, help=f"chosen at first; default: {CHAT_MODEL}, or ZAI_MODEL"
    )
    group.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; default: loopback"
    )
    group.add_argument("--port", type=port, default=8642, help="0 picks a free one; default: 8642")
    group.add_argument(
        "--allow-host",
        metavar="NAME",
        dest="hosts",
        action="append",
        default=[],
        help="a name by which browsers may reach it; default: localhost and addresses",
    )
    group.add_argument(
        "--no-browser", dest="browser", action="store_false", help="only print the address"
    )
    add_options(parser)
    return parser


def run_ui(argv: Sequence[str], terminal: Terminal) -> int:
    """Serve the chat until Ctrl-C."""
    arguments = ui_parser().parse_args(argv)
    # Imported late: a server, which nothing else here needs.
    from zai_async.web.ui import is_bundled, make_app, serve  # noqa: PLC0415

    if not is_bundled():
        terminal.note(_NO_PAGE)
        return FAILED

    def is_ready(url: str) -> None:
        terminal.data(f"{url}\n")
        if arguments.browser:
            webbrowser.open(url)

    search = SEARCH_DEFAULTS_OF.get(arguments.provider, SEARCH_DEFAULTS)
    with connect(arguments, terminal) as call:
        app = make_app(
            call.zai,
            model=arguments.model or os.environ.get("ZAI_MODEL") or CHAT_MODEL,
            vision_model=VISION_MODEL,
            search_engine=search["search_engine"],
            hosts=arguments.hosts,
        )
        call.run(serve(app, arguments.host, arguments.port, is_ready))
    return 0
