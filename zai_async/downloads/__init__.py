"""Files that results point to: streamed to disk, there when they are whole and not before.

They are fetched with no key, from http and https only, and never more of them than is allowed.
"""

from zai_async.downloads.names import file_name
from zai_async.downloads.targets import PartialFile
from zai_async.downloads.transfer import download

__all__ = ["PartialFile", "download", "file_name"]
