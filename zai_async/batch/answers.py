"""From the request of a row to its answer: by the cache, an equal row, or a call."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from zai_async._wire import Operation, with_raw_body
from zai_async.batch.cache import AnswerCache
from zai_async.batch.journal import Journal
from zai_async.batch.keys import KeyIndex
from zai_async.batch.lines import whole_json
from zai_async.batch.results import Failed, Ok
from zai_async.batch.rows import RowRequest
from zai_async.batch.settings import RunSettings
from zai_async.batch.values import typed
from zai_async.errors import Attempt, StructuredOutputError, ZaiError
from zai_async.models import Reply
from zai_async.models.encoding import encode
from zai_async.session import SessionManager
from zai_async.structured import AnswerFormat

__all__ = ["Answers"]

_BUSY: Final = frozenset({"overload", "quota", "throttle"})
"""Kinds of errors at which another model may have room."""
_GOOD: Final = frozenset({"completed", "tool_calls"})
"""Outcomes of answers that are good for other rows as well."""

_log: Final = logging.getLogger("zai_async")
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_turns: Final = msgspec.json.Decoder(list[msgspec.Raw])
_values: Final = msgspec.json.Decoder(dict[str, Any])


class Answers:
    """Finds or buys the answers of rows."""

    def __init__(
        self,
        manager: SessionManager,
        settings: RunSettings,
        journal: Journal[Any],
        answer_format: AnswerFormat[Any] | None,
    ) -> None:
        self._manager = manager
        self._journal = journal
        # The bytes of an answer go into the output as they came, numbers and order included.
        self._options = msgspec.structs.replace(settings.options, keep_raw=True)
        self._fallbacks = settings.fallbacks
        self._format = answer_format
        self._dedupe = settings.dedupe
        self._cache: AnswerCache | None = None
        if settings.cache is not None:
            self._cache = AnswerCache(settings.cache, manager.settings.provider.base_url)
        # A gateway's own words around an answer are nothing for an output.
        provider = manager.settings.provider
        self._plain = not (provider.envelope or provider.statuses)
        self._in_flight: dict[bytes, asyncio.Future[Ok | None]] = {}
        self._answered = KeyIndex()
        """Requests that have an answer in the output, by their own digests."""

    def remember(self, request: RowRequest, position: int) -> None:
        """Note where the answer of a request is in the output, for rows that are equal."""
        if self._dedupe:
            self._answered.record(request.digest, position, failed=False)

    def delivered(self, result: Ok | Failed, request: RowRequest, position: int) -> None:
        """Note that the result of a request is in the output."""
        if isinstance(result, Ok) and _is_good(result) and result.source != "duplicate":
            self.remember(request, position)
            del self._in_flight[request.digest]

    def find(self, request: RowRequest) -> Awaitable[Ok]:
        """Return the answer of a row.

        Raises:
            ZaiError: There is none.
            OSError: A file of the row cannot be read.
        """
        return self._share(request) if self._dedupe else self._ask(request)

    async def _share(self, request: RowRequest) -> Ok:
        """Return the answer of an equal row, or one for all of them."""
        digest = request.digest
        while True:
            # Again in each round: while this row waited, its answer may have reached the disk.
            known = self._answered.get(digest)
            if known is not None:
                earlier = cast("Ok", await self._journal.read(known.position))
                return _copied(typed(earlier, self._format), request)
            shared = self._in_flight.get(digest)
            if shared is None:
                break
            # Its task may be cancelled; ours must not cancel what others wait for.
            found = await asyncio.shield(shared)
            if found is not None:
                return _copied(found, request)
            # It failed, and so may this row; but each one is tried.
        # No await lies between the last look and this: two equal rows cannot both begin.
        flight = self._in_flight[digest] = asyncio.get_running_loop().create_future()
        found = None
        try:
            found = await self._ask(request)
            return found
        finally:
            if found is None or not _is_good(found):
                del self._in_flight[digest]
                flight.set_result(None)
            else:
                flight.set_result(found)

    async def _ask(self, request: RowRequest) -> Ok:
        """Return an answer out of the cache, or of the first model that has room."""
        cache, operation = self._cache, request.operation
        if cache is not None:
            kept = await cache.get(operation, request.digest)
            if kept is not None:
                body, answer = kept
                found = Ok(
                    key=request.key,
                    answer=answer,
                    body=body,
                    attempts=0,
                    source="cache",
                    row=request.row,
                )
                # A type may have become stricter than when the answer was kept.
                with suppress(StructuredOutputError):
                    return typed(found, self._format)
        found = await self._buy(request)
        if cache is not None and _is_good(found):
            try:
                await cache.put(request.digest, found.body)
            except OSError as error:
                # The answer is here, and paid: that nobody else will find it costs no row.
                # A disk that is full is full for the next million, too.
                level = logging.WARNING if cache.failures == 1 else logging.DEBUG
                _log.log(level, "an answer was not put into the cache: %s", error)
        return found

    async def _buy(self, request: RowRequest) -> Ok:
        """Return an answer that fits; one that does not is shown to the model once."""
        operation, body = request.operation, request.body
        attempts, unfit = tuple[Attempt, ...](), None
        while True:
            try:
                answer = await self._call(operation, request.model, body)
            except ZaiError as error:
                answer = await self._fall_back(request, body, error)
            attempts += answer.attempts
            found = Ok(
                key=request.key,
                answer=answer,
                body=self._body_of(answer, operation),
                attempts=len(attempts),
                row=request.row,
                unfit=unfit,
            )
            try:
                return typed(found, self._format)
            except StructuredOutputError as error:
                error.attempts, error.usage = attempts, found.usage
                if unfit is not None or answer.outcome == "length" or self._format is None:
                    raise
                # Asked once more, and not as a row of its own: its key and its place stay.
                unfit = found.usage
                asked = _fields.decode(body)
                turns = _turns.decode(asked["messages"])
                turns += [msgspec.Raw(encode(each)) for each in self._format.correction(error)]
                body = msgspec.json.encode({**asked, "messages": turns})

    async def _fall_back(self, request: RowRequest, body: bytes, error: ZaiError) -> Reply:
        """Ask other models while they are busy as well, and raise what the last one says."""
        for model in self._fallbacks if "model" in request.operation.keywords else ():
            if error.kind not in _BUSY:
                break
            if model == request.model:
                continue
            fields = {**_fields.decode(body), "model": model}
            try:
                return await self._call(request.operation, model, msgspec.json.encode(fields))
            except ZaiError as again:
                error = again
        try:
            raise error
        finally:
            del error  # its traceback leads to this frame, and would keep the request alive

    def _call(self, operation: Operation[Any], model: str, body: bytes) -> Awaitable[Reply]:
        params: Mapping[str, Any]
        if operation.upload is None:
            # The row's own bytes go out: decoding and encoding them would change numbers.
            operation = with_raw_body(operation)
            params = {"raw": body, "model": model, "options": self._options}
        else:
            params = {**_values.decode(body), "options": self._options}
            if "file" in params:
                params["file"] = Path(params["file"])
        return self._manager.call(operation, params)

    def _body_of(self, answer: Reply, operation: Operation[Any]) -> bytes:
        """Return an answer as JSON: as it came, unless that is something around it."""
        raw = answer.raw
        if raw is None or not self._plain:
            return encode(answer)
        # Something may lie around the answer, or in place of a part of it.
        # Operations without a telling field accept any object, and need no closer look.
        fits = whole_json(raw, operation.decoder) if operation.contents else whole_json(raw)
        return raw if fits else encode(answer)


def _is_good(result: Ok) -> bool:
    return result.answer.outcome in _GOOD


def _copied(found: Any, request: RowRequest) -> Ok:
    copied: Ok = msgspec.structs.replace(
        found,
        key=request.key,
        attempts=0,
        deduplicated_from=found.deduplicated_from or found.key,
        source="duplicate",
        row=request.row,
    )
    return copied
