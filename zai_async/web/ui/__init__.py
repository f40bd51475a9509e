"""The chat app of ``zai ui``: a page, and the server that it talks to.

The page is written in ``ui/`` and bundled by ``make ui``, or when a wheel is built where npm is.
"""

from zai_async.web.ui.server import BUNDLE, is_bundled, make_app
from zai_async.web.ui.serving import serve

__all__ = ["BUNDLE", "is_bundled", "make_app", "serve"]
