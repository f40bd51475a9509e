"""The platform behind the socket: from a recorded request to a reply, without any I/O."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from zai_async.testing._account import BEIJING, Account, Keys
from zai_async.testing._agents import Agents
from zai_async.testing._audio import Audio, Voices
from zai_async.testing._catalogue import ModelList
from zai_async.testing._chat import Batches, Chat
from zai_async.testing._files import Files, Layout, Parser
from zai_async.testing._gateways import Direct, LowCodeApi, Truto, Turned
from zai_async.testing._ledger import RecordedRequest
from zai_async.testing._media import Cdn
from zai_async.testing._operation import Call, Operation, Table
from zai_async.testing._prose import random_for
from zai_async.testing._reply import WRONG_PATH, Fault, Refusal, Reply
from zai_async.testing._retrieval import Checks, Vectors, Web
from zai_async.testing._tasks import Images, Tasks, Videos


class Memory(Protocol):
    """Anything that a reset concerns."""

    def reset(self) -> None:
        """Forget everything."""
        ...


class Platform:
    """Hold the operations, what they remember, and the only key they accept."""

    def __init__(self, api_key: str | None, seed: int) -> None:
        self._keys = Keys(api_key)
        self._direct = Direct()
        self._seed = seed
        self.account = Account()
        key = api_key or "gateway.key"
        self.lowcodeapi, self.truto = LowCodeApi(key), Truto(key)
        self.tasks = Tasks()
        self.chat = Chat(seed, self.tasks)
        self.files = Files()
        self._voices = Voices(self.files)
        self.audio = Audio(self._voices)
        self._agents = Agents(self.tasks, self.files)
        self._batches = Batches(self.chat, self.files, self.tasks)
        self._parser = Parser(self.tasks)
        self._table = Table(self._operations())
        self._random = random_for(seed, "ids")

    def _operations(self) -> Iterator[Operation]:
        groups = (
            self.chat,
            self.tasks,
            Images(self.tasks),
            Videos(self.tasks),
            self.account,
            ModelList(),
            self.files,
            self._voices,
            self.audio,
            self._agents,
            self._batches,
            self._parser,
            Web(),
            Vectors(),
            Checks(),
            Layout(),
            Cdn(),
        )
        for group in groups:
            yield from group.operations()

    def _memories(self) -> Iterator[Memory]:
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
        with suppress(Turned):
            native = self._gateway(request).forward(request)
            found = self._table.find(native.method, native.path)
            return found[0].name if found else ""
        return ""

    def _gateway(self, request: RecordedRequest) -> Direct:
        name = request.path.split("/")[1]
        return {"lowcodeapi": self.lowcodeapi, "truto": self.truto}.get(name, self._direct)

    def reply(self, request: RecordedRequest, fault: Fault) -> Reply:
        """Answer a request, through its gateway if there is one, with a fault if there is one.

        Bytes that were scripted as they are stay so.
        """
        gateway = self._gateway(request)
        try:
            native = gateway.forward(request)
        except Turned as turned:
            return turned.reply(self.new_id())
        if fault.answers:
            reply = fault.reply(self.new_id())
            return reply if fault.verbatim else gateway.wrap(request, reply)
        reply = fault.changed(self._answer(native, request), self.new_id())
        return gateway.wrap(request, reply)

    def _answer(self, request: RecordedRequest, holder: RecordedRequest) -> Reply:
        log_id = self.new_id()
        found = self._table.find(request.method, request.path)
        if found is None:
            return Reply(pieces=(WRONG_PATH,), log_id=log_id)
        operation, parameters = found
        call = Call(request=request, id=log_id, parameters=parameters)
        try:
            self._keys.check(request.headers.get("Authorization", ""), operation.access)
            self.account.admit(request, holder)
            return operation.answer(call)
        except Refusal as refusal:
            return operation.refused(call, refusal)

    def new_id(self) -> str:
        """Make an id like the platform's: local time of Beijing and sixteen hex digits."""
        return f"{datetime.now(BEIJING):%Y%m%d%H%M%S}{self._random.getrandbits(64):016x}"
