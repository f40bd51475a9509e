"""``zai.images``, ``zai.videos``, ``zai.audio`` and ``zai.voices``."""

from typing import Unpack

from zai_async import _operations as ep
from zai_async.models import (
    BinaryReply,
    ClonedVoice,
    ImageParams,
    ImageResult,
    ImagesResponse,
    SpeechParams,
    Transcription,
    TranscriptionParams,
    Video,
    VideoParams,
    VoiceCloneParams,
    VoiceDeleteParams,
    VoiceDeletion,
    VoiceList,
    VoiceListParams,
)
from zai_async.resources.resource import Resource
from zai_async.session import SessionManager
from zai_async.streams import SpeechStream, TranscriptionStream
from zai_async.tasks import IMAGES, VIDEOS, OnUpdate, Task, submit

__all__ = ["AudioGroup", "Images", "Speech", "Transcriptions", "Videos", "Voices"]


class Images(Resource):
    """``zai.images``: pictures from words."""

    async def generate(self, **params: Unpack[ImageParams]) -> ImagesResponse:
        """Make an image and wait for it, up to 20 seconds; its address lives for 30 days.

        Source: https://docs.z.ai/api-reference/image/generate-image
        """
        return await self._manager.call(ep.IMAGES, params)

    async def submit(self, **params: Unpack[ImageParams]) -> Task[ImageResult]:
        """Submit an image that is made while nobody waits (``glm-image``).

        Raises:
            SubmitUnknownError: It is unknown whether it was accepted; it is not submitted again.

        Source: https://docs.z.ai/api-reference/image/generate-image-async
        """
        return await submit(self._manager, ep.IMAGE_SUBMIT, params, IMAGES)

    def task(self, id: str) -> Task[ImageResult]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet."""
        return Task(IMAGES, {"id": id}, engine=self._manager)


class Videos(Resource):
    """``zai.videos``: films from words and pictures."""

    async def submit(self, **params: Unpack[VideoParams]) -> Task[Video]:
        """Submit a video, which takes minutes.

        Raises:
            SubmitUnknownError: It is unknown whether it was accepted; it is not submitted again.

        Source: https://docs.z.ai/api-reference/video/generate-video
        """
        return await submit(self._manager, ep.VIDEO_SUBMIT, params, VIDEOS)

    async def generate(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as task.wait()
        on_update: OnUpdate[Video] | None = None,
        interval: float | None = None,
        **params: Unpack[VideoParams],
    ) -> Video:
        """Submit a video and wait for it, ``timeout`` seconds at most; see ``Task.wait``.

        Raises:
            TaskTimeoutError: The time is over; ``error.task`` can be waited for again.
            TaskFailedError: It ended without a video.
            SubmitUnknownError: It is unknown whether it was accepted; it is not submitted again.

        Source: https://docs.z.ai/api-reference/video/generate-video
        """
        task = await self.submit(**params)
        return await task.wait(timeout, on_update, interval=interval)

    def task(self, id: str) -> Task[Video]:
        """Return the handle of a task that was submitted elsewhere; nothing is asked yet."""
        return Task(VIDEOS, {"id": id}, engine=self._manager)


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


class AudioGroup:
    """``zai.audio``: hearing and speaking."""

    transcriptions: Transcriptions
    speech: Speech

    def __init__(self, manager: SessionManager) -> None:
        self.transcriptions = Transcriptions(manager)
        self.speech = Speech(manager)


class Voices(Resource):
    """``zai.voices``: voices to speak with; documented for bigmodel.cn only.

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
