"""Who may use the chat: the page itself, in a browser that reached it by a name of this machine."""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

__all__ = ["SECURITY", "guard_for", "secure"]

SECURITY: Final = {
    # Nothing but the bundle runs, and nothing leaves for another place: neither a picture nor a
    # link that a model was talked into writing can carry a conversation away by itself.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types dompurify"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def secure(_: web.Request, response: web.StreamResponse) -> None:
    """Add to a response what browsers are told about it."""
    response.headers.update(SECURITY)


def guard_for(hosts: Collection[str]) -> Middleware:
    """Return the middleware that refuses the pages of other sites.

    A foreign domain may lead to this machine (DNS rebinding), so ``Host`` must be ``localhost``, an
    address, or one of the names in ``hosts``.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name != "localhost" and name not in hosts:
                ip_address(name)
            ours = origin is None or urlsplit(origin).netloc == host
        except ValueError:
            ours = False
        # Pages of other sites send no Origin when they only read, but browsers say so here.
        site = request.headers.get("Sec-Fetch-Site", "none")
        if not ours or site not in {"same-origin", "none"}:
            raise web.HTTPForbidden(text="This page is for this machine only.")
        return await handler(request)

    return guard
