"""What `doctor` looks at in a Dask cluster: whether it answers, its versions, and who else could reach it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from distributed import Client

from prefect_tune.flows.cli.access import is_loopback
from prefect_tune.flows.cli.checks import FAIL, OK, WARN, Check
from prefect_tune.report.text import counted

COMPARED = ("python", "dask", "distributed", "numpy", "sklearn", "cloudpickle", "prefect", "prefect_tune")
"""Packages whose versions must be equal here and on the workers: they are in keys, or in what travels."""
_PATIENCE = "5s"


def cluster_checks(address: str) -> Iterator[Check]:
    """Whether the scheduler answers, its workers, their versions, and whether it is open to the network."""
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        move = "Start it (`dask scheduler`, then `dask worker ADDRESS`), or correct its address."
        yield Check("dask scheduler", FAIL, f"{address} does not answer ({why})", move)
        return
    with contextlib.closing(client):
        info: Mapping[str, Any] = client.scheduler_info(n_workers=-1)
        workers = info["workers"]
        threads = sum(worker["nthreads"] for worker in workers.values())
        if workers:
            yield Check(
                "dask scheduler", OK, f"{address}: {counted(len(workers), 'worker')}, {threads} threads"
            )
        else:
            yield Check("dask scheduler", WARN, f"{address} has no worker", f"`dask worker {address}`")
        yield _openness(info["address"])
        yield from _versions(client)


def _openness(address: str) -> Check:
    parts = urlsplit(address)
    if parts.scheme in ("tls", "wss"):
        return Check("dask access", OK, f"{address} asks for a certificate")
    if parts.scheme == "inproc" or is_loopback(parts.hostname or ""):
        return Check("dask access", OK, f"{address} is reached from this machine only")
    move = "Bind it to 127.0.0.1, or give scheduler, workers and clients TLS certificates (tls://)."
    return Check("dask access", WARN, f"{address}: whoever reaches this port can run code as you", move)


def _versions(client: Client) -> Iterator[Check]:
    """One line for each package that is not the same everywhere."""
    found: Any = client.get_versions(packages=["sklearn", "prefect", "prefect_tune"])
    here = _of(found["client"])
    unequal = 0
    for name in COMPARED:
        others: dict[str, list[str]] = {}
        for worker, told in {"the scheduler": found["scheduler"], **found["workers"]}.items():
            version = _of(told).get(name)
            # Schedulers need not have what only steps use.
            if version != here.get(name) and (version or worker != "the scheduler"):
                others.setdefault(str(version or "not installed"), []).append(worker)
        for version, where in others.items():
            unequal += 1
            level = FAIL if name in ("python", "prefect_tune") or version == "not installed" else WARN
            places = f"{where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}"
            move = f"Install {name} {here.get(name)} there, or run this process from the workers' image."
            yield Check(f"dask {name}", level, f"{version} on {places}, {here.get(name)} here", move)
    if not unequal:
        yield Check("dask versions", OK, "the same here and on the workers")


def _of(told: Mapping[str, Any]) -> dict[str, str | None]:
    """Package -> version, of Python the minor release only."""
    versions = dict(told["packages"])
    python = str(versions.get("python") or "")
    return {**versions, "python": ".".join(python.split(".")[:2])}
