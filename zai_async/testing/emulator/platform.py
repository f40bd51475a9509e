"""The platform behind the socket: from a recorded request to a reply, without any I/O."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from zai_async.testing.emulator.account import BEIJING, EmulatedAccount, KeyCheck
from zai_async.testing.emulator.agents import AgentHandlers
from zai_async.testing.emulator.audio import AudioHandlers
from zai_async.testing.emulator.batches import BatchHandlers
from zai_async.testing.emulator.catalogue import ModelListHandlers
from zai_async.testing.emulator.chat import ChatHandlers
from zai_async.testing.emulator.documents import LayoutHandlers, ParserHandlers
from zai_async.testing.emulator.faults import NO_FAULT, InjectedFault
from zai_async.testing.emulator.files import FileStore
from zai_async.testing.emulator.gateways import (
    GatewayRefusal,
    LowCodeApiGateway,
    NoGateway,
    TrutoGateway,
)
from zai_async.testing.emulator.generations import ImageHandlers, VideoHandlers
from zai_async.testing.emulator.media import CdnHandlers
from zai_async.testing.emulator.operation import OperationCall, Route, RouteTable
from zai_async.testing.emulator.prose import random_for
from zai_async.testing.emulator.reply import WRONG_PATH, PlannedReply, Refusal
from zai_async.testing.emulator.requests import RecordedRequest
from zai_async.testing.emulator.retrieval import CheckHandlers, VectorHandlers, WebHandlers
from zai_async.testing.emulator.tasks import TaskHandlers
from zai_async.testing.emulator.unscripted import unscripted
from zai_async.testing.emulator.voices import VoiceHandlers


class Resettable(Protocol):
    """Anything that remembers."""

    def reset(self) -> None:
        """Forget everything."""
        ...


class RouteGroup(Protocol):
    """Anything that answers requests."""

    def routes(self) -> list[Route]:
        """List the routes of this group."""
        ...


class Platform:
    """The operations, what they remember, and the only key they accept."""

    def __init__(self, api_key: str | None, seed: int) -> None:
        self._keys = KeyCheck(api_key)
        self._seed = seed
        self.account = EmulatedAccount()
        # Gateways hold a key of the platform; a client of theirs never sends it.
        key = api_key or "gateway.key"
        self.lowcodeapi, self.truto = LowCodeApiGateway(key), TrutoGateway(key)
        self._no_gateway = NoGateway()
        self.tasks = TaskHandlers()
        self.chat = ChatHandlers(seed, self.tasks)
        self.files = FileStore()
        voices = VoiceHandlers(self.files)
        self.audio = AudioHandlers(voices)
        agents = AgentHandlers(self.tasks, self.files)
        images, vectors = ImageHandlers(self.tasks), VectorHandlers()
        in_batches = {
            "/v4/chat/completions": self.chat.complete,
            "/v4/embeddings": vectors.embed,
            "/v4/images/generations": images.generate,
        }
        batches = BatchHandlers(in_batches, self.files, self.tasks)
        parser = ParserHandlers(self.tasks)
        self._random = random_for(seed, "ids")

        stateful = (
            self.account,
            self.chat,
            self.tasks,
            self.files,
            self.audio,
            voices,
            agents,
            batches,
            parser,
        )
        stateless: tuple[RouteGroup, ...] = (
            images,
            VideoHandlers(self.tasks),
            ModelListHandlers(),
            WebHandlers(),
            vectors,
            CheckHandlers(),
            LayoutHandlers(),
            CdnHandlers(),
        )
        groups: tuple[RouteGroup, ...] = (*stateful, *stateless)
        self._resettable: tuple[Resettable, ...] = (self.lowcodeapi, self.truto, *stateful)
        scripted = [route for group in groups for route in group.routes()]
        self.table = RouteTable([*scripted, *unscripted(scripted)])

    def reset(self) -> None:
        """Forget everything that was scripted, uploaded and created."""
        for memory in self._resettable:
            memory.reset()
        self._random = random_for(self._seed, "ids")

    def name(self, request: RecordedRequest) -> str:
        """Return the name of a request's operation; empty when there is none."""
        with suppress(GatewayRefusal):
            native = self._gateway(request).forward(request)
            found = self.table.find(native.method, native.path)
            return found[0].name if found else ""
        return ""

    def _gateway(self, request: RecordedRequest) -> NoGateway:
        name = request.path.removeprefix("/").partition("/")[0]
        return {"lowcodeapi": self.lowcodeapi, "truto": self.truto}.get(name, self._no_gateway)

    def reply(self, request: RecordedRequest, fault: InjectedFault, origin: str) -> PlannedReply:
        """Answer a request, through its gateway if there is one, with a fault if there is one."""
        gateway = self._gateway(request)
        try:
            native = gateway.forward(request)
        except GatewayRefusal as refusal:
            return refusal.reply(self.new_id())
        if fault.answers:
            reply = fault.reply(self.new_id())
            # Bytes that were scripted as they are stay so.
            return reply if fault.verbatim else gateway.wrap(request, reply)

        # The id is drawn before anything can fail: refusals carry one, too.
        log_id = self.new_id()
        found = self.table.find(native.method, native.path)
        if found is None:
            # Recorded live: an unknown path is HTTP 200 with a failure inside.
            reply = PlannedReply(pieces=(WRONG_PATH,), log_id=log_id)
        else:
            route, parameters = found
            call = OperationCall(
                request=native,
                id=log_id,
                parameters=parameters,
                answer_as=fault.answer_as,
                origin=origin,
            )
            try:
                self._keys.check(native.headers.get("Authorization", ""), route.access)
                # The slot is held by the request as it arrived: the gateway made a copy.
                self.account.admit(native, holder=request)
                reply = route.answer(call)
            except Refusal as refusal:
                reply = route.refused(call, refusal)
        if fault is not NO_FAULT:
            reply = fault.changed(reply, self.new_id())
        return gateway.wrap(request, reply)

    def failure(self, request: RecordedRequest) -> PlannedReply:
        """Answer in the platform's shape when answering raised, and tell it on stderr.

        Call it while the exception is handled. A mistake here, or in a ``match`` of a script, must
        look to the client like the platform's own failures do.
        """
        sys.stderr.write(f"The emulator failed on {request.method} {request.path}:\n")
        traceback.print_exc()
        return Refusal("500").reply(self.new_id())

    def new_id(self) -> str:
        """Make an id like the platform's: local time of Beijing and sixteen hex digits."""
        return f"{datetime.now(BEIJING):%Y%m%d%H%M%S}{self._random.getrandbits(64):016x}"
