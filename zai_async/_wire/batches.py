"""The lines of a batch's files, judged as the answers to single calls are."""

from zai_async._outcomes import ensure_proper_end
from zai_async._wire.faults import find_fault
from zai_async.errors import IncompleteError
from zai_async.models import BatchError, BatchResult
from zai_async.models.extra import extra_of
from zai_async.models.tasks import read_results

__all__ = ["judged_results"]


def judged_results(lines: bytes) -> list[BatchResult]:
    """Return what became of the requests of a batch, out of a file of them.

    A line has an error where its answer cannot be used; its body stays in the response. The
    ``code`` of the error is that of the platform, or else the outcome of the answer. There may be
    many thousands of lines: this belongs into a thread.
    """
    results = read_results(lines)
    for result in results:
        response = result.response
        if result.error is not None or response is None or response.status_code >= 400:
            continue
        if response.body is None:
            result.error = BatchError(code="empty", message="the response has no body")
            continue
        # HTTP 200 is written beside refusals here, too.
        fault = find_fault(dict(extra_of(response.body)))
        if fault is not None:
            result.error = BatchError(code=fault.code or "", message=fault.message)
            continue
        try:
            ensure_proper_end(response.body)
        except IncompleteError as error:
            result.error = BatchError(code=error.outcome, message=error.message)
    return results
