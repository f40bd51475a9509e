"""The ways on which a request may go, of which tests choose one."""

from zai_async._transport import _direct, _internals

__all__ = ["send_by"]


def send_by(way, monkeypatch):
    """Send past aiohttp's client ("direct"), through it ("client"), or by its public parts alone.

    Any other way is the caller's to take.
    """
    if way == "client":
        monkeypatch.setattr(_direct, "is_watched", lambda session: True)
    if way == "public":
        monkeypatch.setattr(_internals, "hold", lambda: False)
