"""Texts from files and from the web: ``zai files``, ``ocr``, ``read``, ``search``, ``tokens``."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from zai_async.cli.arguments import add_words, count, given, media, parse, said, text
from zai_async.cli.connection import Actions, Connection, add_options, connect
from zai_async.cli.output import Output, Progress, add_output, table, write_content
from zai_async.cli.terminal import Terminal
from zai_async.models import File, Handwriting, Layout, LayoutParams, SearchParams, SearchResult

__all__ = ["run_files", "run_ocr", "run_read", "run_search", "run_tokens"]


def run_files(argv: Sequence[str], terminal: Terminal) -> int:
    """Do one thing with files."""
    arguments = _files_parser().parse_args(argv)
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
    Output(arguments, terminal).answer(files, table([_file_row(file) for file in files]))


async def _listed(connection: Connection, purpose: str) -> list[File]:
    listing = connection.zai.files.list(purpose=purpose, options=connection.options)
    return [file async for file in listing]


def _file_row(file: File) -> tuple[str, str, str, str]:
    created = f"{file.created:%Y-%m-%d %H:%M}" if file.created else "-"
    return file.id, str(file.bytes), created, file.filename


def _content(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    work = connection.zai.files.content(arguments.id, options=connection.options)
    write_content(connection.run(work).content, terminal, arguments.out)


def _delete(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> None:
    work = connection.zai.files.delete(arguments.id, options=connection.options)
    deletion = connection.run(work)
    Output(arguments, terminal).answer(deletion, deletion.id)


def _files_parser() -> argparse.ArgumentParser:
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


OCR_MODEL: Final = "glm-ocr"


def run_ocr(argv: Sequence[str], terminal: Terminal) -> int:
    """Print a document as Markdown, or handwriting line by line."""
    arguments = _ocr_parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        progress = Progress(terminal, quiet=arguments.quiet)
        found = connection.run(_recognized(arguments, connection, progress))
    Output(arguments, terminal, arguments.out).answer(found, found.text)
    return 0


async def _recognized(
    arguments: argparse.Namespace, connection: Connection, progress: Progress
) -> Layout | Handwriting:
    if arguments.handwriting:
        return await connection.zai.ocr.handwriting(
            file=arguments.file,
            on_progress=progress.transfer("upload"),
            options=connection.options,
        )
    return await connection.zai.layout_parsing.parse(**_ocr_request(arguments, connection))


def _ocr_request(arguments: argparse.Namespace, connection: Connection) -> LayoutParams:
    request = given(
        model=arguments.model,
        file=media(arguments.file),
        start_page_id=arguments.first,
        end_page_id=arguments.last,
        options=connection.options,
    )
    return cast("LayoutParams", request)


def _ocr_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai ocr", description="Print a picture or a pdf as Markdown."
    )
    parser.add_argument("file", metavar="FILE", help="a path, or the address of a document")
    group = parser.add_argument_group("request")
    group.add_argument("--model", type=text, default=OCR_MODEL, help=f"default: {OCR_MODEL}")
    group.add_argument("--first", type=count, metavar="PAGE", help="first page of a pdf, from 1")
    group.add_argument("--last", type=count, metavar="PAGE", help="last page of a pdf")
    group.add_argument(
        "--handwriting", action="store_true", help="read handwriting in an image file (bigmodel)"
    )
    add_output(parser, "write to this file")
    add_options(parser)
    return parser


def run_read(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the text of a page."""
    arguments = _read_parser().parse_args(argv)
    with connect(arguments, terminal) as connection:
        work = connection.zai.reader.read(
            url=arguments.url,
            return_format=arguments.format,
            retain_images=arguments.images,
            no_cache=arguments.fresh,
            options=connection.options,
        )
        page = connection.run(work)
    Output(arguments, terminal, arguments.out).answer(page, page.text)
    return 0


def _read_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zai read", description="Print a web page as Markdown.")
    parser.add_argument("url", type=text, metavar="URL", help="the address of the page")
    group = parser.add_argument_group("request")
    group.add_argument(
        "--format", choices=("markdown", "text"), default="markdown", help="default: markdown"
    )
    group.add_argument(
        "--no-images", dest="images", action="store_false", help="leave out the pictures"
    )
    group.add_argument("--fresh", action="store_true", help="take no copy from a cache")
    add_output(parser, "write to this file")
    add_options(parser)
    return parser


_RECENCIES: Final = {
    "day": "oneDay",
    "week": "oneWeek",
    "month": "oneMonth",
    "year": "oneYear",
    None: None,
}
_HERE: Final = {"search_engine": "search-prime"}
# There the engines have other names, and the intent must be given.
_ELSEWHERE: Final[Mapping[str, Mapping[str, Any]]] = {
    "bigmodel": {"search_engine": "search_std", "search_intent": False}
}


def run_search(argv: Sequence[str], terminal: Terminal) -> int:
    """Print what was found: title, address and summary."""
    parser = _search_parser()
    arguments = parse(parser, argv)
    query = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        request = _search_request(arguments, query, connection)
        found = connection.run(connection.zai.web_search.create(**request))
    Output(arguments, terminal).answer(found, "\n\n".join(map(_paragraph, found.results)))
    return 0


def _search_request(
    arguments: argparse.Namespace, query: str, connection: Connection
) -> SearchParams:
    usual = _ELSEWHERE.get(arguments.provider, _HERE)
    wanted = given(
        search_engine=arguments.engine,
        count=arguments.count,
        search_recency_filter=_RECENCIES[arguments.recency],
        search_domain_filter=arguments.domain,
        options=connection.options,
    )
    return cast("SearchParams", {"search_query": query, **usual, **wanted})


def _paragraph(result: SearchResult) -> str:
    return "\n".join(filter(None, (result.title, result.link, result.content)))


def _search_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai search",
        usage="zai search [OPTION ...] QUERY ...",
        description="Search the web; each result is a title, an address and a summary.",
    )
    add_words(parser, "QUERY", "what to look for, or - for stdin")
    group = parser.add_argument_group("request")
    group.add_argument("--engine", type=text, metavar="NAME", help="default: search-prime")
    group.add_argument("--count", type=count, metavar="N", help="results, 1 to 50; default: 10")
    recencies = [name for name in _RECENCIES if name]
    group.add_argument("--recency", choices=recencies, help="no older than that")
    group.add_argument("--domain", type=text, help="search this domain only")
    add_output(parser)
    add_options(parser)
    return parser


COUNTING_MODEL: Final = "glm-4.6"


def run_tokens(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the number of tokens."""
    parser = _tokens_parser()
    arguments = parse(parser, argv)
    prompt = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        work = connection.zai.tokenizer.count(
            model=arguments.model, messages=prompt, options=connection.options
        )
        counted = connection.run(work)
    Output(arguments, terminal).answer(counted, str(counted.total_tokens))
    return 0


def _tokens_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zai tokens",
        usage="zai tokens [OPTION ...] TEXT ...",
        description="Count the tokens of a text, as the message of a user.",
    )
    add_words(parser, "TEXT", "what to count, or - for stdin")
    parser.add_argument(
        "--model",
        type=text,
        default=COUNTING_MODEL,
        help=f"whose tokens; default: {COUNTING_MODEL}",
    )
    add_output(parser)
    add_options(parser)
    return parser
