"""The client: settings, environment variables, and one attribute for each group of operations."""

import os
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
)

import msgspec

from zai_async._clock import Clock, SystemClock
from zai_async._kinds import misfit
from zai_async._secrets import Secret
from zai_async._transport import (
    NetworkSettings,
    Transport,
    open_transport,
    proxy_passwords,
    trust_file,
    usable_proxy,
)
from zai_async._wire import Operation, misused_client, unlisted
from zai_async.errors import ConfigurationError
from zai_async.ledger import Ledger
from zai_async.limiter import Limits
from zai_async.models import Budget, CallOptions, Price, Reply, Timeout
from zai_async.models.files import DownloadOptions
from zai_async.providers import (
    Provider,
    ProviderName,
    find_keys,
    resolve_provider,
    secrets_of,
)
from zai_async.resources import Resources
from zai_async.resources.account import EndpointCheck, check_endpoints
from zai_async.resources.deferred import batching
from zai_async.retry import RetryPolicy
from zai_async.session import (
    Coordinator,
    Hooks,
    LimitsView,
    Sessions,
    Settings,
    clocks_of,
    limits_of,
    manager_for,
    own_headers,
)
from zai_async.tasks import Task

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiohttp import ClientSession  # noqa: TID251 - for the type checker only

    from zai_async.batch import Batching

__all__ = ["AsyncZai"]

R = TypeVar("R", bound=Reply)
T = TypeVar("T")


class Changes(TypedDict, total=False):
    """What a derived client may differ in."""

    timeout: Timeout | float
    retry: RetryPolicy
    headers: Mapping[str, str]
    hooks: Hooks
    budget: Budget | None
    tag: str | None
    wait_for_quota: bool
    max_response_bytes: int
    max_response_values: int
    max_event_bytes: int
    max_event_values: int


class AsyncZai(Resources):
    """Talk to the Z.AI platform from asyncio.

    A client may be made anywhere and used from many event loops, one after the other or at once;
    each gets connections of its own. Close it with ``async with`` or ``await zai.aclose()``.

    Args:
        api_key: The key, or several, of which one with room is taken. Else ``ZAI_API_KEY`` counts,
            ``ZHIPUAI_API_KEY``, ``LOWCODEAPI_API_TOKEN`` or ``TRUTO_API_TOKEN``.
        base_url: Another address, in any usual spelling; else ``ZAI_BASE_URL`` counts, or
            ``ZHIPUAI_BASE_URL``, ``LOWCODEAPI_BASE_URL`` or ``TRUTO_BASE_URL``, likewise.
        provider: ``"zai"``, ``"zai-coding"``, ``"bigmodel"``, ``"bigmodel-coding"``,
            ``"lowcodeapi"``, ``"lowcodeapi-coding"``, ``truto(...)``, or your own ``Provider``.
        auth: ``"jwt"`` sends short-lived tokens that an ``id.secret`` key signs, not the key.
        timeout: Four clocks in seconds; a number sets all but ``connect``.
        retry: When a refused request is sent again.
        headers: Header fields for every request.
        hooks: Functions that watch every call.
        limits: Requests of a model in flight: found out, a number, ``"off"``, or ``Limits``.
        coordinator: Shares the limits with the clients of other processes.
        budget: Refuses calls when so much is spent.
        prices: What models cost, for ``zai.usage`` and for budgets in money.
        wait_for_quota: Whether to wait, within the deadline, until a plan allows calls again.
        proxy: Address of a proxy for every request; it may hold a password.
        trust_env: Whether ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` count.
        ssl: A context of your own, or False to verify nothing.
        ca_file: A file of certificates to trust instead of the system's.
        session: An ``aiohttp.ClientSession`` of your own; it is never closed here.
        transport: A transport instead of the network, for tests.
        max_response_bytes: A larger answer is refused; of a stream, what comes after it.
        max_response_values: An answer in one piece that holds more is refused.
        max_event_bytes: A larger event of a stream is refused.
        max_event_values: An event of a stream that holds more is refused.
        clock: Time and chance, for tests.

    Raises:
        MissingKeyError: There is no key.
        ConfigurationError: An argument cannot be meant.
    """

    def __new__(cls, *_: Any, **settings: Any) -> Self:
        """Make a client; type checkers look at ``__init__``."""
        # Here and not in __init__, whose signature lets type checkers name the closest keyword.
        unknown = settings.keys() - (AsyncZai.__init__.__kwdefaults__ or {}).keys()
        if unknown and cls.__init__ is AsyncZai.__init__:
            raise misused_client("AsyncZai", unknown)
        return super().__new__(cls)

    def __init__(
        self,
        *,
        api_key: str | Sequence[str] | None = None,
        base_url: str | None = None,
        provider: ProviderName | str | Provider = "zai",
        auth: Literal["key", "jwt"] = "key",
        timeout: Timeout | float | None = None,
        retry: RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
        hooks: Hooks | None = None,
        limits: Limits | int | Literal["adaptive", "off"] | None = None,
        coordinator: Coordinator | None = None,
        budget: Budget | None = None,
        prices: Mapping[str, Price] | None = None,
        wait_for_quota: bool = False,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl: "SSLContext | bool | None" = None,
        ca_file: str | None = None,
        session: "ClientSession | None" = None,
        transport: Transport | None = None,
        max_response_bytes: int = Settings().max_response_bytes,
        max_response_values: int = Settings().max_response_values,
        max_event_bytes: int = Settings().max_event_bytes,
        max_event_values: int = Settings().max_event_values,
        clock: Clock | None = None,
    ) -> None:
        # From here on no frame of a traceback shows them: trackers of errors keep local variables.
        given, api_key = None if api_key is None else secrets_of(api_key), None
        wrong, headers = misfit(type(headers), Mapping, NoneType), own_headers(headers)
        if wrong:
            raise ConfigurationError(f"headers must be a mapping of names to values, not {wrong}")
        wrong, route, proxy = misfit(type(proxy), str, NoneType), Secret(str(proxy or "")), None
        if wrong:
            raise ConfigurationError(f"proxy must be the address of a proxy, not {wrong}")

        # Which variable may hold another address depends on the gateway.
        where = resolve_provider(provider)
        if base_url is None:
            base_url = next(filter(None, map(os.environ.get, where.url_variables)), None)
        where = resolve_provider(where, base_url)
        if auth not in ("key", "jwt"):
            raise ConfigurationError(f"auth must be 'key' or 'jwt', not {auth!r}")
        if auth == "jwt":
            where = msgspec.structs.replace(where, key_in="jwt")

        keys = find_keys(given, where)
        # What calls need is apart from what connections need: derived clients share the second.
        through = usable_proxy(route) if route else None
        settings = Settings(
            provider=where,
            key=keys[0],
            timeout=clocks_of(timeout, Timeout()),
            retry=RetryPolicy() if retry is None else retry,
            headers=headers,
            secrets=proxy_passwords(through, trust_env=trust_env),
            hooks=Hooks() if hooks is None else hooks,
            clock=SystemClock() if clock is None else clock,
            budget=budget,
            wait_for_quota=wait_for_quota,
            max_response_bytes=max_response_bytes,
            max_response_values=max_response_values,
            max_event_bytes=max_event_bytes,
            max_event_values=max_event_values,
        )
        tls = ssl if ca_file is None else trust_file(ca_file)
        network = NetworkSettings(proxy=through, trust_env=trust_env, ssl=tls, session=session)
        if not (transport is None or hasattr(transport, "send")):
            kind = type(transport).__name__
            raise ConfigurationError(f"transport must be a Transport, not {kind}")
        # A client that is never closed is told of by the line that made it.
        caller = traceback.extract_stack(limit=2)[0]
        sessions = Sessions(
            lambda: open_transport(network) if transport is None else transport,
            made_at=f"{caller.filename}:{caller.lineno}",
            limits=limits_of(limits, coordinator),
            coordinator=coordinator,
            prices=prices,
        )
        self._attach(manager_for(settings, sessions, keys))

    def with_options(self, **changes: Unpack[Changes]) -> Self:
        """Return a client that differs in these settings and shares the connections."""
        unknown = changes.keys() - Changes.__annotations__.keys()
        if unknown:
            raise misused_client("with_options", unknown)
        settings, wrong = self._manager.settings, misfit(type(changes.get("headers", {})), Mapping)
        headers = own_headers(changes.pop("headers", None), settings.headers)
        if wrong:
            raise ConfigurationError(f"headers must be a mapping of names to values, not {wrong}")
        values: dict[str, Any] = {**changes, "headers": headers}
        if "timeout" in values:
            values["timeout"] = clocks_of(values["timeout"], settings.timeout)
        # Without __init__: keys and variables were looked at when the first client was made.
        derived = object.__new__(type(self))
        changed = msgspec.structs.replace(settings, **values)
        derived._attach(self._manager.derived(changed))
        return derived

    @property
    def provider(self) -> Provider:
        """The gateway that this client talks to."""
        return self._manager.settings.provider

    @property
    def hooks(self) -> Hooks:
        """What watches the calls of this client."""
        return self._manager.settings.hooks

    @property
    def batch(self) -> "Batching":
        """Many rows, each answered once: ``zai.batch.run(rows, out="answers.jsonl")``."""
        return batching(self._manager)

    @property
    def limits(self) -> LimitsView:
        """What the limiter has found out, for this client and all that are derived from it."""
        return LimitsView(self._manager.sessions.queues)

    @property
    def usage(self) -> Ledger:
        """What calls have used, of this client and of all that are derived from it."""
        return self._manager.sessions.ledger

    def attach(self, task: Task[R]) -> Task[R]:
        """Return the same task in the hands of this client, for example out of a pickle."""
        return task.attached_to(self._manager)

    async def download(
        self, url: str, to: str | os.PathLike[str], **options: Unpack[DownloadOptions]
    ) -> Path:
        """Fetch a file from anywhere, streamed to disk, and return where it lies.

        The key is not sent along. The file appears under its name when it is whole, or not at
        all. A path of yours is replaced if it exists; in a directory nothing is, and the second
        ``image.png`` becomes ``image-2.png``.

        Args:
            url: An ``http`` or ``https`` address, such as that of a video.
            to: A path, or a directory in which the file is called as its server says; one that
                ends in ``/`` is made if it does not exist.
            **options: ``max_bytes``, 2 GiB by default; ``on_progress``, which is called with the
                bytes so far and the total, or None; ``allow``, which is called with the URL and
                the IP address of each hop, redirects included, and refuses it by False.

        Raises:
            ConfigurationError: The address is of another kind; nothing was sent.
            ResponseError: Something else came instead of the file.
            LimitError: The file is larger than allowed.
            TransportError: The connection failed or broke.
            OSError: The file cannot be written.
        """
        work, url = self._manager.download(url, to, **options), ""  # as there, in no frame
        return await work

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        into: type[T] = dict,  # type: ignore[assignment]
        options: CallOptions | None = None,
    ) -> T:
        """Call an operation that this package does not know yet.

        Limits, retries, hooks and errors are those of every call. A request that may have arrived
        is sent again only where HTTP says that this is safe, which excludes POST.

        Args:
            method: ``"POST"``, ``"GET"``, ``"DELETE"``, ``"PUT"`` or ``"PATCH"``.
            path: Where the operation is below ``paas/v4``; one that begins with another family of
                operations, such as ``v1``, is below the base URL, and so is one in ``/api/``.
            body: What is sent as JSON, or as the query where the method has no body.
            into: The type of the answer: ``dict``, a result such as ``Reply``, a struct or
                dataclass of yours, or ``bytes``.
            options: As for every call.

        Raises:
            ConfigurationError: The path is an address, or has characters that no path may; the
                method is none of those, or the body is no mapping.
            APIError: The platform refused or failed; see the subclasses.
            ResponseError: The answer is of another type.
        """
        given = cast("object", body)
        if not isinstance(given, Mapping | None):
            kind = type(given).__name__
            raise ConfigurationError(f"request(): body must be a mapping, not {kind}")
        operation: Operation[Any] = unlisted(method, path, into)
        fields = body or {}
        # What a call is counted under stands among the keywords; a body may hold any names.
        counted = {name: fields[name] for name in ("model", "agent_id") if name in fields}
        params = {**counted, "extra": fields, "options": options}
        answer: T
        if into is bytes:
            answer = cast("T", (await self._manager.fetch(operation, params)).content)
        else:
            answer = await self._manager.call(operation, params)
        return answer

    async def check(self) -> tuple[EndpointCheck, ...]:
        """Find out which of the platform's endpoints accept the key; nothing is generated or paid.

        The key is sent to all four of them, or with a base URL of your own to that one only. An
        accepted key may still lack the balance or the plan for a call.

        Raises:
            ConfigurationError: The gateway has no list of models, which is what is asked for.
        """
        return await check_endpoints(self._manager)

    async def drain(self, grace: float = 30.0) -> None:
        """Close when all calls and streams have ended, for a graceful shutdown.

        New calls are refused at once, those of derived clients included. What has not ended
        after ``grace`` seconds is cut off: its caller gets a ``ClientDrainingError``, that of a
        stream with everything that has arrived in ``partial``. Tasks go on at the platform.
        """
        await self._manager.sessions.drain(grace)

    async def aclose(self) -> None:
        """Close all connections, those of derived clients included."""
        await self._manager.sessions.aclose()

    async def __aenter__(self) -> Self:
        # What takes long to import is there when an application is ready, not with its first call.
        await self._manager.sessions.current()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __copy__(self) -> Self:
        return self.with_options()

    def __deepcopy__(self, memo: object) -> Self:
        # Connections cannot be copied, and the limiter must see all calls of a key.
        return self.with_options()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "AsyncZai cannot be pickled: it holds connections and the API key. "
            "Make one in the other process, for example with AsyncZai() and ZAI_API_KEY"
        )

    def __repr__(self) -> str:
        if not hasattr(self, "_manager"):  # a traceback shows a client whose arguments are wrong
            return "AsyncZai(...)"
        return f"AsyncZai(provider={self.provider.name!r}, base_url={self.provider.base_url!r})"
