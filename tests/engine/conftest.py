"""One Prefect server for the whole ring, and one Dask cluster of two threads in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Scheduler, Worker
from distributed.deploy.spec import SpecCluster
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from prefect_tune.tasks import internals

# The helper modules of this folder; --import-mode=importlib leaves the path alone.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """The URL of the harness's API; its settings are in force for the rest of the session."""
    with prefect_test_harness(server_startup_timeout=60):
        # A process has one sender of events, which stays with the first API that it has seen; tests of
        # another ring may have had one of their own.
        internals.EventsWorker.drain_all(timeout=20)
        yield PREFECT_API_URL.value()


@pytest.fixture(scope="session")
def dask_threads() -> Iterator[SpecCluster]:
    """Two single-thread workers in this process, `plain` and `gpu`; only the latter has the resource GPU."""
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    plain = {"cls": Worker, "options": {"nthreads": 1, "memory_limit": 0, **quiet}}
    gpu = {"cls": Worker, "options": {**plain["options"], "resources": {"GPU": 1}}}
    scheduler = {"cls": Scheduler, "options": {"port": 0, **quiet}}
    with SpecCluster(workers={"plain": plain, "gpu": gpu}, scheduler=scheduler) as cluster:
        yield cluster
