"""The Dask task runner whose price per task run is small enough to watch a search by.

It is Prefect's own `DaskTaskRunner` but for five things:

1. Workers hydrate Prefect's context once per flow run and thread, not per task run (see `tasks/remote.py`).
2. Workers are told the driver's API, the temporary one included, and never start one of their own.
3. `cluster=` survives `duplicate()`, and an address given is the one used, whatever client is the default.
4. Runners on one address share one Dask client, so that a subflow costs no connection.
5. Futures are `TuneFuture`: they do not swallow lost workers, and they release what has been read.

Where Prefect's internals are not as expected, task runs take the stock path, and the log says so once.
"""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import distributed
from prefect.futures import PrefectFuture
from prefect.tasks import Task
from prefect.utilities.collections import visit_collection
from prefect_dask import DaskTaskRunner
from prefect_dask.client import PrefectDaskClient
from prefect_dask.task_runners import PrefectDaskFuture

from prefect_tune.tasks import internals
from prefect_tune.tasks.api import api_settings, driver_api_url
from prefect_tune.tasks.clients import lent_client
from prefect_tune.tasks.context import Freezer, FrozenContext
from prefect_tune.tasks.futures import TuneFuture
from prefect_tune.tasks.remote import keep, run_call

# A context above this size (flow parameters of some size) goes to the cluster once, as a Dask task;
# below, sending it along is cheaper than making every task run depend on one worker's data.
_SEND_ALONG = 64 * 1024

_prefix: ContextVar[str | None] = ContextVar("tune_key_prefix", default=None)


@contextlib.contextmanager
def key_prefix(prefix: str) -> Iterator[None]:
    """Names the Dask keys of task runs submitted inside, as the Dask dashboard shows and groups them."""
    token = _prefix.set(prefix)
    try:
        yield
    finally:
        _prefix.reset(token)


class TuneTaskRunner(DaskTaskRunner):
    """A `DaskTaskRunner` with cheap task runs; same constructor, plus `key_prefix`.

    `with dask.annotate(resources={"GPU": 1}, priority=10):` around `.submit()` reaches the Dask scheduler.

    Args:
        key_prefix: the beginning of the Dask keys; the task's name unless given.

    Raises:
        ValueError: `cluster` has no scheduler address (it is not started), or options exclude each other.
    """

    def __init__(
        self,
        cluster: Any = None,
        address: str | None = None,
        cluster_class: Any = None,
        cluster_kwargs: dict[str, Any] | None = None,
        adapt_kwargs: dict[str, Any] | None = None,
        client_kwargs: dict[str, Any] | None = None,
        performance_report_path: str | None = None,
        *,
        key_prefix: str | None = None,
    ) -> None:
        super().__init__(
            cluster=cluster,
            address=address,
            cluster_class=cluster_class,
            cluster_kwargs=cluster_kwargs,
            adapt_kwargs=adapt_kwargs,
            client_kwargs=client_kwargs,
            performance_report_path=performance_report_path,
        )
        if cluster is not None and not _address_of(cluster):
            raise ValueError(
                f"TuneTaskRunner: cluster={type(cluster).__name__} has no scheduler address."
                " Start it first, or pass address=."
            )
        # The stock runner overwrites `address` and `_cluster` while it connects; what was asked stays.
        self._asked: dict[str, Any] = {
            "cluster": cluster,
            "address": address,
            "cluster_class": cluster_class,
            "cluster_kwargs": cluster_kwargs,
            "adapt_kwargs": adapt_kwargs,
            "client_kwargs": client_kwargs,
            "performance_report_path": performance_report_path,
            "key_prefix": key_prefix,
        }
        self.key_prefix = key_prefix
        self._freezer = Freezer()
        self._held: tuple[str, Any] | None = None
        self._submitted: weakref.WeakSet[TuneFuture[Any]] = weakref.WeakSet()

    def duplicate(self) -> TuneTaskRunner:
        """A runner with the same settings, the cluster object included, not started."""
        return type(self)(**self._asked)

    def __reduce__(self) -> tuple[Any, ...]:
        """What travels to a worker inside the flow: a cluster object becomes its address."""
        asked = dict(self._asked)
        if (cluster := asked.pop("cluster")) is not None:
            asked.update(address=_address_of(cluster), adapt_kwargs=None)
        return _rebuild, (type(self), asked)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TuneTaskRunner) and self._asked == other._asked

    __hash__ = None  # type: ignore[assignment]

    @property
    def client(self) -> PrefectDaskClient:
        """The Dask client, connected at the first use."""
        if self._client is None:
            target = self._target()
            if target is None:  # nothing asked for: stock rules, a default client included
                return super().client
            self._client = self._exit_stack.enter_context(lent_client(target, self.client_kwargs))
            if self.performance_report_path:
                self._exit_stack.enter_context(distributed.Client.as_current(self._client))
                self._exit_stack.enter_context(distributed.performance_report(self.performance_report_path))
        return self._client

    def lost(self) -> str | None:
        """Where the scheduler was that is gone for good, None while it is there or may come back."""
        if self._client is None or self._client.status not in ("closing", "closed"):
            return None
        return str(self._asked["address"] or _address_of(self._asked["cluster"]) or "its address")

    def _target(self) -> Any:
        """The cluster or address to connect to; starts a cluster of `cluster_class`."""
        asked = self._asked
        if asked["address"]:
            return asked["address"]
        if asked["cluster"] is None and asked["cluster_class"] is None:
            return None
        if self._cluster is None:
            start: Any = self.resolved_cluster_class or self.cluster_class
            self._cluster = self._exit_stack.enter_context(start(**self.cluster_kwargs))
        if self.adapt_kwargs:
            self._cluster.adapt(**self.adapt_kwargs)
        return self._cluster

    def submit(  # type: ignore[override]
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[Any]] | None = None,
    ) -> TuneFuture[Any]:
        """The future of a task run; futures among the parameters become dependencies on the cluster."""
        if not self._started:
            raise RuntimeError("The task runner must be started before submitting work.")
        api_url = driver_api_url()
        if internals.FAST_PATH:
            parameters = self._optimize_futures(parameters)
            waits = self._optimize_futures(list(wait_for)) if wait_for else None
            frozen = self._freezer.context(api_url)
            call = self._freezer.call(task, parameters, frozen, dependencies)
            dask_future = self.client.submit(
                run_call,
                call,
                self._context_argument(frozen),
                parameters,
                waits,
                key=f"{self._key_prefix(task)}-{call.task_run_id.hex}",
                pure=False,
            )
            dask_future.task_run_id = call.task_run_id
        else:
            with api_settings(api_url):
                waits_for: Any = wait_for  # the stock runner wants its own futures; ours are among them
                dask_future = super().submit(task, parameters, waits_for, dependencies).wrapped_future
        future = TuneFuture[Any](task_run_id=dask_future.task_run_id, wrapped_future=dask_future)
        self._submitted.add(future)
        return future

    def _key_prefix(self, task: Task[..., Any]) -> str:
        prefix = _prefix.get() or self.key_prefix or task.name
        return re.sub(r"[^A-Za-z0-9_]+", "_", prefix) or "task"

    def _context_argument(self, frozen: FrozenContext) -> Any:
        if len(frozen.blob) <= _SEND_ALONG:
            return frozen.blob
        if self._held is None or self._held[0] != frozen.token:
            held = self.client.submit(keep, frozen.blob, key=f"context-{frozen.token}", pure=False)
            self._held = (frozen.token, held)
        return self._held[1]

    def _optimize_futures(self, expr: Any) -> Any:
        def visit(value: Any) -> Any:
            if isinstance(value, TuneFuture):
                return value.input
            return value.wrapped_future if isinstance(value, PrefectDaskFuture) else value

        return visit_collection(expr, visit_fn=visit, return_data=True)

    def __exit__(self, *args: Any) -> None:
        """Ends the runner; task runs that nobody waited for are cancelled, as with the stock runner."""
        for future in list(self._submitted):
            if not future.done():
                with contextlib.suppress(Exception):
                    future.cancel()
        self._held = None
        super().__exit__(*args)
        self._client = None


def _address_of(cluster: Any) -> str | None:
    try:
        return cluster.scheduler_address or None
    except Exception:  # a cluster that is not started has no scheduler to ask
        return None


def _rebuild(cls: type[TuneTaskRunner], asked: dict[str, Any]) -> TuneTaskRunner:
    return cls(**asked)


__all__ = ["TuneFuture", "TuneTaskRunner", "key_prefix"]
