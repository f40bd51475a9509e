import base64
import copy
import html
import json
import logging
import pickle
import pprint
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async import CallOptions
from zai_async._secrets import MASK, MaskedHeaders, Secret, masked, one_line, printable, redact
from zai_async.session import Settings

KEY = "0123456789abcdef.CanaryCanary"


def test_a_secret_is_revealed_only_on_purpose(caplog):
    secret = Secret(KEY)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", pprint.pformat([secret])]
    shown += [repr({"key": secret}), repr(dir(secret)), repr(secret._read), "%s" % secret]  # noqa: UP031
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%s %r", secret, secret)
    assert "Canary" not in "".join(shown) + caplog.text
    assert secret.reveal() == KEY


def test_a_secret_has_no_attributes_to_print():
    with pytest.raises(TypeError):
        vars(Secret(KEY))


def test_secrets_compare_by_value_with_secrets_only():
    assert Secret(KEY) == Secret(KEY)
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY), Secret("other")}) == 2


def test_an_empty_secret_is_false():
    assert Secret(KEY)
    assert not Secret("")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol):
    with pytest.raises(TypeError, match="environment variable"):
        pickle.dumps(Secret(KEY), protocol)


def test_a_copy_of_a_secret_is_the_secret():
    secret = Secret(KEY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"key": [secret]})["key"][0] is secret


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0123456789.abcdefgh", ("0123456789.abcdefgh", "abcdefgh")),
        ("undivided-key", ("undivided-key",)),
        ("0123456789.short", ("0123456789.short",)),
        ("Bearer 0123456789.abcdefgh", None),
        ("tiny", ()),
        ("", ()),
    ],
)
def test_parts_are_what_gives_the_key_away(text, parts):
    if parts is None:
        parts = (text, "0123456789.abcdefgh", "abcdefgh")
    assert Secret(text).parts() == parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"bad key {KEY}!", f"bad key {MASK}!"),
        ("secret half CanaryCanary", f"secret half {MASK}"),
        (f"{KEY} {KEY}", f"{MASK} {MASK}"),
        ("the id 0123456789abcdef is no secret", "the id 0123456789abcdef is no secret"),
        ("", ""),
        ("cut: 0123456789abcdef.CanaryCan", f"cut: 0123456789abcdef.{MASK}"),
        ("cut: Canary", f"cut: {MASK}"),
        ("cut: Canar", "cut: Canar"),
        ("Canary is cut", "Canary is cut"),
    ],
)
def test_redact_masks_the_key_and_its_secret_half(text, expected):
    assert redact(text, [Secret(KEY)]) == expected


def test_redact_masks_every_secret():
    text = redact("first-secret and second-secret", map(Secret, ["first-secret", "second-secret"]))
    assert text == f"{MASK} and {MASK}"


@given(st.text(), st.text("abcdef0123456789", min_size=6), st.text())
def test_a_redacted_text_never_holds_the_key(before, key, after):
    text = redact(f"{before}{key}{after}", [Secret(key)])
    assert key not in text
    assert MASK in text


ODD = 'ab/c d+e&<"é>.Canary/Canary+=='


@pytest.mark.parametrize("key", [KEY, ODD])
@pytest.mark.parametrize(
    "encode",
    [
        lambda key: quote(key, safe=""),
        lambda key: re.sub("%..", lambda found: found[0].lower(), quote(key, safe="")),
        quote,
        quote_plus,
        html.escape,
        lambda key: json.dumps(key)[1:-1],
        lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
        lambda key: key.encode().hex(),
    ],
    ids=range(8),
)
def test_an_encoded_echo_is_masked(key, encode):
    text = redact(f"[{encode(key)}]", [Secret(key)])
    assert text == f"[{MASK}]"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "a", "ab", "user:", "Bearer "])
@pytest.mark.parametrize("after", ["", "x", ":password"])
@pytest.mark.parametrize("key", [KEY, ODD])
def test_an_echo_in_base64_is_masked_wherever_it_begins(encode, before, after, key):
    text = redact(encode(f"{before}{key}{after}".encode()).decode(), [Secret(key)])
    assert MASK in text
    kept = text.replace(MASK, "")
    # At both ends a character may be left that the neighbours colour.
    assert len(kept) <= len(base64.b64encode(f"{before}{after}".encode())) + 4


def test_headers_of_the_caller_are_printed_masked():
    own = {"X-Mine": "canary"}
    options = CallOptions(headers=own)
    settings = Settings(headers=own)
    for shown in (options, settings, masked(own), {"options": options}):
        assert "canary" not in repr(shown) + str(shown)
        assert "X-Mine" in repr(shown)
    assert options.headers == own
    assert copy.deepcopy(options) == options == pickle.loads(pickle.dumps(options))
    assert "canary" not in repr(pickle.loads(pickle.dumps(options)))
    assert masked(options.headers) is options.headers
    assert masked(nothing := {}) is nothing
    assert isinstance(masked(own), MaskedHeaders)


@pytest.mark.parametrize(
    ("text", "shown", "line"),
    [
        ("plain ü 中 😀", "plain ü 中 😀", "plain ü 中 😀"),
        ("a\nb\tc", "a\nb\tc", r"a\nb\tc"),
        ("a\rb\x1b[2J", r"a\rb\x1b[2J", r"a\rb\x1b[2J"),
        ("\u202e\u2028\x85\x7f", r"\u202e\u2028\x85\x7f", r"\u202e\u2028\x85\x7f"),
        ("\ud800", r"\ud800", r"\ud800"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text, shown, line):
    assert printable(text) == shown
    assert one_line(text) == line
