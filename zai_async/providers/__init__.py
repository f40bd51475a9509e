"""Gateways as data: where they are, how they want the key, and what they name differently."""

from zai_async.providers.gateways import LOWCODEAPI, LOWCODEAPI_CODING, truto
from zai_async.providers.platform import BIGMODEL, BIGMODEL_CODING, ZAI, ZAI_CODING
from zai_async.providers.provider import Provider
from zai_async.providers.resolution import PROVIDERS, require_usable_key, resolve_provider

__all__ = [
    "BIGMODEL",
    "BIGMODEL_CODING",
    "LOWCODEAPI",
    "LOWCODEAPI_CODING",
    "PROVIDERS",
    "ZAI",
    "ZAI_CODING",
    "Provider",
    "require_usable_key",
    "resolve_provider",
    "truto",
]
