"""Where models of LangChain are asked: a client for each key, and a loop for blocking calls."""

import atexit
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

from zai_async._secrets import Secret
from zai_async.client import AsyncZai
from zai_async.models import CallOptions
from zai_async.providers import Provider, find_keys, resolve_provider, secrets_of
from zai_async.sync.portal import LoopThread

__all__ = ["ZaiSettings", "blocking", "run_blocking"]

T = TypeVar("T")

_END: Final = object()
# One thread for all blocking calls: a model has no end at which another one would be ended.
_loop: Final = LoopThread()
_clients: Final[dict[tuple[str, Secret], AsyncZai]] = {}
_lock: Final = threading.Lock()


class ZaiSettings(BaseModel):
    """What a model of LangChain is asked with."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", populate_by_name=True)

    model: str
    """The model, such as ``"glm-5.3"``."""
    api_key: SecretStr | None = None
    """The key; without it the variables of the environment count that ``AsyncZai`` knows."""
    base_url: str | None = None
    """Another address, as for ``AsyncZai``."""
    provider: str | Provider = "zai"
    """The gateway, as for ``AsyncZai``."""
    timeout: float | None = None
    """Seconds of silence after which a call is given up; that of the client by default."""
    max_retries: int | None = None
    """Requests after the first one of a call; by default the policy of the client decides."""
    extra_body: dict[str, Any] | None = None
    """Fields of the body that are newer than this package."""
    client: AsyncZai | None = Field(default=None, exclude=True, repr=False)
    """A client of yours, which you close. Without it there is one for each key and address, that
    all models share, until the process ends."""

    _zai: AsyncZai = PrivateAttr()

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        # Here, because pydantic would make an error of its own of one about the key.
        self._zai = self.client or shared_client(self.api_key, self.base_url, self.provider)

    def __reduce__(self) -> tuple[Any, ...]:
        # The other process has a key of its own in its environment.
        left_out = {"api_key", "client"}
        given = {name: getattr(self, name) for name in self.model_fields_set - left_out}
        if self.client is not None:
            where = self.client.provider
            given |= {"provider": where, "base_url": where.base_url}
        return rebuilt, (type(self), given)

    def call_settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the keywords of a call, of which some say how it is made.

        What is None was not given.
        """
        # Both may be given for the model and for a call, which LangChain says with the same words.
        own = {"timeout": self.timeout, "max_retries": self.max_retries}
        params = own | {name: value for name, value in params.items() if value is not None}
        extra = {**(self.extra_body or {}), **params.pop("extra_body", {})}
        timeout, retries = params.pop("timeout"), params.pop("max_retries")
        if extra:
            params["extra"] = extra
        if "options" not in params:
            params["options"] = CallOptions(timeout=timeout, retries=retries)
        return params


def rebuilt(kind: type[T], given: dict[str, Any]) -> T:
    """Return a model as it was before it was pickled."""
    return kind(**given)


def shared_client(
    api_key: SecretStr | None, base_url: str | None, provider: str | Provider
) -> AsyncZai:
    """Return the client of a key, so that all of its models share limits and connections.

    Raises:
        ConfigurationError: There is no key, or the address cannot be one.
    """
    where = resolve_provider(provider)
    if base_url is None:
        base_url = next(filter(None, map(os.environ.get, where.url_variables)), None)
    where = resolve_provider(where, base_url)
    given = None if api_key is None else secrets_of(api_key.get_secret_value())
    key = find_keys(given, where)[0]
    # By all that is said of the gateway: two of one name may differ in their paths.
    name = repr(where), key
    with _lock:
        if name not in _clients:
            first = not _clients
            _clients[name] = AsyncZai(api_key=key.reveal(), base_url=base_url, provider=where)
            if first:
                # Behind what the client itself has registered, and so before it: nobody has
                # forgotten to close these.
                atexit.register(close_all)
        return _clients[name]


def close_all() -> None:
    """Close the clients that nobody else can."""
    for client in _clients.values():
        _loop.finish(client.aclose, _loop.loop)
    _loop.close()
    _clients.clear()


def run_blocking(work: Callable[[], Awaitable[T]]) -> T:
    """Run something to its end while the caller waits, who may have a loop running."""
    return _loop.run(work)


def blocking(items: AsyncGenerator[T]) -> Generator[T]:
    """Yield what an asynchronous generator does, which is closed when nobody wants more."""

    async def close() -> None:
        await items.aclose()

    loop = None
    try:
        while (item := _loop.run(lambda: anext(items, _END))) is not _END:
            loop = _loop.loop
            yield item  # type: ignore[misc]
    finally:
        # The garbage collector comes here, too, from any thread.
        _loop.finish(close, loop)
