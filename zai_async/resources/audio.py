"""``zai.audio``: hearing and speaking."""

from typing import Unpack

from zai_async import _endpoints as ep
from zai_async.models import BinaryReply, SpeechParams, Transcription, TranscriptionParams
from zai_async.resources.resource import Resource
from zai_async.session import SessionManager
from zai_async.streams import SpeechStream, TranscriptionStream

__all__ = ["Audio", "Speech", "Transcriptions"]


class Transcriptions(Resource):
    """``zai.audio.transcriptions``."""

    async def create(self, **params: Unpack[TranscriptionParams]) -> Transcription:
        """Write down what is said in a WAV or MP3 of at most 30 seconds and 25 MB.

        Raises:
            InvalidFileError: The file breaks one of these limits; nothing was sent.

        Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
        """
        return await self._manager.call(ep.TRANSCRIPTION, params)

    def stream(self, **params: Unpack[TranscriptionParams]) -> TranscriptionStream:
        """Write down what is said, and receive the text piece by piece.

        Nothing is sent before the stream is entered with ``async with`` or read.

        Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
        """
        return TranscriptionStream(self._manager.begin(ep.TRANSCRIPTION_STREAM, params))


class Speech(Resource):
    """``zai.audio.speech``, documented for bigmodel.cn only."""

    async def create(self, **params: Unpack[SpeechParams]) -> BinaryReply:
        """Speak a text and return the sound, as PCM or WAV.

        Source: https://docs.bigmodel.cn/cn/guide/models/sound-and-video/glm-tts
        """
        return await self._manager.fetch(ep.SPEECH, params)

    def stream(self, **params: Unpack[SpeechParams]) -> SpeechStream:
        """Speak a text and receive the sound while it is made.

        Nothing is sent before the stream is entered with ``async with`` or read.

        Source: https://docs.bigmodel.cn/cn/guide/models/sound-and-video/glm-tts
        """
        encoding = params.get("encode_format", "base64")
        return SpeechStream(self._manager.begin(ep.SPEECH_STREAM, params), encoding)


class Audio:
    """``zai.audio``."""

    transcriptions: Transcriptions
    speech: Speech

    def __init__(self, manager: SessionManager) -> None:
        self.transcriptions = Transcriptions(manager)
        self.speech = Speech(manager)
