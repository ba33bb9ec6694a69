"""Where a search runs and keeps its results: store, API and cluster, ready before the flow run starts."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_tune.errors import StoreUnavailable, UserError
from prefect_tune.flows.saved import cluster_spec, store_block
from prefect_tune.store import StepStore, StoreWarning
from prefect_tune.store.home import default_root
from prefect_tune.store.overlay import Overlay
from prefect_tune.tasks.api import ensure_api
from prefect_tune.tasks.cluster import ClusterLease, open_cluster

Announce = Callable[[str], None]


def open_store(wish: Any = None) -> Any:
    """A store that can be written: the one asked for, or a temporary one when that cannot be.

    Args:
        wish: a store, a block `StepStore` or its name, a folder, a URL, or None for the default one.

    Warns:
        StoreWarning: once, when the search will keep nothing. What a read-only store knows is still used.
    """
    if hasattr(wish, "lookup"):
        store, problem = wish, "it is read-only or full"
    else:
        try:
            store, problem = _opened(wish), "it is read-only"
        except StoreUnavailable as error:
            store, problem = None, str(error)
    if store is not None and store.writable:
        return store
    place = getattr(store, "root", wish)
    warnings.warn(
        f"the store at {place} cannot be written ({problem}): this search keeps nothing for the next. Pass "
        "store= a folder that you can write.",
        StoreWarning,
        stacklevel=4,
    )
    front = _temporary_store()
    return Overlay(front, store) if store is not None else front


def _opened(wish: Any) -> Any:
    """The store that was asked for, in its budget if it has one."""
    block = store_block(wish)
    if block is None:
        return StepStore.open(wish or default_root())
    store = block.open()
    block.make_room(store)
    return store


def _temporary_store() -> StepStore:
    folder = tempfile.mkdtemp(prefix="prefect-tune-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return StepStore.open(Path(folder) / "store")


def require_models(store: Any, why: str) -> None:
    """Nothing: the store keeps fitted models.

    Raises:
        UserError: it is `data-only`, so it neither takes nor gives what has to be unpickled.
    """
    if getattr(store, "trust", "local") == "data-only":
        raise UserError(
            f"store: {store.place} is data-only ({store.trust_reason}), so it keeps no fitted models, and "
            f"{why}. Open it with trust='local' if you trust everybody who can write there, or with "
            "trust='signed' and a key (`prefect-tune store key`)."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The API and the cluster of a search.

    Attributes:
        api_url: the Prefect API.
        lease: the cluster, given back by `close`.
    """

    api_url: str
    lease: ClusterLease

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.lease.close()


def open_places(
    cluster: Any, n_workers: int | None, resources: Mapping[str, float] | None, announce: Announce
) -> Places:
    """API and cluster, started side by side where they must be started.

    Args:
        cluster: as for `open_cluster`, or a block `DaskCluster` or its name.

    Raises:
        ClusterUnreachable: the cluster does not answer.
        InfrastructureError: the API does not.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="prefect-tune") as pool:
        api = pool.submit(copy_context().run, ensure_api, announce)
        lease = pool.submit(
            copy_context().run,
            lambda: open_cluster(
                cluster_spec(cluster),
                n_workers=n_workers,
                resources=dict(resources or {}) or None,
                announce=announce,
            ),
        )
        try:
            return Places(api_url=api.result(), lease=lease.result())
        except BaseException:
            with contextlib.suppress(Exception):
                lease.result().close()
            raise
