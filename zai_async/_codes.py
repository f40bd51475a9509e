"""Business codes of the Z.AI platform, as data.

Several very different failures share HTTP 429, so a code decides before the status does.
Sources: https://docs.z.ai/api-reference/api-code and https://docs.bigmodel.cn/cn/faq/api-code.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

__all__ = ["BAND", "CODES", "STATUSES", "UNKNOWN_STATUS", "Kind", "Meaning", "Outcome", "Repeat"]

Kind = Literal[
    "auth",  # the key or token is wrong
    "account",  # a person has to act on the account or the plan
    "billing",  # no balance, no package, or the wrong endpoint for this key
    "permission",  # the key may not use this operation
    "request",  # the request itself is wrong
    "not_found",  # path, model, file or task does not exist
    "content",  # refused for what it says
    "throttle",  # too many requests of this account at once
    "overload",  # the model is busy for everybody
    "quota",  # a plan's allowance is used up until a point in time
    "server",  # the platform failed
    "connection",  # the network failed
    "local",  # this machine has no open file, port or memory left for a connection
    "timeout",  # a clock of ours ran out
    "protocol",  # what came back is not the protocol
    "stream",  # a generation that did not come to a proper end
    "config",  # our own arguments are wrong
    "task",  # an asynchronous task failed
    "limit",  # a limit of ours was hit
]

Repeat = Literal["never", "short", "throttle", "overload", "reset"]
"""When a refused request may be sent again: never, after short or longer waits, after a reset."""


Outcome = Literal[
    "completed",  # the model came to its end
    "length",  # max_tokens is used up
    "tool_calls",  # the model wants tools to be run
    "sensitive",  # the safety audit stopped it; what was shown should be taken back
    "context_exceeded",  # the context is full
    "other",  # a finish reason that this package does not know
    "network_error",  # the platform lost the generation
    "truncated",  # the answer stops before its end
    "empty",  # it ended well but said nothing
    "restarted",  # the platform began anew after a part had been handed out
    "repetition",  # it went in circles, and its stream was closed by a guard
    "error",  # an error was reported inside the answer
]
"""How a call ended. The last six raise unless ``CallOptions.allow`` names them."""


class Meaning(NamedTuple):
    """What a code or a status says."""

    kind: Kind
    repeat: Repeat = "never"
    hint: str | None = None


_KEY = "Check the API key, and that it belongs to this endpoint and region."
_LOCKED = "The account needs attention in the console."
_PLAN = "The plan does not cover this call; see the plan page of the console."
_BALANCE = (
    "No balance or package on this endpoint. General balance, Coding Plan and the two regions are "
    "separate: a key for one is not valid on the other."
)
_SLOW = "Too many requests of this account in flight; lower the concurrency."
_BUSY = "The model is overloaded for everybody; wait or use another model."
_SHORTEN = "The prompt is longer than the model's context; shorten it."
_MODEL = "Unknown model, or not sold to this account here; GET /models does not list all of them."

CODES: Mapping[str, Meaning] = MappingProxyType(
    {
        # The framework below the services: anything that it did not expect, also with HTTP 200.
        "500": Meaning("server", "short"),
        # 10xx: who calls. A key of the other region, or of the coding endpoint, is just as unknown.
        "1000": Meaning("auth", hint=_KEY),
        "1001": Meaning("auth", hint="No Authorization header arrived; a proxy may have cut it."),
        "1002": Meaning("auth", hint=_KEY),
        "1003": Meaning("auth", hint="The token has expired; check the clock of this machine."),
        "1004": Meaning("auth", hint=_KEY),
        "1005": Meaning("auth", hint="The account wants a second factor at login."),
        # 11xx: the account. 1113 comes with HTTP 429 and is still no matter of waiting.
        "1100": Meaning("account", hint=_LOCKED),
        "1110": Meaning("account", hint=_LOCKED),
        "1111": Meaning("account", hint=_LOCKED),
        "1112": Meaning("account", hint=_LOCKED),
        "1113": Meaning("billing", hint=_BALANCE),
        # "Temporarily not accessible": the one code about the account that may pass on its own.
        "1120": Meaning("account", "short", _LOCKED),
        "1121": Meaning("account", hint=_LOCKED),
        # 12xx: the request, except for four codes that are failures of the platform.
        "1200": Meaning("server", "short"),
        "1210": Meaning("request"),
        "1211": Meaning("not_found", hint=_MODEL),
        "1212": Meaning("request", hint="The model does not support this operation."),
        "1213": Meaning("request"),
        "1214": Meaning("request"),
        "1215": Meaning("request"),
        "1220": Meaning("permission", hint="The key may not use this operation."),
        "1221": Meaning("request", hint="The operation has been taken offline."),
        "1222": Meaning("request", hint="The operation does not exist."),
        "1230": Meaning("server", "short"),
        # Nothing is wrong with the request, but sending it again would be refused again.
        "1231": Meaning("request", hint="A request with this request_id is still running."),
        "1233": Meaning("not_found", hint="Unknown task, or a task of another account."),
        "1234": Meaning("server", "short"),
        "1261": Meaning("request", hint=_SHORTEN),
        # 13xx: policy and limits. Most share HTTP 429, and want very different reactions.
        "1300": Meaning("content"),
        "1301": Meaning("content"),
        "1302": Meaning("throttle", "throttle", _SLOW),
        "1303": Meaning("throttle", "throttle", _SLOW),
        # Comes back with the next day; no message tells at which moment.
        "1304": Meaning("quota", hint="The daily number of calls is used up."),
        "1305": Meaning("overload", "overload", _BUSY),
        "1308": Meaning("quota", "reset"),
        "1309": Meaning("account", hint="The Coding Plan has expired."),
        "1310": Meaning("quota", "reset"),
        "1311": Meaning("account", hint=_PLAN),
        # The message names a model that has room.
        "1312": Meaning("overload", "overload", "High traffic on this model; use the named one."),
        "1313": Meaning("account", hint="Restricted by the fair-use policy of the plan."),
        "1314": Meaning("account", hint=_PLAN),
        "1315": Meaning("account", hint="This key is only valid on the coding endpoint."),
        # As 1308 and 1310, with no balance, a member's cap or an enterprise's behind the window.
        "1316": Meaning("quota", "reset"),
        "1317": Meaning("quota", "reset"),
        "1318": Meaning("quota", "reset"),
        "1319": Meaning("quota", "reset"),
        "1320": Meaning("quota", "reset"),
        "1321": Meaning("quota", "reset"),
        # Spelled-out codes of the platform's OpenAI-style surface.
        "model_not_found": Meaning("not_found", hint=_MODEL),
        "insufficient_quota": Meaning("billing", hint=_BALANCE),
        "invalid_api_key": Meaning("auth", hint=_KEY),
    }
)

BAND: Mapping[str, Meaning] = MappingProxyType(
    {
        "10": Meaning("auth", hint=_KEY),
        "11": Meaning("account", hint=_LOCKED),
        "12": Meaning("request"),
        "14": Meaning("request"),
    }
)
"""Meaning of an unlisted four-digit code by its first two digits; 13xx depends on the status."""

STATUSES: Mapping[int, Meaning] = MappingProxyType(
    {
        400: Meaning("request"),
        401: Meaning("auth", hint=_KEY),
        402: Meaning("billing", hint=_BALANCE),
        403: Meaning("permission"),
        404: Meaning("not_found", hint="Nothing is served at this address; check the base URL."),
        405: Meaning("request", hint="Refused before it reached the API; check the base URL."),
        407: Meaning("connection", hint="The proxy wants other credentials."),
        408: Meaning("timeout", "short"),
        409: Meaning("server", "short"),
        413: Meaning("request", hint="The request is too large."),
        415: Meaning("request"),
        422: Meaning("request"),
        425: Meaning("server", "short"),
        429: Meaning("throttle", "throttle", _SLOW),
        434: Meaning("permission", hint="The operation is in beta and closed for this account."),
        435: Meaning("request", hint="A file may have 100 MB at most."),
        500: Meaning("server", "short"),
        501: Meaning("server"),
        502: Meaning("server", "short"),
        503: Meaning("server", "short"),
        504: Meaning("server", "short"),
        505: Meaning("server"),
        529: Meaning("overload", "overload", _BUSY),
    }
)

UNKNOWN_STATUS: Mapping[int, Meaning] = MappingProxyType(
    {
        2: Meaning("server", "short"),
        3: Meaning("protocol", hint="The address redirects elsewhere; check the base URL."),
        4: Meaning("request"),
        5: Meaning("server", "short"),
    }
)
"""Meaning of an unlisted HTTP status by its first digit."""
