"""Texts out of documents and the web: ``zai ocr``, ``read``, ``search`` and ``tokens``."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from zai_async.cli.arguments import add_words, count, given, media, parse, said, text
from zai_async.cli.connection import add_options, connect
from zai_async.cli.output import add_output
from zai_async.cli.terminal import Terminal
from zai_async.models import Handwriting, Layout, LayoutParams, SearchParams

__all__ = [
    "ocr_parser",
    "read_parser",
    "run_ocr",
    "run_read",
    "run_search",
    "run_tokens",
    "search_parser",
    "tokens_parser",
]

OCR_MODEL: Final = "glm-ocr"


def ocr_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai ocr``."""
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


def run_ocr(argv: Sequence[str], terminal: Terminal) -> int:
    """Print a document as Markdown, or handwriting line by line."""
    arguments = ocr_parser().parse_args(argv)
    with connect(arguments, terminal) as call:
        found: Handwriting | Layout
        if arguments.handwriting:
            work = call.zai.ocr.handwriting(
                file=arguments.file,
                on_progress=call.progress().transfer("upload"),
                options=call.options,
            )
            found = call.run(work)
        else:
            # Markdown of the whole page; handwriting has an operation of its own.
            request = given(
                model=arguments.model,
                file=media(arguments.file),
                start_page_id=arguments.first,
                end_page_id=arguments.last,
                options=call.options,
            )
            found = call.run(call.zai.layout_parsing.parse(**cast("LayoutParams", request)))
    call.answer(found, found.text, arguments.out)
    return 0


def read_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai read``."""
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


def run_read(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the text of a page."""
    arguments = read_parser().parse_args(argv)
    with connect(arguments, terminal) as call:
        work = call.zai.reader.read(
            url=arguments.url,
            return_format=arguments.format,
            retain_images=arguments.images,
            no_cache=arguments.fresh,
            options=call.options,
        )
        page = call.run(work)
    call.answer(page, page.text, arguments.out)
    return 0


_RECENCIES: Final = {"day": "oneDay", "week": "oneWeek", "month": "oneMonth", "year": "oneYear"}
SEARCH_DEFAULTS: Final = {"search_engine": "search-prime"}
# There the engines have other names, and the intent must be given.
SEARCH_DEFAULTS_OF: Final[Mapping[str, Mapping[str, Any]]] = {
    "bigmodel": {"search_engine": "search_std", "search_intent": False}
}


def search_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai search``."""
    parser = argparse.ArgumentParser(
        prog="zai search",
        usage="zai search [OPTION ...] QUERY ...",
        description="Search the web; each result is a title, an address and a summary.",
    )
    add_words(parser, "QUERY", "what to look for, or - for stdin")
    group = parser.add_argument_group("request")
    group.add_argument("--engine", type=text, metavar="NAME", help="default: search-prime")
    group.add_argument("--count", type=count, metavar="N", help="results, 1 to 50; default: 10")
    group.add_argument("--recency", choices=_RECENCIES, help="no older than that")
    group.add_argument("--domain", type=text, help="search this domain only")
    add_output(parser)
    add_options(parser)
    return parser


def run_search(argv: Sequence[str], terminal: Terminal) -> int:
    """Print what was found: title, address and summary."""
    parser = search_parser()
    arguments = parse(parser, argv)
    query = said(parser, arguments.words)
    with connect(arguments, terminal) as call:
        request = given(
            search_engine=arguments.engine,
            count=arguments.count,
            search_recency_filter=_RECENCIES.get(arguments.recency),
            search_domain_filter=arguments.domain,
            options=call.options,
        )
        defaults = SEARCH_DEFAULTS_OF.get(arguments.provider, SEARCH_DEFAULTS)
        request = {"search_query": query, **defaults, **request}
        found = call.run(call.zai.web_search.create(**cast("SearchParams", request)))
    # Any of the three may be missing, and an empty line would end the paragraph.
    paragraphs = [
        "\n".join(filter(None, (result.title, result.link, result.content)))
        for result in found.results
    ]
    call.answer(found, "\n\n".join(paragraphs))
    return 0


COUNTING_MODEL: Final = "glm-4.6"


def tokens_parser() -> argparse.ArgumentParser:
    """Describe the command line of ``zai tokens``."""
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


def run_tokens(argv: Sequence[str], terminal: Terminal) -> int:
    """Print the number of tokens."""
    parser = tokens_parser()
    arguments = parse(parser, argv)
    prompt = said(parser, arguments.words)
    with connect(arguments, terminal) as call:
        work = call.zai.tokenizer.count(
            model=arguments.model, messages=prompt, options=call.options
        )
        counted = call.run(work)
    call.answer(counted, str(counted.total_tokens))
    return 0
