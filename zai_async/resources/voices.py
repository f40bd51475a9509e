"""``zai.voices``: voices to speak with."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import (
    ClonedVoice,
    VoiceCloneParams,
    VoiceDeleteParams,
    VoiceDeletion,
    VoiceList,
    VoiceListParams,
)
from zai_async.resources.resource import Resource

__all__ = ["Voices"]


class Voices(Resource):
    """``zai.voices``, documented for bigmodel.cn only.

    Source: https://docs.bigmodel.cn/api-reference
    """

    async def clone(self, **params: Unpack[VoiceCloneParams]) -> ClonedVoice:
        """Make a voice from a recording that was uploaded for ``voice-clone-input``."""
        return await self._manager.call(ep.VOICE_CLONE, params)

    async def list(self, **params: Unpack[VoiceListParams]) -> VoiceList:
        """List the voices of the platform and your own."""
        return await self._manager.call(ep.VOICE_LIST, params)

    async def delete(self, **params: Unpack[VoiceDeleteParams]) -> VoiceDeletion:
        """Delete a cloned voice."""
        return await self._manager.call(ep.VOICE_DELETE, params)
