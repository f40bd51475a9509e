"""What people see who explore the package with an editor, with dir() and help(), or by mistake."""

import inspect
import pydoc
from typing import get_args

import pytest

import zai_async
from tests.test_operations import ROWS
from zai_async import AsyncZai, models
from zai_async._wire.keywords import KEYWORDS_ELSEWHERE, KEYWORDS_OF_CLIENT
from zai_async.providers import PROVIDERS, ProviderName
from zai_async.resources import Listing
from zai_async.testing import FakeTransport

CLIENT = AsyncZai(api_key="test", transport=FakeTransport())


def method_of(name):
    found = CLIENT
    for part in name.split("."):
        found = getattr(found, part)
    return found


METHODS = {
    row.name: row
    for row in ROWS.values()
    if not row.stream and row.name not in {"tasks.result", "file_parser.result", "agents.result"}
}


def test_dir_shows_the_api_and_nothing_else():
    assert {name for name in dir(zai_async) if not name.startswith("__")} == {
        name for name in zai_async.__all__ if not name.startswith("__")
    }


@pytest.mark.parametrize("row", METHODS.values(), ids=METHODS)
def test_help_shows_the_keywords_of_an_operation(row):
    method = method_of(row.name)
    shown = inspect.signature(method).parameters
    # What names the object of an operation may be given without its keyword.
    keywords = {name for name, each in shown.items() if each.kind is each.KEYWORD_ONLY}
    assert keywords >= row.keywords - {*shown, "stream"}
    assert not any(each.kind is each.VAR_KEYWORD for each in shown.values())
    for name in row.required & keywords:
        assert shown[name].default is inspect.Parameter.empty


def test_keywords_are_shown_in_the_order_of_their_use():
    names = [*inspect.signature(CLIENT.chat.completions.create).parameters]
    assert names[:3] == ["stream", "model", "messages"]
    assert names[-2:] == ["options", "extra"]
    text = pydoc.plain(pydoc.render_doc(CLIENT.chat.completions.create))
    assert "temperature: float = ..." in text
    assert "model: " in text


def test_the_names_of_gateways_are_known():
    assert set(get_args(ProviderName)) == set(PROVIDERS)


@pytest.mark.parametrize("keyword", KEYWORDS_ELSEWHERE)
async def test_keywords_of_other_sdks_get_the_right_hint(keyword):
    with pytest.raises(TypeError) as caught:
        await CLIENT.embeddings.create(model="m", input="a", **{keyword: 1})
    assert str(caught.value).endswith(f"{keyword}; {KEYWORDS_ELSEWHERE[keyword]}")


async def test_a_misspelt_keyword_is_recognized():
    with pytest.raises(TypeError, match=r"temprature; did you mean temperature\?$"):
        await CLIENT.chat.completions.create(model="m", messages="a", temprature=1)
    with pytest.raises(TypeError, match=r"n, new_field; .*n times; a field newer .* extra"):
        await CLIENT.chat.completions.create(model="m", messages="a", n=2, new_field=1)


@pytest.mark.parametrize("keyword", KEYWORDS_OF_CLIENT)
def test_settings_of_other_clients_get_the_right_hint(keyword):
    with pytest.raises(TypeError) as caught:
        CLIENT.with_options(**{keyword: 1})
    assert str(caught.value).endswith(
        f"with_options() got an unexpected keyword: {keyword}; {KEYWORDS_OF_CLIENT[keyword]}"
    )


@pytest.mark.parametrize("keyword", ["max_retries", "default_headers", "colour"])
def test_a_client_refuses_unknown_settings(keyword):
    with pytest.raises(
        TypeError, match=rf"AsyncZai\(\) got an unexpected keyword: {keyword}"
    ) as caught:
        AsyncZai(api_key="k", **{keyword: 1})
    assert KEYWORDS_OF_CLIENT.get(keyword, "") in str(caught.value)


def test_a_listing_is_typed():
    assert inspect.signature(CLIENT.files.list).return_annotation == Listing[models.File]
