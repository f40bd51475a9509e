"""Files that results point to: streamed to disk, there when they are whole and not before."""

from zai_async.downloads.fetching import download

__all__ = ["download"]
