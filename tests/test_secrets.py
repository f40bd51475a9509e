import copy
import logging
import pickle
import pprint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_async._secrets import MASK, Secret, redact

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
        ("tiny", ()),
        ("", ()),
    ],
)
def test_parts_are_what_gives_the_key_away(text, parts):
    assert Secret(text).parts() == parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"bad key {KEY}!", f"bad key {MASK}!"),
        ("secret half CanaryCanary", f"secret half {MASK}"),
        (f"{KEY} {KEY}", f"{MASK} {MASK}"),
        ("the id 0123456789abcdef is no secret", "the id 0123456789abcdef is no secret"),
        ("", ""),
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
