"""The wire, without a socket: requests, answers, and the many shapes of an error."""

from zai_async._wire.envelopes import open_envelope
from zai_async._wire.faults import (
    Fault,
    error_in_body,
    find_fault,
    meaning_of,
    not_the_api,
    to_error,
)
from zai_async._wire.replies import parse_reply
from zai_async._wire.requests import Endpoint, Request, authorized, build_request

__all__ = [
    "Endpoint",
    "Fault",
    "Request",
    "authorized",
    "build_request",
    "error_in_body",
    "find_fault",
    "meaning_of",
    "not_the_api",
    "open_envelope",
    "parse_reply",
    "to_error",
]
