"""``zai files``: files on the platform."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from zai_async.cli.actions import Actions
from zai_async.cli.arguments import text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import Output, add_output, table
from zai_async.cli.progress import Progress
from zai_async.cli.terminal import Terminal
from zai_async.models import File

__all__ = ["run"]


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Do one thing with files."""
    arguments = _parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        arguments.act(arguments, connection, terminal)
    return 0


def _upload(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    work = connection.zai.files.create(
        file=arguments.file,
        purpose=arguments.purpose,
        on_progress=Progress(terminal, quiet=arguments.quiet).transfer("upload"),
        options=connection.options,
    )
    file = connection.run(work)
    Output(arguments, terminal).answer(file, file.id)


def _list(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    files = connection.run(_listed(connection, arguments.purpose))
    Output(arguments, terminal).answer(files, table([_row(file) for file in files]))


async def _listed(connection: Connection, purpose: str) -> list[File]:
    listing = connection.zai.files.list(purpose=purpose, options=connection.options)
    return [file async for file in listing]


def _row(file: File) -> tuple[str, str, str, str]:
    created = f"{file.created:%Y-%m-%d %H:%M}" if file.created else "-"
    return file.id, str(file.bytes), created, file.filename


def _content(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    work = connection.zai.files.content(arguments.id, options=connection.options)
    content = connection.run(work).content
    if arguments.out is None:
        terminal.content(content)
    else:
        Path(arguments.out).write_bytes(content)


def _delete(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    work = connection.zai.files.delete(arguments.id, options=connection.options)
    deletion = connection.run(work)
    Output(arguments, terminal).answer(deletion, deletion.id)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai files", description="Work with uploaded files.")
    actions = Actions(parser)
    _add_upload(actions)
    _add_list(actions)
    _add_content(actions)
    _add_delete(actions)
    return parser


def _add_upload(actions: Actions) -> None:
    parser = actions.add("upload", _upload, "upload a file and print its id")
    parser.add_argument("file", metavar="FILE", help="a path, at most 100 MB")
    _add_purpose(parser)
    add_output(parser)
    add_options(parser)


def _add_list(actions: Actions) -> None:
    parser = actions.add("list", _list, "list files: id, bytes, time in UTC, name (bigmodel)")
    _add_purpose(parser)
    add_output(parser)
    add_options(parser)


def _add_content(actions: Actions) -> None:
    parser = actions.add("content", _content, "write what a file holds (bigmodel)")
    _add_id(parser)
    add_output(parser, "write to this file", json=False)
    add_options(parser)


def _add_delete(actions: Actions) -> None:
    parser = actions.add("delete", _delete, "delete a file (bigmodel)")
    _add_id(parser)
    add_output(parser)
    add_options(parser)


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the id of the file")


def _add_purpose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--purpose", type=text, default="agent", help="such as batch; default: agent"
    )
