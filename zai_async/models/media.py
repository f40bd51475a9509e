"""Images, videos, sound and voices."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Literal, Required

from msgspec import field

from zai_async.models.chat import ContentFilter
from zai_async.models.chat_params import SensitiveWordCheckParam
from zai_async.models.files import Downloadable, FileInput, UploadParams
from zai_async.models.json_object import JSONObject
from zai_async.models.options import CallParams
from zai_async.models.reply import Reply
from zai_async.models.tasks import TaskStatus
from zai_async.models.tolerant import Count

__all__ = [
    "ClonedVoice",
    "Image",
    "ImageParams",
    "ImageResult",
    "ImagesResponse",
    "SpeechChoice",
    "SpeechChunk",
    "SpeechDelta",
    "SpeechParams",
    "Transcription",
    "TranscriptionEvent",
    "TranscriptionParams",
    "TranscriptionSegment",
    "Video",
    "VideoFile",
    "VideoParams",
    "Voice",
    "VoiceCloneParams",
    "VoiceDeleteParams",
    "VoiceDeletion",
    "VoiceList",
    "VoiceListParams",
]

VideoModel = Literal[
    "cogvideox-3",
    "viduq1-text",
    "viduq1-image",
    "viduq1-start-end",
    "vidu2-image",
    "vidu2-start-end",
    "vidu2-reference",
]
"""Models of Z.AI for videos; any other name may be given as well."""

Voices = Literal["tongtong", "chuichui", "xiaochen", "jam", "kazi", "douji", "luodo"]
"""Voices that need not be cloned."""


class ImageParams(CallParams, total=False):
    """Hold the keywords of an image request.

    Source: https://docs.z.ai/api-reference/image/generate-image
    """

    model: Required[Literal["glm-image", "cogview-4-250304"] | str]
    """``glm-image`` or ``cogview-4-250304``, on bigmodel.cn also ``cogview-4`` and
    ``cogview-3-flash``; a submitted task takes ``glm-image`` only."""
    prompt: Required[str]
    """What is to be seen."""
    quality: Literal["hd", "standard"]
    """``hd`` takes about 20 seconds, ``standard`` 5 to 10; ``glm-image`` knows hd only."""
    size: str
    """Width and height in pixels, such as ``"1280x1280"``; each model has its own bounds."""
    request_id: str
    """Your id for the request, unique (undocumented)."""
    user_id: str
    """Your id for the end user, 6 to 128 characters."""
    watermark_enabled: bool
    """Whether the image is marked; false needs a signed statement (bigmodel.cn)."""


class Image(Downloadable, JSONObject, kw_only=True, dict=True):
    """One image: its address, or at some relays the image itself."""

    url: str = ""
    """Lives for 30 days."""
    b64_json: str | None = None
    """The image in base64, where a relay sends no address."""
    revised_prompt: str | None = None
    """The prompt as the model has rewritten it."""

    @property
    def content(self) -> bytes | None:
        """The bytes of an image that came in base64; None where there is only an address."""
        try:
            return b64decode(self.b64_json) if self.b64_json else None
        except ValueError:
            return None


class ImagesResponse(Downloadable, Reply, kw_only=True):
    """Hold generated images."""

    created: Count = 0
    """Unix seconds."""
    data: list[Image] = field(default_factory=list)
    content_filter: list[ContentFilter] = field(default_factory=list)

    @property
    def files(self) -> list[Image]:
        """The images, each with a ``download`` of its own."""
        return self.data

    @property
    def url(self) -> str | None:
        """The address of the first image."""
        return next(iter(self.urls), None)

    @property
    def urls(self) -> list[str]:
        """The addresses of all images."""
        return _urls(self.data)


class ImageResult(Downloadable, TaskStatus, kw_only=True):
    """Hold the result of an image task, empty until the task is done."""

    image_result: list[Image] = field(default_factory=list)

    @property
    def files(self) -> list[Image]:
        """The images, each with a ``download`` of its own."""
        return self.image_result

    @property
    def url(self) -> str | None:
        """The address of the first image."""
        return next(iter(self.urls), None)

    @property
    def urls(self) -> list[str]:
        """The addresses of all images."""
        return _urls(self.image_result)


class VideoParams(CallParams, total=False):
    """Hold the keywords of a video request; which of them count depends on the model.

    Source: https://docs.z.ai/api-reference/video/generate-video
    """

    model: Required[VideoModel | str]
    """``cogvideox-3``, ``viduq1-text``, ``viduq1-image``, ``viduq1-start-end``, ``vidu2-image``,
    ``vidu2-start-end``, ``vidu2-reference``; on bigmodel.cn also ``cogvideox-2`` and
    ``cogvideox-flash``."""
    prompt: str
    """What is to be seen, up to 512 characters; most models take an image instead or as well."""
    image_url: str | Sequence[str]
    """One image, or the list that the model wants: first and last frame, or up to 3 references.
    Addresses or base64; at most 5 MB for CogVideoX, 50 MB for Vidu. Sent as it is."""
    quality: Literal["speed", "quality"]
    """Default speed (CogVideoX)."""
    with_audio: bool
    """Whether sound is made too; default false."""
    size: str
    """Width and height in pixels, such as ``"1920x1080"``."""
    fps: Literal[30, 60]
    """Frames per second; default 30 (CogVideoX)."""
    duration: int
    """Seconds: 5 or 10 for CogVideoX-3, 5 for Vidu Q1, 4 for Vidu 2."""
    style: Literal["general", "anime"]
    """Default general (``viduq1-text``)."""
    aspect_ratio: Literal["16:9", "9:16", "1:1"]
    """Default 16:9 (``viduq1-text`` and ``vidu2-reference``)."""
    movement_amplitude: Literal["auto", "small", "medium", "large"]
    """How much moves; default auto (Vidu)."""
    watermark_enabled: bool
    """Whether the video is marked; false needs a signed statement (bigmodel.cn)."""
    request_id: str
    """Your id for the request, 6 to 64 characters, unique; generated by the service if absent."""
    user_id: str
    """Your id for the end user, 6 to 128 characters."""


class VideoFile(Downloadable, JSONObject, kw_only=True, dict=True):
    """Say where one finished video lies."""

    url: str = ""
    """The service does not say for how long it lives: download it soon."""
    cover_image_url: str = ""


class Video(Downloadable, TaskStatus, kw_only=True):
    """Hold the result of a video task, empty until the task is done."""

    video_result: list[VideoFile] = field(default_factory=list)

    @property
    def files(self) -> list[VideoFile]:
        """The videos, each with a ``download`` of its own."""
        return self.video_result

    @property
    def url(self) -> str | None:
        """The address of the first video."""
        return next(iter(self.urls), None)

    @property
    def urls(self) -> list[str]:
        """The addresses of all videos."""
        return _urls(self.video_result)

    @property
    def cover_url(self) -> str | None:
        """The address of a still of the first video."""
        return next((video.cover_image_url or None for video in self.video_result), None)


class TranscriptionParams(UploadParams, total=False):
    """Hold the keywords of a transcription; one of ``file`` and ``file_base64`` is needed.

    Source: https://docs.z.ai/api-reference/audio/audio-transcriptions
    """

    model: Required[Literal["glm-asr-2512"] | str]
    """Such as ``"glm-asr-2512"``."""
    file: FileInput
    """A wav or mp3 of at most 25 MB and 30 seconds; wins over ``file_base64``."""
    file_base64: str
    """The same in base64."""
    prompt: str
    """What was said before, best below 8000 characters."""
    hotwords: Sequence[str]
    """Names and terms to expect, at most 100."""
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json"] | str
    """The form of the answer, at LowCodeAPI and other relays; Z.AI itself documents none."""
    request_id: str
    """Your id for the request, unique; generated by the service if absent."""
    user_id: str
    """Your id for the end user, 6 to 128 characters."""


class TranscriptionSegment(JSONObject, kw_only=True):
    """A sentence or so of a recording, from ``verbose_json``."""

    id: Count = 0
    start: float = 0.0
    """Seconds from the beginning of the recording."""
    end: float = 0.0
    text: str = ""


class Transcription(Reply, kw_only=True):
    """What was said in a recording."""

    id: str = ""
    created: Count = 0
    """Unix seconds."""
    model: str = ""
    text: str = ""  # pyright: ignore[reportIncompatibleMethodOverride] - one that can be set
    """The words, or the file of subtitles that ``response_format`` asked for."""
    language: str = ""
    """Such as ``"english"``; told by ``verbose_json``, as are the next two."""
    duration: float | None = None
    """Seconds of sound."""
    segments: list[TranscriptionSegment] = field(default_factory=list)


class TranscriptionEvent(JSONObject, kw_only=True, gc=False):
    """Hold one event of a streamed transcription, as on the wire."""

    id: str = ""
    created: Count = 0
    """Unix seconds."""
    model: str = ""
    type: str = ""
    """``transcript.text.delta`` or ``transcript.text.done``; other values may be added."""
    delta: str = ""
    """The next piece of the text."""
    text: str | None = None
    """The whole text, which only other services send with the last event."""
    request_id: str | None = None
    error: Any = None
    """An error object in place of an event; undecoded shapes included, hence any JSON value."""


class SpeechParams(CallParams, total=False):
    """Hold the keywords of a speech request (bigmodel.cn).

    Source: https://docs.bigmodel.cn/cn/guide/models/sound-and-video/glm-tts
    """

    model: Required[Literal["glm-tts"] | str]
    """Such as ``"glm-tts"``."""
    input: Required[str]
    """What to say, at most 1024 characters."""
    voice: Voices | str
    """``tongtong`` (default), ``chuichui``, ``xiaochen``, ``jam``, ``kazi``, ``douji``, ``luodo``,
    or a cloned voice."""
    speed: float
    """0.5 to 2.0; default 1.0."""
    volume: float
    """Above 0, up to 10; default 1.0."""
    response_format: Literal["wav", "pcm"]
    """Default pcm, which is the only one that can be streamed; 16 bit, mono, 24 kHz."""
    encode_format: Literal["base64", "hex"]
    """How the bytes are written in a stream; default base64."""
    watermark_enabled: bool
    """Whether the sound is marked; false needs a signed statement."""
    sensitive_word_check: SensitiveWordCheckParam
    request_id: str
    """Your id for the request, unique; generated by the service if absent."""
    user_id: str
    """Your id for the end user, 6 to 128 characters."""


class SpeechDelta(JSONObject, kw_only=True, gc=False):
    """Hold what one chunk adds to the sound."""

    role: str | None = None
    content: str | None = None
    """The next bytes, in base64 or hex as asked for."""
    return_sample_rate: Count | None = None
    """Hertz."""
    return_format: str | None = None


class SpeechChoice(JSONObject, kw_only=True, gc=False):
    """Hold what one chunk adds to one choice."""

    index: Count = 0
    finish_reason: str | None = None
    delta: SpeechDelta | None = None


class SpeechChunk(JSONObject, kw_only=True, gc=False):
    """Hold one event of streamed speech, as on the wire."""

    id: str = ""
    created: Count = 0
    """Unix seconds."""
    model: str = ""
    choices: list[SpeechChoice] = field(default_factory=list)
    request_id: str | None = None
    error: Any = None
    """An error object in place of a chunk; undecoded shapes included, hence any JSON value."""


class VoiceCloneParams(CallParams, total=False):
    """Hold the keywords for cloning a voice (bigmodel.cn).

    Source: https://docs.bigmodel.cn/api-reference
    """

    model: Required[Literal["glm-tts-clone"] | str]
    """Such as ``"glm-tts-clone"``."""
    voice_name: Required[str]
    """Your name for the voice, unique."""
    input: Required[str]
    """What the voice says in the preview."""
    file_id: Required[str]
    """A recording of 3 to 30 seconds and at most 10 MB, uploaded for ``voice-clone-input``."""
    text: str
    """What is said in the recording."""
    request_id: str
    """Your id for the request, unique; generated by the service if absent."""


class VoiceListParams(CallParams, total=False):
    """Hold what voices are looked for."""

    voice_name: str
    """Part of the name."""
    voice_type: Literal["OFFICIAL", "PRIVATE"]


class VoiceDeleteParams(CallParams, total=False):
    """Name the voice."""

    voice: Required[str]
    request_id: str
    """Your id for the request, unique; generated by the service if absent."""


class ClonedVoice(Reply, kw_only=True):
    """Hold a new voice."""

    voice: str = ""
    """What a speech request calls it."""
    file_id: str = ""
    """The preview."""
    file_purpose: str = ""


class Voice(JSONObject, kw_only=True):
    """Describe a voice."""

    voice: str = ""
    """What a speech request calls it."""
    voice_name: str = ""
    voice_type: str = ""
    """``OFFICIAL`` or ``PRIVATE``."""
    download_url: str = ""
    """A sample; often left out."""
    create_time: str = ""
    """``yyyy-MM-dd HH:mm:ss``, in the time of Beijing as far as anybody knows."""


class VoiceList(Reply, kw_only=True):
    """Hold the voices that were found."""

    voice_list: list[Voice] = field(default_factory=list)


class VoiceDeletion(Reply, kw_only=True):
    """Confirm that a voice is gone."""

    voice: str = ""
    update_time: str = ""


def _urls(files: Sequence[Image | VideoFile]) -> list[str]:
    return [file.url for file in files if file.url]
