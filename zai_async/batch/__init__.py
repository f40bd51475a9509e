"""Batches of any size: an output that is a journal, from which the same call goes on."""

from zai_async.batch.recovery import JournalError
from zai_async.batch.results import BatchProgress, Failed, Ok, Report, RowError
from zai_async.batch.runs import Batching, BatchRun
from zai_async.batch.settings import BatchOptions

__all__ = [
    "BatchOptions",
    "BatchProgress",
    "BatchRun",
    "Batching",
    "Failed",
    "JournalError",
    "Ok",
    "Report",
    "RowError",
]
