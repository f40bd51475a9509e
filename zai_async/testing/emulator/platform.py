"""The platform behind the socket: from a recorded request to a reply, without any I/O."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from zai_async.testing.emulator.account import BEIJING, EmulatedAccount, KeyCheck
from zai_async.testing.emulator.agents import AgentHandlers
from zai_async.testing.emulator.audio import AudioHandlers, VoiceHandlers
from zai_async.testing.emulator.catalogue import ModelListHandlers
from zai_async.testing.emulator.chat import BatchHandlers, ChatHandlers
from zai_async.testing.emulator.files import FileStore, LayoutHandlers, ParserHandlers
from zai_async.testing.emulator.gateways import (
    GatewayRefusal,
    LowCodeApiGateway,
    NoGateway,
    TrutoGateway,
)
from zai_async.testing.emulator.media import CdnHandlers
from zai_async.testing.emulator.operation import OperationCall, Route, RouteTable
from zai_async.testing.emulator.prose import random_for
from zai_async.testing.emulator.reply import WRONG_PATH, InjectedFault, PlannedReply, Refusal
from zai_async.testing.emulator.requests import RecordedRequest
from zai_async.testing.emulator.retrieval import CheckHandlers, VectorHandlers, WebHandlers
from zai_async.testing.emulator.tasks import ImageHandlers, TaskHandlers, VideoHandlers


class Resettable(Protocol):
    """Anything that a reset concerns."""

    def reset(self) -> None:
        """Forget everything."""
        ...


class Platform:
    """Hold the operations, what they remember, and the only key they accept."""

    def __init__(self, api_key: str | None, seed: int) -> None:
        self._keys = KeyCheck(api_key)
        self._direct = NoGateway()
        self._seed = seed
        self.account = EmulatedAccount()
        key = api_key or "gateway.key"
        self.lowcodeapi, self.truto = LowCodeApiGateway(key), TrutoGateway(key)
        self.tasks = TaskHandlers()
        self.chat = ChatHandlers(seed, self.tasks)
        self.files = FileStore()
        self._voices = VoiceHandlers(self.files)
        self.audio = AudioHandlers(self._voices)
        self._agents = AgentHandlers(self.tasks, self.files)
        self._batches = BatchHandlers(self.chat, self.files, self.tasks)
        self._parser = ParserHandlers(self.tasks)
        self._table = RouteTable(self._operations())
        self._random = random_for(seed, "ids")

    def _operations(self) -> Iterator[Route]:
        groups = (
            self.chat,
            self.tasks,
            ImageHandlers(self.tasks),
            VideoHandlers(self.tasks),
            self.account,
            ModelListHandlers(),
            self.files,
            self._voices,
            self.audio,
            self._agents,
            self._batches,
            self._parser,
            WebHandlers(),
            VectorHandlers(),
            CheckHandlers(),
            LayoutHandlers(),
            CdnHandlers(),
        )
        for group in groups:
            yield from group.operations()

    def _memories(self) -> Iterator[Resettable]:
        yield from (
            self.lowcodeapi,
            self.truto,
            self.account,
            self.chat,
            self.tasks,
            self.files,
            self.audio,
        )
        yield from (self._voices, self._agents, self._batches, self._parser)

    def reset(self) -> None:
        """Forget everything that was scripted, uploaded and created."""
        for memory in self._memories():
            memory.reset()
        self._random = random_for(self._seed, "ids")

    def name(self, request: RecordedRequest) -> str:
        """Name the operation of a request; empty when there is none."""
        with suppress(GatewayRefusal):
            native = self._gateway(request).forward(request)
            found = self._table.find(native.method, native.path)
            return found[0].name if found else ""
        return ""

    def _gateway(self, request: RecordedRequest) -> NoGateway:
        name = request.path.split("/")[1]
        return {"lowcodeapi": self.lowcodeapi, "truto": self.truto}.get(name, self._direct)

    def reply(self, request: RecordedRequest, fault: InjectedFault) -> PlannedReply:
        """Answer a request, through its gateway if there is one, with a fault if there is one.

        Bytes that were scripted as they are stay so.
        """
        gateway = self._gateway(request)
        try:
            native = gateway.forward(request)
        except GatewayRefusal as turned:
            return turned.reply(self.new_id())
        if fault.answers:
            reply = fault.reply(self.new_id())
            return reply if fault.verbatim else gateway.wrap(request, reply)
        reply = fault.changed(self._answer(native, request), self.new_id())
        return gateway.wrap(request, reply)

    def _answer(self, request: RecordedRequest, holder: RecordedRequest) -> PlannedReply:
        log_id = self.new_id()
        found = self._table.find(request.method, request.path)
        if found is None:
            return PlannedReply(pieces=(WRONG_PATH,), log_id=log_id)
        operation, parameters = found
        call = OperationCall(request=request, id=log_id, parameters=parameters)
        try:
            self._keys.check(request.headers.get("Authorization", ""), operation.access)
            self.account.admit(request, holder)
            return operation.answer(call)
        except Refusal as refusal:
            return operation.refused(call, refusal)

    def new_id(self) -> str:
        """Make an id like the platform's: local time of Beijing and sixteen hex digits."""
        return f"{datetime.now(BEIJING):%Y%m%d%H%M%S}{self._random.getrandbits(64):016x}"
