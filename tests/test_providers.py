from contextlib import aclosing

import pytest

from zai_async import AsyncZai, errors
from zai_async import _operations as ep
from zai_async._secrets import Secret
from zai_async._wire import Operation, RequestFactory
from zai_async.models import ChatParams
from zai_async.providers import (
    BIGMODEL,
    BIGMODEL_CODING,
    LOWCODEAPI,
    PROVIDERS,
    ZAI,
    ZAI_CODING,
    Provider,
    require_usable_key,
    resolve_provider,
)
from zai_async.testing import FakeReply, FakeTransport

AGENTS = Operation("agents.invoke", "v1/agents", dict, ChatParams)


def url(operation, provider, base_url=None):
    params = {"model": "m", "messages": "hi"}
    where = resolve_provider(provider, base_url)
    return RequestFactory(operation, where, Secret("k"), {}).build(params).url


@pytest.mark.parametrize(
    ("provider", "chat"),
    [
        ("zai", "https://api.z.ai/api/paas/v4/chat/completions"),
        ("zai-coding", "https://api.z.ai/api/coding/paas/v4/chat/completions"),
        ("bigmodel", "https://open.bigmodel.cn/api/paas/v4/chat/completions"),
        ("bigmodel-coding", "https://open.bigmodel.cn/api/coding/paas/v4/chat/completions"),
    ],
)
def test_where_chat_lives(provider, chat):
    assert url(ep.CHAT, provider) == chat
    assert resolve_provider(provider).name == provider


@pytest.mark.parametrize("provider", ["zai", "bigmodel"])
def test_agents_live_beside_chat_and_not_below_it(provider):
    assert url(AGENTS, provider) == f"{PROVIDERS[provider].base_url}/v1/agents"


@pytest.mark.parametrize(
    "spelling",
    [
        "https://api.z.ai",
        "https://api.z.ai/",
        "https://api.z.ai/api",
        "https://api.z.ai/api/",
        "https://api.z.ai/api///",
        " https://api.z.ai/api\n",
        "https://api.z.ai/api/paas/v4",
        "https://api.z.ai/api/paas/v4/",
        "https://api.z.ai/api/paas/v4//",
        "HTTPS://api.z.ai/api/paas/v4",
        "https://api.z.ai/api/paas/v4?",
        "https://api.z.ai/api/paas/v4#",
        "https://api.z.ai/api/pa\nas/v4",
    ],
)
def test_every_spelling_of_the_base_url_means_the_same(spelling):
    assert url(ep.CHAT, "zai", spelling) == url(ep.CHAT, "zai")
    assert url(AGENTS, "zai", spelling) == url(AGENTS, "zai")


@pytest.mark.parametrize(
    ("provider", "base_url", "chat", "agents"),
    [
        (
            "zai",
            "https://api.z.ai/api/coding/paas/v4/",
            "https://api.z.ai/api/coding/paas/v4/chat/completions",
            "https://api.z.ai/api/v1/agents",
        ),
        (
            "zai",
            "https://proxy.example/zai/api/paas/v4",
            "https://proxy.example/zai/api/paas/v4/chat/completions",
            "https://proxy.example/zai/api/v1/agents",
        ),
        (
            "zai",
            "https://proxy.example/glm/api",
            "https://proxy.example/glm/api/paas/v4/chat/completions",
            "https://proxy.example/glm/api/v1/agents",
        ),
        (
            "zai",
            "http://localhost:4000/v1",
            "http://localhost:4000/v1/chat/completions",
            "http://localhost:4000/v1/agents",
        ),
        (
            "zai",
            "http://[::1]:8080",
            "http://[::1]:8080/chat/completions",
            "http://[::1]:8080/v1/agents",
        ),
        (
            "zai",
            "https://proxy.example/a%20b/X/",
            "https://proxy.example/a%20b/X/chat/completions",
            "https://proxy.example/a%20b/X/v1/agents",
        ),
        (
            "zai",
            "https://proxy.example/anthropic-and-others",
            "https://proxy.example/anthropic-and-others/chat/completions",
            "https://proxy.example/anthropic-and-others/v1/agents",
        ),
        (
            "bigmodel",
            "http://open.bigmodel.cn:80",
            "http://open.bigmodel.cn:80/api/paas/v4/chat/completions",
            "http://open.bigmodel.cn:80/api/v1/agents",
        ),
    ],
)
def test_another_address_is_used_as_it_stands(provider, base_url, chat, agents):
    assert url(ep.CHAT, provider, base_url) == chat
    assert url(AGENTS, provider, base_url) == agents


@pytest.mark.parametrize("base_url", ["https://proxy.example/api", "https://api.z.ai"])
def test_the_coding_plan_keeps_its_path_at_another_address(base_url):
    chat = url(ep.CHAT, "zai-coding", base_url)
    assert chat.endswith("/api/coding/paas/v4/chat/completions")
    assert chat.startswith(base_url)


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("", "absolute"),
        ("api.z.ai/api", "absolute"),
        ("//api.z.ai/api", "absolute"),
        ("/api/paas/v4", "absolute"),
        ("ftp://api.z.ai/api", "absolute"),
        ("wss://api.z.ai/api", "absolute"),
        ("https://", "absolute"),
        ("https:///api", "absolute"),
        ("https://[::1/api", "absolute"),
        ("https://api.z.ai:port/api", "absolute"),
        ("https://api.z.ai:99999/api", "absolute"),
        ("https://api.z.ai/api?key=CANARY", "query"),
        ("https://api.z.ai/api#CANARY", "fragment"),
        ("https://user:CANARY@api.z.ai/api", "credentials"),
        ("https://CANARY@api.z.ai/api", "credentials"),
        ("https://@api.z.ai/api", "credentials"),
        ("https://api.z.ai/api/paas/v4/chat/completions", "before /chat/completions"),
        ("https://api.z.ai/api/paas/v4/chat/completions/", "before /chat/completions"),
        ("https://api.z.ai/api/anthropic", "Anthropic"),
        ("https://api.z.ai/api/anthropic/v1/messages", "Anthropic"),
    ],
)
def test_what_cannot_be_a_base_url_is_refused_without_repeating_secrets(base_url, message):
    with pytest.raises(errors.ConfigurationError, match=message) as caught:
        resolve_provider("zai", base_url)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(errors.ConfigurationError) as caught:
        resolve_provider("openai")
    assert all(name in str(caught.value) for name in ("'openai'", *PROVIDERS))


def test_the_coding_plan_serves_chat_models_and_quota_only():
    for provider in (ZAI_CODING, BIGMODEL_CODING):
        assert provider.operations == {"chat.completions.create", "models.list", "quota"}
        with pytest.raises(errors.ConfigurationError, match=r"no operation agents\.invoke"):
            url(AGENTS, provider)


@pytest.mark.parametrize("name", PROVIDERS)
def test_hints_name_the_endpoint_and_its_alternatives(name):
    for kind in ("billing", "auth"):
        hint = PROVIDERS[name].hints[kind]
        assert f"provider='{name}'" in hint
        assert "'zai-coding'" in hint


@pytest.mark.parametrize(
    ("code", "provider", "texts"),
    [
        ("1113", "zai", ["No balance or package", "provider='zai'", "'zai-coding'"]),
        ("1113", "bigmodel-coding", ["No balance or package", "provider='bigmodel-coding'"]),
        ("1000", "zai-coding", ["Check the API key", "provider='zai-coding'"]),
        ("1309", "zai-coding", ["has expired", "from the tools that its policy lists"]),
        ("1210", "zai", []),
    ],
)
async def test_an_error_says_which_endpoint_refused(code, provider, texts):
    refusal = FakeReply.json({"error": {"code": code, "message": "refused"}}, status=429)
    async with AsyncZai(api_key="k", provider=provider, transport=FakeTransport(refusal)) as zai:
        with pytest.raises(errors.APIError) as caught:
            await zai.chat.completions.create(model="glm-5.3", messages="hi")
        async with aclosing(zai.chat.completions.stream(model="glm-5.3", messages="hi")) as stream:
            with pytest.raises(errors.APIError) as streamed:
                await stream.open()
    for error in (caught.value, streamed.value):
        assert all(text in str(error) for text in texts)
        assert bool(error.hint) == bool(texts)


async def test_a_provider_may_explain_what_has_no_other_hint():
    mine = Provider(name="mine", base_url="http://x", hints={"request": "Ask the caretaker."})
    refusal = FakeReply.json({"error": {"code": "1210", "message": "refused"}}, status=400)
    async with AsyncZai(api_key="k", provider=mine, transport=FakeTransport(refusal)) as zai:
        with pytest.raises(errors.BadRequestError, match=r"\(code 1210, HTTP 400\)\. Ask the care"):
            await zai.chat.completions.create(model="glm-5.3", messages="hi")


@pytest.mark.parametrize("provider", [BIGMODEL, BIGMODEL_CODING])
def test_mainland_accounts_have_variables_of_their_own(provider):
    assert provider.key_variables == ("ZHIPUAI_API_KEY", "ZAI_API_KEY")
    assert provider.url_variables == ("ZHIPUAI_BASE_URL",)
    assert ZAI.key_variables == ("ZAI_API_KEY",)
    assert ZAI.url_variables == ("ZAI_BASE_URL",)


def test_a_provider_of_ones_own():
    mine = Provider(
        name="mine",
        base_url="https://gateway.example/x",
        families={"paas/v4": "llm"},
        key_in="query",
        key_parameter="token",
    )
    assert resolve_provider(mine) is mine
    params = {"model": "m", "messages": "hi"}
    request = RequestFactory(ep.CHAT, mine, Secret("CANARY"), {}).build(params)
    assert request.url == "https://gateway.example/x/llm/chat/completions"
    assert request.secret_query == {"token": Secret("CANARY")}
    assert request.secret_headers == {}
    assert url(AGENTS, mine) == "https://gateway.example/x/v1/agents"


def test_providers_cannot_be_changed():
    with pytest.raises(AttributeError):
        ZAI.base_url = "https://elsewhere.example"
    with pytest.raises(TypeError):
        PROVIDERS["mine"] = ZAI
    with pytest.raises(TypeError):
        ZAI.families["v1"] = ""


@pytest.mark.parametrize(
    ("pasted", "what"),
    [
        ("Bearer id.secret", "begins with 'Bearer'"),
        ("bearer id.secret", "begins with 'Bearer'"),
        ("Bearer: id.secret", "begins with 'Bearer'"),
        ("Bearer", "begins with 'Bearer'"),
        ("Bearer=id.secret", "begins with 'Bearer'"),
        ("api_key=id.secret", "begins with the name of a variable"),
        ("%ZAI_API_KEY%", "only stands for a key"),
        ("Authorization: Bearer id.secret", "begins with 'Bearer'"),
        ("Authorization: id.secret", "name of a header"),
        ("ZAI_API_KEY=id.secret", "name of a variable"),
        ("export ZAI_API_KEY = id.secret", "name of a variable"),
        ('"id.secret"', "in quotes"),
        ("'id.secret'", "in quotes"),
        ('id.secret"', "in quotes"),
        ("`id.secret`", "in quotes"),
        ("\u201cid.secret\u201d", "in quotes"),
        ("<your key>", "stands for a key"),
        ("${ZAI_API_KEY}", "stands for a key"),
        ("{{ key }}", "stands for a key"),
        (" id.secret", "blanks"),
        ("id. secret", "blanks"),
        ("id.secret id.secret", "blanks"),
        ("id.secret,", "comma"),
        ("id.secret;", "semicolon"),
        ("id.secret\n", "blanks"),
        ("id.s\u00e9cret", "no header can carry"),
        ("id.\x00secret", "no header can carry"),
    ],
)
@pytest.mark.parametrize("provider", [ZAI, LOWCODEAPI])
def test_a_key_that_was_copied_with_its_surroundings_is_refused(provider, pasted, what):
    with pytest.raises(errors.ConfigurationError, match=what) as caught:
        require_usable_key(provider, Secret(pasted))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["id.secret", "BEARERS.secret", "bearer-of.news", "k=v.secret"])
def test_a_key_may_hold_almost_anything(key):
    require_usable_key(ZAI, Secret(key))
