"""Where a search runs: a Dask cluster from whatever the user has at hand, lent for as long as it is used.

Rule 1: we close what we started and nothing else.
Rule 2: without a wish, the search runs on the cluster of the enclosing flow, else on the local cluster of
        this process, which is started once and used by all searches that ask for the same number of workers.
Rule 3: an address is tried before any work is planned; whoever does not answer within seconds is unreachable.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.system
import distributed
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL
from prefect.utilities.importtools import from_qualified_name
from prefect_dask import DaskTaskRunner

from prefect_tune import allowed
from prefect_tune.errors import ClusterUnreachable, UserError
from prefect_tune.tasks.exits import CLUSTER, at_exit
from prefect_tune.tasks.groups import Group, groups_of
from prefect_tune.tasks.local_cluster import TuneCluster
from prefect_tune.tasks.threads import pin_threads

Announce = Callable[[str], None] | None
_REACH = 5.0  # seconds

_lock = threading.Lock()
_defaults: dict[tuple[Group, ...], tuple[TuneCluster, int]] = {}


@dataclass(slots=True, kw_only=True)
class ClusterLease:
    """A cluster to work on; close it, or use it in a `with` block.

    Attributes:
        address: of the scheduler.
        n_slots: task runs that can run at once, at least 1 (an adaptive cluster counts at its maximum).
        describe: one line for people.
        client_kwargs: what a Dask client needs besides the address (TLS).
        dashboard: the page of the Dask dashboard, empty without one.
    """

    address: str
    n_slots: int
    describe: str
    client_kwargs: dict[str, Any] = field(default_factory=dict)
    dashboard: str = ""
    _closer: Callable[[], None] | None = None

    def close(self) -> None:
        """Gives the cluster back; ends it if this lease started it and nobody else uses it."""
        closer, self._closer = self._closer, None
        if closer is not None:
            closer()

    def __enter__(self) -> ClusterLease:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def open_cluster(
    spec: Any = None,
    *,
    n_workers: int | None = None,
    resources: dict[str, float] | None = None,
    announce: Announce = None,
    api_url: str | None = None,
) -> ClusterLease:
    """The lease of a running cluster.

    Args:
        spec: None (see rule 2), the address of a scheduler, an object with `scheduler_address`, or a dict:
            `{"class": "dotted.Class", "kwargs": {...}, "adapt": {...}}` to start one for this lease,
            `{"address": ..., "tls": {"ca": file, "cert": file, "key": file}}`, or
            `{"groups": [...]}` for the local cluster with these worker groups (see `groups`).
        n_workers: processes of the local cluster; one per core unless given.
        resources: Dask resources of each worker of the local cluster, e.g. `{"GPU": 1}`.
        announce: told what is being waited for.
        api_url: the Prefect API that workers of the local cluster may call from their start; the runner tells
            them anyway.

    Raises:
        ClusterUnreachable: no scheduler answers at the address within seconds.
        NotAllowed: a class that these parameters may not name (see `prefect_tune.allowed`).
        UserError: `spec` is none of the above.
    """
    if spec is None:
        if resources is None and n_workers is None and (address := enclosing_cluster()):
            return _connected(address, {}, f"the enclosing flow's Dask cluster at {address}")
        return _default_lease(_one_group(n_workers, resources), announce, api_url)
    if isinstance(spec, str):
        if announce:
            announce(f"connecting to the Dask scheduler at {spec}")
        return _connected(spec, {}, f"Dask cluster at {spec}")
    if isinstance(spec, dict):
        return _lease_of(spec, announce, api_url)
    if address := getattr(spec, "scheduler_address", None):
        security = getattr(spec, "security", None)
        options = {"security": security} if security is not None else {}
        lease = _connected(address, options, f"{type(spec).__name__} at {address}")
        # What the cluster says itself may lead through a proxy, to where its scheduler can't be reached.
        lease.dashboard = _dashboard(spec) or lease.dashboard
        return lease
    raise UserError(
        f"cluster: {type(spec).__name__} is neither None, an address, a started Dask cluster nor a dict with"
        " 'class'. Pass for example 'tcp://host:8786'."
    )


def enclosing_cluster() -> str | None:
    """The scheduler's address of the flow run that this code runs in, or None.

    None outside a flow run, with a task runner that is not Dask's, and on a Dask worker: a task that waits
    for work on its own cluster could take the last thread of it.
    """
    context = FlowRunContext.get()
    if context is None or context.detached:
        return None
    runner = context.task_runner
    if not isinstance(runner, DaskTaskRunner) or not runner._started:
        return None
    if runner._client is None and runner.address:
        return runner.address
    scheduler: Any = runner.client.scheduler
    return scheduler.address


def _connected(address: str, options: dict[str, Any], describe: str) -> ClusterLease:
    """A lease on a cluster that others own; asks the scheduler what it has."""
    try:
        client = distributed.Client(address, timeout=_REACH, set_as_default=False, **options)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterUnreachable(
            f"No Dask scheduler answers at {address} ({type(error).__name__} after at most {_REACH:.0f} s)."
            " Check the address and that `dask scheduler` runs there, or leave the cluster out to run on this"
            " machine."
        ) from error
    with client:
        slots = sum(client.nthreads().values())
        dashboard = _dashboard(client)
    return ClusterLease(
        address=address,
        n_slots=max(1, slots),
        describe=f"{describe}, {slots} threads",
        client_kwargs=options,
        dashboard=dashboard,
    )


def _dashboard(cluster: Any) -> str:
    """The page of the dashboard of a cluster, or of the one that a client talks to; empty without one."""
    try:
        return str(cluster.dashboard_link or "")
    except Exception:  # no dashboard, or a cluster class that does not say; nothing depends on it
        return ""


def _lease_of(spec: dict[str, Any], announce: Announce, api_url: str | None) -> ClusterLease:
    """The lease that a dict describes."""
    if set(spec) == {"groups"}:
        return _default_lease(groups_of(spec["groups"]), announce, api_url)
    if "address" in spec and set(spec) <= {"address", "tls"}:
        if announce:
            announce(f"connecting to the Dask scheduler at {spec['address']}")
        options = {"security": _security(spec["tls"])} if spec.get("tls") else {}
        return _connected(spec["address"], options, f"Dask cluster at {spec['address']}")
    if set(spec) <= {"class", "kwargs", "adapt"} and isinstance(spec.get("class"), str):
        return _started_lease(spec, announce)
    raise UserError(
        "cluster: a dict has 'class' (a dotted name) with 'kwargs' and 'adapt', 'address' with 'tls', or"
        f" 'groups'; got {sorted(spec)}."
    )


def _security(files: dict[str, str]) -> distributed.Security:
    """What a client shows to a scheduler that asks for certificates.

    Raises:
        UserError: a file is missing.
    """
    for name in ("ca", "cert", "key"):
        if not Path(files.get(name) or "").is_file():
            raise UserError(
                f"cluster: tls needs the files 'ca', 'cert' and 'key' on this machine; {name!r} is"
                f" {files.get(name)!r}, which is no file."
            )
    return distributed.Security(
        tls_ca_file=files["ca"],
        tls_client_cert=files["cert"],
        tls_client_key=files["key"],
        require_encryption=True,
    )


def _started_lease(spec: dict[str, Any], announce: Announce) -> ClusterLease:
    """A lease that owns a new cluster of the class named in `spec`."""
    allowed.check_added(spec["class"], "cluster")
    try:
        kind = from_qualified_name(spec["class"])
    except (ImportError, AttributeError) as error:
        raise UserError(f"cluster: {spec['class']!r} cannot be imported: {error}.") from error
    if announce:
        announce(f"starting a {spec['class']}")
    cluster = kind(**(spec.get("kwargs") or {}))
    try:
        if adapt := spec.get("adapt"):
            cluster.adapt(**adapt)
        lease = open_cluster(cluster)
        lease.n_slots = max(lease.n_slots, int((adapt or {}).get("maximum") or 0))
    except BaseException:
        cluster.close()
        raise
    lease._closer = cluster.close
    return lease


def _one_group(n_workers: int | None, resources: dict[str, float] | None) -> tuple[Group, ...]:
    """The workers of the default cluster."""
    size = n_workers or dask.system.CPU_COUNT
    if size < 1:
        raise UserError(f"n_workers must be at least 1, got {n_workers}.")
    return (Group(workers=size, resources=tuple(sorted((resources or {}).items()))),)


def _default_lease(groups: tuple[Group, ...], announce: Announce, api_url: str | None) -> ClusterLease:
    """A lease on this process's own cluster of those groups, started if need be; it outlives the lease."""
    with _lock:
        cluster, leases = _defaults.get(groups, (None, 0))
        if cluster is None or cluster.status != distributed.Status.running:
            _close_unused()
            cluster, leases = _start_default(groups, announce, api_url), 0
        _defaults[groups] = (cluster, leases + 1)

    def give_back() -> None:
        with _lock:
            current, leases = _defaults.get(groups, (None, 0))
            if current is cluster:
                _defaults[groups] = (cluster, leases - 1)

    size = sum(group.workers for group in groups)
    slots = sum(group.workers * group.threads for group in groups)
    describe = f"local Dask cluster of {size} worker{'s' if size > 1 else ''}"
    return ClusterLease(
        address=cluster.scheduler_address, n_slots=slots, describe=describe, _closer=give_back
    )


def _start_default(groups: tuple[Group, ...], announce: Announce, api_url: str | None) -> TuneCluster:
    at_exit(CLUSTER, close_default_clusters)
    cluster = TuneCluster(*groups, api_url=api_url or PREFECT_API_URL.value())
    try:
        cluster.wait_for_workers_started(announce)
    except BaseException:
        cluster.close()
        raise
    at_exit(CLUSTER, close_default_clusters)  # again: distributed registered its own closer meanwhile
    return cluster


def _close_unused() -> None:
    """Ends default clusters of another size that nobody holds: two would share the same cores."""
    for key, (cluster, leases) in list(_defaults.items()):
        if leases <= 0 or cluster.status != distributed.Status.running:
            del _defaults[key]
            with contextlib.suppress(Exception):
                cluster.close()


def close_default_clusters() -> None:
    """Ends the local clusters of this process; the next search starts a new one."""
    with _lock:
        clusters = [cluster for cluster, _ in _defaults.values()]
        _defaults.clear()
    for cluster in clusters:
        with contextlib.suppress(Exception):
            cluster.close(timeout=20)


__all__ = ["ClusterLease", "close_default_clusters", "enclosing_cluster", "open_cluster", "pin_threads"]
