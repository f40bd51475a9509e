"""``zai.ocr``: reading what is written by hand."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import Handwriting, HandwritingParams
from zai_async.resources.resource import Resource

__all__ = ["OCR"]


class OCR(Resource):
    """``zai.ocr``, documented for bigmodel.cn only."""

    async def handwriting(self, **params: Unpack[HandwritingParams]) -> Handwriting:
        """Read the handwriting in an image, word by word.

        Source: https://docs.bigmodel.cn/api-reference
        """
        return await self._manager.call(ep.HANDWRITING, params)
