"""``zai.models``: what there is to talk to."""

from functools import partial
from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import CallParams, Model
from zai_async.resources.listing import Listing
from zai_async.resources.resource import Resource

__all__ = ["Models"]


class Models(Resource):
    """``zai.models``."""

    def list(self, **params: Unpack[CallParams]) -> Listing[Model]:
        """List the models: ``await`` the page, or ``async for`` over it.

        The operation is undocumented, free of charge, and a way to find out whether a key works.
        Some models that it leaves out can be used all the same.
        """
        return Listing(partial(self._manager.call, ep.MODELS), params)
