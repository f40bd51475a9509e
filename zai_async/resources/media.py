"""``zai.images``, ``zai.videos``, ``zai.audio`` and ``zai.voices``."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Unpack, overload

from zai_async import _operations as ep
from zai_async.errors import ConfigurationError
from zai_async.models import (
    BinaryReply,
    ClonedVoice,
    ImageParams,
    ImageResult,
    ImagesResponse,
    SpeechParams,
    TranscribedPart,
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
from zai_async.models.files import FileInput
from zai_async.recordings import LongTranscriptionStream, OnPart, Recording, transcribe
from zai_async.resources.resource import Resource
from zai_async.session import SessionManager
from zai_async.streams import SpeechStream, TranscriptionStream
from zai_async.tasks import IMAGES, VIDEOS, OnUpdate, Task, submit

__all__ = ["AudioGroup", "Images", "Speech", "Transcriptions", "Videos", "Voices"]

# The forms of answers that are text, or hold it.
_JOINED: Final = ("json", "text", "verbose_json")


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

    async def create(
        self,
        *,
        split: Literal["silence"] | None = None,
        finished: Sequence[TranscribedPart] = (),
        on_part: OnPart | None = None,
        **params: Unpack[TranscriptionParams],
    ) -> Transcription:
        """Write down what is said in a WAV or MP3 of at most 30 seconds and 25 MB.

        With ``split="silence"`` a recording of any length is cut in quiet moments, and its parts
        are transcribed at the same time, as far as the limiter lets them. WAV is read by this
        package, anything else by ffmpeg where it is installed. The result has the text of all
        parts, and a segment for each with its times. ``on_part`` is called with each part, in
        order, and with the seconds of the whole; a deadline holds for each part.

        Raises:
            InvalidFileError: The file breaks one of the limits, or cannot be split.
            TranscriptionIncompleteError: A part of the recording failed; give its ``finished`` to
                the next call, which goes on from there.

        Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
        """
        if split is None and not finished and on_part is None:
            return await self._manager.call(ep.TRANSCRIPTION, params)

        async def call(file: FileInput, number: int) -> Transcription:
            return await self._manager.call(ep.TRANSCRIPTION, part_params(params, file, number))

        return await transcribe(long_recording(split, params), call, finished, on_part)

    @overload
    def stream(
        self, *, split: None = None, **params: Unpack[TranscriptionParams]
    ) -> TranscriptionStream: ...

    @overload
    def stream(
        self,
        *,
        split: Literal["silence"],
        finished: Sequence[TranscribedPart] = (),
        **params: Unpack[TranscriptionParams],
    ) -> LongTranscriptionStream: ...

    def stream(
        self,
        *,
        split: Literal["silence"] | None = None,
        finished: Sequence[TranscribedPart] = (),
        **params: Unpack[TranscriptionParams],
    ) -> TranscriptionStream | LongTranscriptionStream:
        """Write down what is said, and receive the text piece by piece.

        Nothing is sent before the stream is entered with ``async with`` or read. With
        ``split="silence"`` it may be of any length, as for ``create``.

        Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
        """
        if split is None and not finished:
            return TranscriptionStream(self._manager.begin(ep.TRANSCRIPTION_STREAM, params))

        def begin(file: FileInput, number: int) -> TranscriptionStream:
            part = part_params(params, file, number)
            return TranscriptionStream(self._manager.begin(ep.TRANSCRIPTION_STREAM, part))

        return LongTranscriptionStream(long_recording(split, params), begin, finished)


def long_recording(split: str | None, params: TranscriptionParams) -> Recording:
    """Return the recording that is to be split.

    Raises:
        ConfigurationError: The arguments do not go together.
    """
    if split != "silence":
        raise ConfigurationError('split="silence" is the only way to split a recording')
    file = params.get("file")
    if file is None:
        raise ConfigurationError("what is split must be given as a file")
    if "on_progress" in params:
        hint = "Parts are reported to on_part as they are done."
        raise ConfigurationError("on_progress counts the bytes of a single request", hint=hint)
    if params.get("response_format", "json") not in _JOINED:
        hint = "Subtitles can be made of the segments of the result."
        text = f"the parts of a recording can be joined from {', '.join(_JOINED)}"
        raise ConfigurationError(text, hint=hint)
    return Recording(file)


def part_params(params: TranscriptionParams, file: FileInput, number: int) -> Mapping[str, object]:
    """Return the parameters of the request for a part."""
    part: dict[str, object] = {**params, "file": file}
    if "request_id" in params:  # which is unique
        part["request_id"] = f"{params['request_id']}-{number}"
    return part


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
