"""``zai search``: the web, searched."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from zai_async.cli.arguments import add_words, count, given, parse, said, text
from zai_async.cli.connection import Connection, add_options, connect
from zai_async.cli.output import Output, add_output
from zai_async.cli.terminal import Terminal
from zai_async.models import SearchParams
from zai_async.models.chat import SearchResult

__all__ = ["run"]

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


def run(argv: Sequence[str], terminal: Terminal) -> int:
    """Print what was found: title, address and summary."""
    parser = _parser()
    arguments = parse(parser, argv)
    query = said(parser, arguments.words)
    with connect(arguments, terminal) as connection:
        request = _request(arguments, query, connection)
        found = connection.run(connection.zai.web_search.create(**request))
    Output(arguments, terminal).answer(found, "\n\n".join(map(_paragraph, found.results)))
    return 0


def _request(arguments: argparse.Namespace, query: str, connection: Connection) -> SearchParams:
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


def _parser() -> argparse.ArgumentParser:
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
