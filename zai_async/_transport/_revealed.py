"""Secrets as they are sent; what is returned here must not be kept in a variable.

A traceback with local variables, as error trackers send it, shows whatever a variable holds.
"""

import yarl

from zai_async._transport import Request

__all__ = ["fields_of", "url_of"]


def url_of(request: Request, url: yarl.URL) -> yarl.URL:
    """Return the address with its secrets."""
    if not request.secret_query:
        return url
    return url.update_query({name: one.reveal() for name, one in request.secret_query.items()})


def fields_of(request: Request) -> dict[str, str]:
    """Return all header fields that the caller, or the operation, has set."""
    size = getattr(request.body, "size", None)
    # Without it aiohttp would send a body that it cannot measure in chunks.
    length = {} if size is None else {"Content-Length": str(size)}
    secrets = {name: secret.reveal() for name, secret in request.secret_headers.items()}
    return {**request.headers, **length, **secrets}
