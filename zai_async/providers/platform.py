"""The four endpoints of the platform itself.

Sources: https://docs.z.ai/api-reference/introduction, https://docs.z.ai/devpack/overview and
https://docs.bigmodel.cn/cn/api/introduction.
"""

from collections.abc import Mapping
from types import MappingProxyType

from zai_async.providers.provider import Provider

__all__ = ["BIGMODEL", "BIGMODEL_CODING", "ZAI", "ZAI_CODING", "explained"]

_ELSEWHERE = (
    "Other endpoints: provider='zai' (general balance), 'zai-coding' (Coding Plan), "
    "'bigmodel' and 'bigmodel-coding' (mainland accounts)."
)


def explained(here: str, **more: str) -> Mapping[str, str]:
    """Return hints that say which endpoint refused the key or the bill, and which others exist."""
    text = f"{here} {_ELSEWHERE}"
    return MappingProxyType({"billing": text, "auth": text, **more})


ZAI = Provider(
    name="zai",
    base_url="https://api.z.ai/api",
    hints=explained("This is the general endpoint (provider='zai')."),
)
"""The general endpoint of Z.AI, paid from the balance."""

_CODING = frozenset({"chat.completions.create", "models.list", "quota"})

ZAI_CODING = Provider(
    name="zai-coding",
    base_url="https://api.z.ai/api",
    families=MappingProxyType({"paas/v4": "coding/paas/v4"}),
    operations=_CODING,
    hints=explained(
        "This is the Coding Plan endpoint (provider='zai-coding').",
        human="The Coding Plan may only be used from the tools that its policy lists.",
    ),
)
"""The Coding Plan endpoint of Z.AI: chat and quota only, explicit choice, never a fallback."""

BIGMODEL = Provider(
    name="bigmodel",
    base_url="https://open.bigmodel.cn/api",
    key_variables=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    url_variables=("ZHIPUAI_BASE_URL",),
    hints=explained("This is open.bigmodel.cn (provider='bigmodel')."),
)
"""The platform for mainland accounts."""

BIGMODEL_CODING = Provider(
    name="bigmodel-coding",
    base_url="https://open.bigmodel.cn/api",
    families=MappingProxyType({"paas/v4": "coding/paas/v4"}),
    key_variables=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),
    url_variables=("ZHIPUAI_BASE_URL",),
    operations=_CODING,
    hints=explained("This is the Coding Plan endpoint (provider='bigmodel-coding')."),
)
"""The Coding Plan endpoint for mainland accounts."""
