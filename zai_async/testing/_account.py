"""The account: how much it may do at once, and what it has left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

from zai_async.testing._json import Json, is_object
from zai_async.testing._ledger import RecordedRequest
from zai_async.testing._operation import Call, Operation
from zai_async.testing._refusal import Refusal
from zai_async.testing._reply import Reply

_BEIJING = timezone(timedelta(hours=8))
_HOURS = {
    "en": "Usage limit reached for 5 hour. Your limit will reset at {}",
    "zh": "已达到 5\n小时的使用上限。您的限额将在 {} 重置。",
}
_DAYS = {
    "en": "Weekly/Monthly Limit Exhausted. Your limit will reset at {}",
    "zh": "已达到 7 天使用上限，{} 后可继续使用。",  # noqa: RUF001 - Chinese punctuation
}


@dataclass(slots=True, eq=False)
class _Trouble:
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


class Account:
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
        self._troubles: list[_Trouble] = []
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
        if until.tzinfo is None:
            raise ValueError("until needs a time zone")
        text = (_HOURS if code == "1308" else _DAYS)[language]
        moment = f"{until.astimezone(_BEIJING):%Y-%m-%d %H:%M:%S}"
        self._quota = _Quota(code, until, text.format(moment))

    def balance(self, amount: float) -> None:
        """Set the balance; with nothing left requests are answered with 429 and 1113."""
        self._balance = amount

    def overload(
        self, model: str | None = None, *, seconds: float = math.inf, requests: int | None = None
    ) -> None:
        """Answer 429 and 1305 for some seconds or requests, for one model or for all."""
        left = math.inf if requests is None else requests
        trouble = _Trouble(lambda request: model in {None, model_of(request)}, left)
        trouble.until = time.monotonic() + seconds
        self._troubles.append(trouble)

    def reject(self, match: Callable[[Json], bool]) -> None:
        """Answer 429 and 1305 to every request for whose JSON body ``match`` returns true."""
        self._troubles.append(
            _Trouble(lambda request: is_object(request.json) and match(request.json))
        )

    # Serving

    def admit(self, request: RecordedRequest, holder: RecordedRequest) -> None:
        """Let a request in, or raise ``Refusal``; ``leave`` makes room again.

        ``holder`` is the request as it arrived, before a gateway translated it.
        """
        if request.method != "POST":
            return
        if self._balance <= 0:
            raise Refusal("1113")
        if self._quota is not None and datetime.now(UTC) < self._quota.until:
            raise Refusal(self._quota.code, self._quota.message, 429)
        self._check_troubles(request)
        self._check_limits(request)
        self._active[holder] = model_of(request)

    def leave(self, holder: RecordedRequest) -> None:
        """Note that a request has been answered."""
        self._active.pop(holder, None)

    def _check_troubles(self, request: RecordedRequest) -> None:
        for trouble in self._troubles:
            if trouble.hits(request):
                trouble.left -= 1
                raise Refusal("1305")

    def _check_limits(self, request: RecordedRequest) -> None:
        for model in (None, model_of(request)):
            counted = [one for one in self._active.values() if model in {None, one}]
            if len(counted) >= self._limits.get(model, math.inf):
                raise Refusal("1302")

    # The quota monitor

    def operations(self) -> list[Operation]:
        """Name the operations of this group."""
        path = "monitor/usage/quota/limit"
        monitor = Operation("usage.quota", "GET", path, self.usage, "key", _refused)
        return [monitor]

    def usage(self, call: Call) -> Reply:
        """Show what is used of the plan: everything while ``quota`` holds, 10 % otherwise."""
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


def _refused(call: Call, _: Refusal) -> Reply:
    """Refuse a key with HTTP 200, as the monitor does."""
    return call.reply({"code": 401, "msg": "token expired or incorrect", "success": False})
