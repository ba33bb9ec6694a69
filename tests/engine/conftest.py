"""One Prefect server for the whole ring, and one Dask cluster of two threads in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Scheduler, Worker
from distributed.deploy.spec import SpecCluster
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from prefect_tune.tasks import internals

# The helper modules of this folder; --import-mode=importlib leaves the path alone.
sys.path.append(str(Path(__file__).parent))

from api_process import ApiProcess


@pytest.fixture(scope="session")
def prefect_api(
    tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]
) -> Iterator[str]:
    """The URL of a running API; its settings are in force for the rest of the session."""
    home = prefect_home(tmp_path_factory.mktemp("engine") / "home")
    api = ApiProcess(home)
    try:
        with temporary_settings({PREFECT_HOME: home, PREFECT_API_URL: api.url}):
            # A process has one sender of events, which stays with the first API that it has seen; tests of
            # another ring may have had one of their own.
            internals.EventsWorker.drain_all(timeout=20)
            yield api.url
            internals.EventsWorker.drain_all(timeout=20)
            internals.APILogWorker.drain_all(timeout=20)
    finally:
        api.kill()


@pytest.fixture(scope="session")
def dask_threads() -> Iterator[SpecCluster]:
    """Two single-thread workers in this process, `plain` and `gpu`; only the latter has the resource GPU."""
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    plain = {"cls": Worker, "options": {"nthreads": 1, "memory_limit": 0, **quiet}}
    gpu = {"cls": Worker, "options": {**plain["options"], "resources": {"GPU": 1}}}
    scheduler = {"cls": Scheduler, "options": {"port": 0, **quiet}}
    with SpecCluster(workers={"plain": plain, "gpu": gpu}, scheduler=scheduler) as cluster:
        yield cluster
