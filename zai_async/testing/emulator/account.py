"""The account: its keys, how much it may do at once, and what it has left."""

from __future__ import annotations

import binascii
import hmac
import math
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

import msgspec
from msgspec import Struct

from zai_async.testing.emulator.operation import Access, OperationCall, Route
from zai_async.testing.emulator.reply import PlannedReply, Refusal
from zai_async.testing.emulator.requests import Json, RecordedRequest, is_object

BEIJING = timezone(timedelta(hours=8))


# https://docs.bigmodel.cn/cn/api/introduction tells of such tokens. `sign_type` is the platform's
# own; libraries for tokens do not add it.
class _Header(Struct):
    alg: Literal["HS256"]
    sign_type: Literal["SIGN"]


class _Claims(Struct):
    api_key: str
    exp: int
    timestamp: int


class KeyCheck:
    """Check ``Authorization``.

    Without a key of its own it accepts every key that does not begin with ``bad``. A key
    ``id.secret`` may also come as a JWT made from it (RFC 7519): header ``alg`` HS256 and
    ``sign_type`` SIGN, claims ``api_key`` (the id), ``exp`` and ``timestamp``, both in
    milliseconds. An expired token is refused with 1003, one that is signed with another secret
    with 1004, one that is not a token with 1002.
    """

    def __init__(self, api_key: str | None) -> None:
        self._api_key = api_key

    def check(self, authorization: str, access: Access) -> None:
        """Raise ``Refusal`` with 1000 to 1004 for a key that is missing or wrong."""
        if access == "open":
            return
        # A header that is missing and a key that is wrong have codes of their own: clients hint at
        # different mistakes.
        scheme, _, key = authorization.partition(" ")
        if not scheme:
            raise Refusal("1001")
        # The monitor is asked by editor plugins, which send the key without a scheme.
        if access == "key" and not key:
            scheme, key = "Bearer", scheme
        if scheme != "Bearer" or not key:
            raise Refusal("1000")
        own = self._api_key
        if key == own:
            return
        if own is not None and key.count(".") == 2:
            check_token(key, *own.partition(".")[::2])
        elif own is not None or key.startswith("bad"):
            raise Refusal("1000")


def check_token(token: str, id: str, secret: str) -> None:
    """Raise ``Refusal`` unless a token (RFC 7519) was signed with a key and has not expired."""
    signed, _, signature = token.rpartition(".")
    try:
        # Tokens leave out the padding that Python's decoder wants.
        header, claims, given = (
            urlsafe_b64decode(part + "=" * (-len(part) % 4))
            for part in (*signed.split("."), signature)
        )
        msgspec.json.decode(header, type=_Header)
        read = msgspec.json.decode(claims, type=_Claims)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise Refusal("1002") from error
    right = hmac.digest(secret.encode(), signed.encode(), "sha256")
    if read.api_key != id or not hmac.compare_digest(given, right):
        raise Refusal("1004")
    # The platform counts in milliseconds, where RFC 7519 has seconds.
    if read.exp < time.time() * 1000:
        raise Refusal("1003")


# The monitor words its limits differently for each language and kind; clients must find the
# moment in all of them. The line break in the Chinese one was recorded like that.
_HOURS = {
    "en": "Usage limit reached for 5 hour. Your limit will reset at {}",
    "zh": "已达到 5\n小时的使用上限。您的限额将在 {} 重置。",
}
_DAYS = {
    "en": "Weekly/Monthly Limit Exhausted. Your limit will reset at {}",
    "zh": "已达到 7 天使用上限，{} 后可继续使用。",  # noqa: RUF001 - Chinese punctuation
}


@dataclass(slots=True, eq=False)
class _Overload:
    """Refuse some requests with 1305, a number of them or until a moment."""

    match: Callable[[RecordedRequest], bool]
    left: float = math.inf
    until: float = math.inf

    def hits(self, request: RecordedRequest) -> bool:
        return self.left > 0 and time.monotonic() < self.until and self.match(request)


@dataclass(frozen=True, slots=True)
class _Quota:
    code: str
    until: datetime
    message: str


# Who may do how much is told nowhere by the platform: clients learn it from refusals, so these must
# look as they do live.
class EmulatedAccount:
    """Limit what clients may do, to rehearse what they do then.

    Everything here concerns requests that cost something (POST); polls and lists always pass.
    Like the platform it looks at the account before it looks at the parameters. Agents answer with
    HTTP 200 and ``"status": "failed"`` where others answer with 429.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Lift all limits."""
        self._limits: dict[str | None, int] = {}
        self._active: dict[RecordedRequest, str] = {}
        self._active_of = Counter[str]()
        self._overloads: list[_Overload] = []
        self._quota: _Quota | None = None
        self._balance = math.inf

    # Scripting

    def limit(self, model: str | None = None, *, concurrency: int) -> None:
        """Answer 429 and 1302 to every request beyond ``concurrency`` in flight.

        A stream is in flight until it has ended. ``model`` limits the requests for one model
        alone, without it all requests count together; both kinds of limit hold at once.
        """
        self._limits[model] = concurrency

    def quota(
        self, code: str = "1308", *, until: datetime, language: Literal["en", "zh"] = "en"
    ) -> None:
        """Answer 429 and this code until a moment, which the message names in Beijing's time.

        1308 words a limit of 5 hours, any other code one of days. The message gives no zone, so
        ``until`` must have one.
        """
        # The message names a local time of Beijing without saying so, as the real one does.
        if until.tzinfo is None:
            raise ValueError("until needs a time zone")
        text = (_HOURS if code == "1308" else _DAYS)[language]
        moment = f"{until.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
        self._quota = _Quota(code, until, text.format(moment))

    def balance(self, amount: float) -> None:
        """Set the balance; with nothing left requests are answered with 429 and 1113."""
        self._balance = amount

    def overload(
        self, model: str | None = None, *, seconds: float = math.inf, requests: int | None = None
    ) -> None:
        """Answer 429 and 1305 for some seconds or requests, for one model or for all."""
        left = math.inf if requests is None else requests
        overload = _Overload(lambda request: model in {None, model_of(request)}, left)
        overload.until = time.monotonic() + seconds
        self._overloads.append(overload)

    def reject(self, match: Callable[[Json], bool]) -> None:
        """Answer 429 and 1305 to every request for whose JSON body ``match`` returns true."""
        self._overloads.append(
            _Overload(lambda request: is_object(request.json) and match(request.json))
        )

    # Serving

    def admit(self, request: RecordedRequest, holder: RecordedRequest) -> None:
        """Let a request in, or raise ``Refusal``; ``leave`` makes room again.

        ``holder`` is the request as it arrived, before a gateway translated it.
        """
        # Polls and lists cost nothing, so an account without balance may still collect its results.
        if request.method != "POST":
            return
        # In the platform's order: balance, quota, overload, concurrency. Each hides what comes
        # after it, the parameters of the request included.
        if self._balance <= 0:
            raise Refusal("1113")
        if self._quota is not None and datetime.now(UTC) < self._quota.until:
            raise Refusal(self._quota.code, self._quota.message, 429)
        for overload in self._overloads:
            if overload.hits(request):
                overload.left -= 1
                raise Refusal("1305")
        # Both limits hold: the one for all requests together, and the model's own.
        model = model_of(request)
        for name, active in ((None, len(self._active)), (model, self._active_of[model])):
            if active >= self._limits.get(name, math.inf):
                raise Refusal("1302")
        self._active[holder] = model
        self._active_of[model] += 1

    def leave(self, holder: RecordedRequest) -> None:
        """Note that a request has been answered."""
        model = self._active.pop(holder, None)
        if model is None:
            return
        self._active_of[model] -= 1
        # Names come from clients, who may think of any number of them.
        if not self._active_of[model]:
            del self._active_of[model]

    # The quota monitor

    def routes(self) -> list[Route]:
        """List the routes of this group."""

        def refused(call: OperationCall, _: Refusal) -> PlannedReply:
            # The monitor refuses a key with HTTP 200, in a shape of its own.
            return call.reply({"code": 401, "msg": "token expired or incorrect", "success": False})

        path = "monitor/usage/quota/limit"
        return [Route("usage.quota", "GET", path, self.usage, "key", refused)]

    def usage(self, call: OperationCall) -> PlannedReply:
        """Show what is used of the plan: everything while ``quota`` holds, 10 % otherwise."""
        # The units are codes: 3 counts hours, 5 counts months. The names of the fields mix two
        # styles.
        now = datetime.now(UTC)
        spent = self._quota is not None and now < self._quota.until
        until = self._quota.until if self._quota and spent else now + timedelta(hours=5)
        used, reset = (100 if spent else 10), int(until.timestamp() * 1000)
        calls = {"usage": 100, "currentValue": used, "remaining": 100 - used}
        tools: Json = {"type": "TIME_LIMIT", "unit": 5, "number": 1, **calls}
        tools |= {"percentage": used, "nextResetTime": reset}
        tools["usageDetails"] = [{"modelCode": "search-prime", "usage": used}]
        plan = {"type": "TOKENS_LIMIT", "unit": 3, "number": 5, "percentage": used}
        data = {"limits": [tools, plan | {"nextResetTime": reset}], "level": "pro"}
        document = {"code": 200, "msg": "Operation successful", "data": data, "success": True}
        return call.reply(document)


def model_of(request: RecordedRequest) -> str:
    """Return the model that a request names in its JSON or its form; empty when it does not."""
    sent = request.json if is_object(request.json) else request.form.fields
    return str(sent.get("model", ""))
