"""What a key is good for: ``zai.models``, and the endpoints that accept it."""

from functools import partial
from typing import Unpack

import anyio
import msgspec

from zai_async import _operations as ep
from zai_async.errors import ConfigurationError, ZaiError
from zai_async.models import CallOptions, CallParams, Model
from zai_async.providers import PROVIDERS, Provider
from zai_async.resources.resource import Listing, Resource
from zai_async.session import SessionManager

__all__ = ["EndpointCheck", "Models", "check_endpoints"]

_PATIENCE = CallOptions(timeout=15.0, retries=0)


class Models(Resource):
    """``zai.models``: what there is to talk to."""

    def list(self, **params: Unpack[CallParams]) -> Listing[Model]:
        """List the models: ``await`` the page, or ``async for`` over it.

        The operation is undocumented, free of charge, and a way to find out whether a key works.
        Some models that it leaves out can be used all the same.
        """
        return Listing(partial(self._manager.call, ep.MODELS), params)


class EndpointCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Tell whether one endpoint accepts a key."""

    provider: str
    """What to pass as ``AsyncZai(provider=...)``."""
    ok: bool
    detail: str
    """Why not, with the code of the error and what to do about it."""


async def check_endpoints(manager: SessionManager) -> tuple[EndpointCheck, ...]:
    """Ask the endpoints that the key may belong to for their list of models, all at once.

    Raises:
        ConfigurationError: The gateway has no list of models.
    """
    candidates = _candidates(manager.settings.provider)
    found: dict[str, EndpointCheck] = {}

    async def check(provider: Provider) -> None:
        settings = msgspec.structs.replace(manager.settings, provider=provider)
        ok, detail = True, "accepted"
        try:
            await SessionManager(settings, manager.sessions).call(ep.MODELS, {"options": _PATIENCE})
        except ZaiError as error:
            ok, detail = False, str(error)
        found[provider.name] = EndpointCheck(provider=provider.name, ok=ok, detail=detail)

    # All at once: a host that is down would make the others wait for its timeout.
    async with anyio.create_task_group() as group:
        for provider in candidates:
            group.start_soon(check, provider)
    return tuple(found[provider.name] for provider in candidates)


def _candidates(provider: Provider) -> list[Provider]:
    """Return the platform's own endpoints, or this provider alone if it is none of them."""
    if not provider.has(ep.MODELS.name):
        raise ConfigurationError(f"provider {provider.name!r} has no list of models to ask for")
    # A key is never sent to a host that the caller has not named: with an address of one's own,
    # only that one is asked.
    usual = PROVIDERS.get(provider.name)
    if usual is None or (usual.base_url, usual.families) != (provider.base_url, provider.families):
        return [provider]
    return [
        msgspec.structs.replace(each, key_in=provider.key_in)
        for each in PROVIDERS.values()
        if each.has(ep.MODELS.name)
    ]
