"""The models on offer, an undocumented operation of both sites."""

from datetime import datetime

from msgspec import Struct

from zai_async.models.timestamps import moment


class Model(Struct, kw_only=True):
    """Describe a model; the list is not complete, some models that it leaves out work."""

    id: str = ""
    object: str = ""
    created: int = 0
    """Unix seconds."""
    owned_by: str = ""

    @property
    def released(self) -> datetime | None:
        """When it was added, in UTC."""
        return moment(self.created)
