"""``zai.layout_parsing``: documents as Markdown."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import Layout, LayoutParams
from zai_async.resources.resource import Resource

__all__ = ["LayoutParsing"]


class LayoutParsing(Resource):
    """``zai.layout_parsing``."""

    async def parse(self, **params: Unpack[LayoutParams]) -> Layout:
        """Read a picture or a pdf: its text as Markdown, and where each element stands.

        Source: https://docs.z.ai/api-reference/tools/layout-parsing
        """
        return await self._manager.call(ep.LAYOUT, params)
