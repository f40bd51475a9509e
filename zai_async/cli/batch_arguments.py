"""What the actions of ``zai batch`` understand in common."""

import argparse

from zai_async import Price
from zai_async.cli.arguments import count, number, setting, text
from zai_async.cli.schemas import schema

__all__ = ["add_request", "add_run"]


def add_request(parser: argparse.ArgumentParser) -> None:
    """Add what is said about all rows; `zai batch validate` understands it as well."""
    group = parser.add_argument_group("request")
    group.add_argument("-m", "--model", type=text, help="who answers rows that name no model")
    group.add_argument(
        "-s", "--system", type=text, metavar="TEXT", help="instructions for the model"
    )
    group.add_argument(
        "--template",
        type=text,
        metavar="TEXT",
        help="the prompt, with columns of a row in braces: 'Translate: {title}'",
    )
    group.add_argument(
        "--param",
        type=setting,
        action="append",
        default=[],
        dest="params",
        metavar="NAME=VALUE",
        help="a field of the request, for rows that do not have it; may be repeated",
    )
    group.add_argument(
        "--schema",
        type=schema,
        metavar="MODULE:TYPE|FILE",
        help="what the answers are to fit: a type, or a JSON Schema",
    )
    group.add_argument(
        "--price",
        type=price,
        action="append",
        default=[],
        dest="prices",
        metavar="MODEL=IN/OUT",
        help="of a million tokens of prompts and of answers; may be repeated",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add how the rows are answered."""
    group = parser.add_argument_group("run")
    group.add_argument(
        "--concurrency",
        type=positive,
        metavar="N",
        help="requests at once, instead of as many as the account allows",
    )
    group.add_argument(
        "--budget", type=positive, metavar="TOKENS", help="stop when so many are spent"
    )
    group.add_argument(
        "--budget-cost", type=number, metavar="MONEY", help="stop when so much is spent, by --price"
    )
    group.add_argument(
        "--ordered", action="store_true", help="print all lines as well, in the order of the rows"
    )
    group.add_argument(
        "--force-resume", action="store_true", help="go on with an output of other settings"
    )


def positive(word: str) -> int:
    """Parse a whole number from 1.

    Raises:
        ArgumentTypeError: It is not one.
    """
    value = count(word)
    if not value:
        raise argparse.ArgumentTypeError("it must be more than 0")
    return value


def price(word: str) -> tuple[str, Price]:
    """Parse MODEL=IN/OUT.

    Raises:
        ArgumentTypeError: It is something else.
    """
    model, _, prices = word.partition("=")
    prompt, slash, completion = prices.partition("/")
    if not (model and slash):
        raise argparse.ArgumentTypeError(f"{word!r} is not MODEL=IN/OUT, such as glm-5.3=0.6/2.2")
    return model, Price(prompt=number(prompt), completion=number(completion))
