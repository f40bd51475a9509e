"""``zai.tokenizer``: tokens, counted by the service."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import TokenCount, TokenizerParams
from zai_async.resources.resource import Resource

__all__ = ["Tokenizer"]


class Tokenizer(Resource):
    """``zai.tokenizer``."""

    async def count(self, **params: Unpack[TokenizerParams]) -> TokenCount:
        """Count the tokens of a conversation; a plain string is one user message.

        Source: https://docs.z.ai/api-reference/tools/tokenizer
        """
        return await self._manager.call(ep.TOKENIZER, params)
