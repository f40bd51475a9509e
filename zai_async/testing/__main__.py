"""``python -m zai_async.testing --port 8765``."""

from __future__ import annotations

import sys

from zai_async.testing.server import serve

sys.exit(serve())
