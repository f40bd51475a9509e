"""Ray Data: the rows of a dataset, each answered once, by actors that share one limit.

    answers = map_chat(ds, ChatSpec(model="glm-5.3"), out="/shared/run-7", actors=4)

Nothing is raised for a row: what went wrong stands in its ``answer_error_kind``. Every answer is in
a file of its actor in the folder ``out`` before Ray sees it, and actors know all files that are
there when they begin, so that what Ray repeats is not paid again.
"""

import math
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from zai_async.batch.rows import RowParser
from zai_async.errors import ConfigurationError
from zai_async.integrations.ray_actors import ChatActor, SlotsActor
from zai_async.limiter import Limits

__all__ = ["ChatSpec", "cluster_limits", "map_chat"]

_NAMESPACE: Final = "zai-async"
"""Where the actor with the limits is found again: in the anonymous one nobody finds it."""
_SLOTS: Final = "zai-async-limits"
_TASKS: Final = 4
"""Batches that an actor works on at once, as Ray has it (RAY_DATA_DEFAULT_ASYNC_BATCH_UDF_...)."""
_GUESS: Final = 128
"""Requests in flight to make room for where nobody knows the limit."""


class ChatSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked; plain data, which travels to the actors.

    The key does not travel: each machine has it in its environment (``ZAI_API_KEY``), which for
    example ``ray.init(runtime_env={"env_vars": {...}})`` sees to.
    """

    model: str | None = None
    """For rows that name none."""
    system: str | None = None
    """A system message for rows of ``prompt`` or ``messages`` without one."""
    template: str | None = None
    """The prompt, with columns of a row in braces."""
    params: dict[str, Any] = {}
    """Body fields for rows that lack them."""
    url: str = "/v4/chat/completions"
    """The operation of rows that name none."""
    schema: dict[str, Any] | None = None
    """A JSON Schema that the answers are to fit."""
    provider: str = "zai"
    base_url: str | None = None


def map_chat(
    ds: Any,
    spec: ChatSpec,
    *,
    out: str,
    limit: int | None = None,
    actors: int = 2,
    batch_size: int | None = None,
    num_cpus: float = 0.1,
) -> Any:
    """Return the dataset with columns of answers: ``answer_text``, ``answer_error_kind``, ...

    All columns are those of ``zai batch to-parquet`` with ``answer_`` in front. Rows without
    ``custom_id`` or ``id`` are told apart by what they ask: equal ones share one answer.

    Args:
        ds: A ``ray.data.Dataset`` of rows as ``zai.batch.run()`` takes them.
        spec: What is asked.
        out: A folder that all machines of the cluster see, the same for every run.
        limit: Requests in flight of the whole cluster; found out if left out.
        actors: How many actors there are, each with a client.
        batch_size: Rows of a batch, four of which an actor works on at once; by default such that
            all actors together keep the limit busy.
        num_cpus: What an actor counts for; it waits nearly all of its time.

    Raises:
        ConfigurationError: Ray is not installed, or an argument is invalid.
    """
    try:
        ray: Any = import_module("ray")
        data: Any = import_module("ray.data")
    except ImportError:
        raise ConfigurationError("this needs Ray: pip install 'zai-async[ray]'") from None
    RowParser(
        model=spec.model,
        url=spec.url,
        system=spec.system,
        template=spec.template,
        params=spec.params,
        schema=spec.schema,
    )
    if actors < 1:
        raise ConfigurationError(f"actors must be 1 or more, not {actors!r}")
    try:
        share = math.ceil((Limits.of(limit).start if limit else _GUESS) / actors)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    # The actor that keeps the limits of the cluster; it outlives the job, and learns.
    options = {"name": _SLOTS, "namespace": _NAMESPACE, "num_cpus": 0, "max_restarts": -1}
    slots = ray.remote(SlotsActor).options(**options, lifetime="detached", get_if_exists=True)
    slots.remote()
    return ds.map_batches(
        ChatActor,
        fn_constructor_kwargs={
            "spec": msgspec.to_builtins(spec),
            "out": str(Path(out)),
            "limit": limit,
            "slots": (_SLOTS, _NAMESPACE),
        },
        batch_size=batch_size or max(1, math.ceil(share / _TASKS)),
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(size=actors),
        num_cpus=num_cpus,
    )


def cluster_limits() -> dict[str, dict[str, Any]]:
    """Return what the cluster has found out: figures of each window, as plain data; blocking.

    Raises ValueError where no job has asked for answers yet.
    """
    ray: Any = import_module("ray")
    figures: dict[str, dict[str, Any]] = ray.get(
        ray.get_actor(_SLOTS, namespace=_NAMESPACE).figures.remote()
    )
    return figures
