"""``GET /models``: undocumented, answered on both bases."""

from __future__ import annotations

import msgspec

from zai_async.testing._catalogue import MODELS
from zai_async.testing._operation import Call, Operation
from zai_async.testing._reply import Reply


class ModelList:
    """Answer with the models that have a listing date."""

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        paths = ("paas/v4/models", "coding/paas/v4/models")
        return [Operation("models.list", "GET", path, self.list) for path in paths]

    def list(self, call: Call) -> Reply:
        """List the models."""
        data = [
            {"id": model.id, "object": "model", "created": model.listed, "owned_by": "z-ai"}
            for model in MODELS.values()
            if model.listed is not None
        ]
        body = msgspec.json.encode({"object": "list", "data": data})
        return Reply(pieces=(body,), log_id=call.id)
