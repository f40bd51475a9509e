"""``zai files``: upload, list, fetch and delete files."""

import argparse
from collections.abc import Sequence

from zai_async.cli.arguments import Actions, text
from zai_async.cli.connection import Invocation, add_options, connect
from zai_async.cli.output import add_output, table, write_content
from zai_async.cli.terminal import Terminal
from zai_async.models import File

__all__ = ["files_parser", "run_files"]


def files_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai files``."""
    parser = argparse.ArgumentParser(prog="zai files", description="Work with uploaded files.")
    actions = Actions(parser)

    upload = actions.add("upload", upload_file, "upload a file and print its id")
    upload.add_argument("file", metavar="FILE", help="a path, at most 100 MB")

    summary = "list files: id, bytes, time in UTC, name (bigmodel)"
    listing = actions.add("list", list_files, summary)
    for each in (upload, listing):
        each.add_argument(
            "--purpose", type=text, default="agent", help="such as batch; default: agent"
        )

    # These three are documented for bigmodel only; Z.AI need not serve them.
    content = actions.add("content", fetch_file, "write what a file holds (bigmodel)")
    deletion = actions.add("delete", delete_file, "delete a file (bigmodel)")
    for each in (content, deletion):
        each.add_argument("id", metavar="ID", help="the id of the file")

    add_output(content, "write to this file", json=False)
    for each in (upload, listing, deletion):
        add_output(each)
    for each in (upload, listing, content, deletion):
        add_options(each)
    return parser


def run_files(argv: Sequence[str], terminal: Terminal) -> int:
    """Do one thing with files."""
    arguments = files_parser().parse_args(argv)
    with connect(arguments, terminal) as call:
        arguments.action(call)
    return 0


def upload_file(call: Invocation) -> None:
    """Upload a file and print its id."""
    work = call.zai.files.create(
        file=call.arguments.file,
        purpose=call.arguments.purpose,
        on_progress=call.progress().transfer("upload"),
        options=call.options,
    )
    file = call.run(work)
    call.answer(file, file.id)


def list_files(call: Invocation) -> None:
    """Print a line for each file."""

    async def collect() -> list[File]:
        pages = call.zai.files.list(purpose=call.arguments.purpose, options=call.options)
        return [file async for file in pages]

    files = call.run(collect())
    rows = [
        (
            file.id,
            str(file.bytes),
            f"{file.created:%Y-%m-%d %H:%M}" if file.created else "-",
            file.filename,
        )
        for file in files
    ]
    call.answer(files, table(rows))


def fetch_file(call: Invocation) -> None:
    """Write the content of a file to stdout or to a path."""
    content = call.run(call.zai.files.content(call.arguments.id, options=call.options)).content
    write_content(content, call.terminal, call.arguments.out)


def delete_file(call: Invocation) -> None:
    """Delete a file and print its id."""
    deletion = call.run(call.zai.files.delete(call.arguments.id, options=call.options))
    call.answer(deletion, deletion.id)
