"""``zai.web_search``: the web, searched for programs."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import SearchParams, SearchResponse
from zai_async.resources.resource import Resource

__all__ = ["WebSearch"]


class WebSearch(Resource):
    """``zai.web_search``."""

    async def create(self, **params: Unpack[SearchParams]) -> SearchResponse:
        """Search the web.

        Source: https://docs.z.ai/api-reference/tools/web-search
        """
        return await self._manager.call(ep.SEARCH, params)
