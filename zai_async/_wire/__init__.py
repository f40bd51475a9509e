"""The wire, without a socket: requests, answers, and the many shapes of an error."""

from zai_async._wire.batches import judged_results
from zai_async._wire.envelopes import ENVELOPES, open_envelope, single_object, within
from zai_async._wire.faults import Fault, find_fault, parse_retry_after, told_fault
from zai_async._wire.headers import HeaderSet, secrets_in
from zai_async._wire.keywords import misused_client
from zai_async._wire.operation import Operation, unlisted
from zai_async._wire.raw_requests import RawRequestFactory, with_raw_body
from zai_async._wire.replies import (
    error_in_body,
    meaning_of,
    not_the_api,
    parse_reply,
    shown_body,
    to_error,
)
from zai_async._wire.requests import Request, RequestFactory, authorized

__all__ = [
    "ENVELOPES",
    "Fault",
    "HeaderSet",
    "Operation",
    "RawRequestFactory",
    "Request",
    "RequestFactory",
    "authorized",
    "error_in_body",
    "find_fault",
    "judged_results",
    "meaning_of",
    "misused_client",
    "not_the_api",
    "open_envelope",
    "parse_reply",
    "parse_retry_after",
    "secrets_in",
    "shown_body",
    "single_object",
    "to_error",
    "told_fault",
    "unlisted",
    "with_raw_body",
    "within",
]
