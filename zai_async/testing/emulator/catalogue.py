"""The models the emulator knows, as data and as ``GET /models`` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from zai_async.testing.emulator.operation import OperationCall, Route
from zai_async.testing.emulator.reply import PlannedReply, Refusal

Kind = Literal[
    "text",
    "vision",
    "image",
    "video",
    "transcription",
    "speech",
    "clone",
    "layout",
    "embedding",
    "rerank",
    "moderation",
]
ThinkingRule = Literal["none", "optional", "effort", "always"]


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """Describe one model: what it is for, how much it writes, how it thinks.

    ``max_output`` is in tokens. ``thinking`` is ``"none"`` (never), ``"optional"`` (``thinking``
    switches it), ``"effort"`` (``reasoning_effort`` does too) or ``"always"`` (switching it off is
    refused). ``listed`` is the creation time in seconds that ``GET /models`` shows, or ``None``
    when the list leaves the model out although it answers.
    """

    id: str
    max_output: int = 0
    thinking: ThinkingRule = "none"
    kind: Kind = "text"
    listed: int | None = None


# Limits of output: https://docs.z.ai/guides/overview/concept-param. Creation times: as listed live.
_LARGE, _MEDIUM, _SMALL, _TINY = 131_072, 98_304, 16_384, 4_096

_ALL = (
    CatalogueModel("glm-5.3", _LARGE, "always", listed=1_786_665_600),
    CatalogueModel("glm-5.2", _LARGE, "effort", listed=1_781_568_000),
    CatalogueModel("glm-5.1", _LARGE, "optional", listed=1_775_520_000),
    CatalogueModel("glm-5", _LARGE, "optional", listed=1_770_768_000),
    CatalogueModel("glm-5-turbo", _LARGE, "optional", listed=1_773_619_200),
    CatalogueModel("glm-4.7", _LARGE, "optional", listed=1_766_361_600),
    # Free and fast variants answer but stand in no list, and so do the older models that see.
    CatalogueModel("glm-4.7-flashx", _LARGE, "optional"),
    CatalogueModel("glm-4.7-flash", _LARGE, "optional"),
    CatalogueModel("glm-4.6", _LARGE, "optional", listed=1_759_276_800),
    CatalogueModel("glm-4.5", _LARGE, "optional", listed=1_753_660_800),
    CatalogueModel("glm-4.5-x", _MEDIUM, "optional"),
    CatalogueModel("glm-4.5-air", _MEDIUM, "optional", listed=1_753_660_800),
    CatalogueModel("glm-4.5-airx", _MEDIUM, "optional"),
    CatalogueModel("glm-4.5-flash", _MEDIUM, "optional"),
    CatalogueModel("glm-4-32b-0414-128k", _SMALL),
    CatalogueModel("glm-4-flash-250414", _SMALL),
    CatalogueModel("glm-4-flashx-250414", _SMALL),
    CatalogueModel("charglm-4", _TINY),
    CatalogueModel("emohaa", _TINY),
    CatalogueModel("glm-5.3-flash", _LARGE, "always", "vision", listed=1_787_702_400),
    CatalogueModel("glm-5.3-flashx", _LARGE, "always", "vision", listed=1_789_689_600),
    CatalogueModel("glm-5v-turbo", _LARGE, "optional", "vision"),
    CatalogueModel("glm-4.6v", 32_768, "optional", "vision"),
    CatalogueModel("glm-4.6v-flashx", 32_768, "optional", "vision"),
    CatalogueModel("glm-4.6v-flash", 32_768, "optional", "vision"),
    CatalogueModel("glm-4.5v", _SMALL, "optional", "vision"),
    CatalogueModel("glm-4.1v-thinking-flash", _SMALL, "none", "vision"),
    CatalogueModel("glm-4.1v-thinking-flashx", _SMALL, "none", "vision"),
    CatalogueModel("autoglm-phone-multilingual", _TINY, "none", "vision"),
    CatalogueModel("autoglm-phone", _TINY, "none", "vision"),
    CatalogueModel("glm-image", kind="image"),
    CatalogueModel("cogview-4-250304", kind="image"),
    CatalogueModel("cogview-4", kind="image"),
    CatalogueModel("cogview-3-flash", kind="image"),
    CatalogueModel("cogvideox-3", kind="video"),
    CatalogueModel("cogvideox-2", kind="video"),
    CatalogueModel("cogvideox-flash", kind="video"),
    CatalogueModel("viduq1-text", kind="video"),
    CatalogueModel("viduq1-image", kind="video"),
    CatalogueModel("viduq1-start-end", kind="video"),
    CatalogueModel("vidu2-image", kind="video"),
    CatalogueModel("vidu2-start-end", kind="video"),
    CatalogueModel("vidu2-reference", kind="video"),
    # Below: models with an operation of their own. Any other operation refuses them with 1212.
    CatalogueModel("glm-asr-2512", kind="transcription"),
    CatalogueModel("glm-tts", kind="speech"),
    CatalogueModel("glm-tts-clone", kind="clone"),
    CatalogueModel("glm-ocr", kind="layout"),
    CatalogueModel("embedding-3", kind="embedding"),
    CatalogueModel("embedding-2", kind="embedding"),
    CatalogueModel("rerank", kind="rerank"),
    CatalogueModel("moderation", kind="moderation"),
)

MODELS: Mapping[str, CatalogueModel] = MappingProxyType({model.id: model for model in _ALL})
"""Every model by its id."""


def find_model(name: str, *kinds: Kind) -> CatalogueModel:
    """Return the model, ``Refusal`` when there is none of this name or it does something else."""
    # Capitals make no difference: the platform itself writes some names in them.
    model = MODELS.get(name.lower())
    if model is None:
        raise Refusal("1211", f"The model {name} does not exist, check the model code")
    if model.kind not in kinds:
        # Not 1211: the model exists, it is the operation that is wrong.
        raise Refusal("1212", f"The model {name} does not support this call method")
    return model


class ModelListHandlers:
    """Answer with the models that have a listing date."""

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        paths = ("paas/v4/models", "coding/paas/v4/models")
        return [Route("models.list", "GET", path, self.list) for path in paths]

    def list(self, call: OperationCall) -> PlannedReply:
        """List the models."""
        data = [
            {"id": model.id, "object": "model", "created": model.listed, "owned_by": "z-ai"}
            for model in MODELS.values()
            if model.listed is not None
        ]
        return call.reply({"object": "list", "data": data})
