"""What an account may use: the models on offer, and what is left of a Coding Plan."""

from datetime import datetime

from msgspec import field

from zai_async.models.json_object import JSONObject
from zai_async.models.reply import Reply, moment
from zai_async.models.tolerant import Count

__all__ = [
    "Model",
    "Quota",
    "QuotaData",
    "QuotaLimit",
    "QuotaUse",
]


class Model(JSONObject, kw_only=True):
    """Describe a model (undocumented); some models that the list leaves out work too."""

    id: str = ""
    object: str = ""
    created: Count = 0
    """Unix seconds."""
    owned_by: str = ""

    @property
    def released(self) -> datetime | None:
        """When it was added, in UTC."""
        return moment(self.created)


class QuotaUse(JSONObject, kw_only=True, rename="camel"):
    """Count what one model or tool took."""

    model_code: str = ""
    usage: Count = 0


# Undocumented: every field is what the usage page was seen to receive.
class QuotaLimit(JSONObject, kw_only=True, rename="camel"):
    """Describe one limit of the plan and how much of it is used."""

    type: str = ""
    """``TOKENS_LIMIT`` or, for the tools of the plan, ``TIME_LIMIT``; more may be added."""
    unit: int = 0
    """The window's unit: 3 hours, 5 months, 6 weeks, as far as observed."""
    number: int = 0
    """The window's length in that unit."""
    usage: int | None = None
    """The limit itself, where the service tells it."""
    current_value: int | None = None
    """How much is used, where the service tells it."""
    # A difference, which may be below zero: no count.
    remaining: int | None = None
    """How much is left, where the service tells it."""
    percentage: float = 0.0
    """How much is used, 0 to 100."""
    next_reset_time: int | None = None
    """Unix milliseconds."""
    usage_details: list[QuotaUse] = field(default_factory=list)

    @property
    def resets_at(self) -> datetime | None:
        """When the window ends, in UTC."""
        return moment(self.next_reset_time)


class QuotaData(JSONObject, kw_only=True):
    """The limits of a plan."""

    level: str = ""
    """The plan: ``lite``, ``pro`` or ``max``."""
    limits: list[QuotaLimit] = field(default_factory=list)


class Quota(Reply, kw_only=True):
    """How much of a plan is used (undocumented).

    Source: https://docs.z.ai/devpack/overview
    """

    data: QuotaData = field(default_factory=QuotaData)

    @property
    def level(self) -> str:
        """The plan: ``lite``, ``pro`` or ``max``."""
        return self.data.level

    @property
    def limits(self) -> list[QuotaLimit]:
        """The limits of the plan."""
        return self.data.limits
