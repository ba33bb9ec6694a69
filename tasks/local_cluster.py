"""The local Dask cluster of a driver process: a scheduler inside it and one worker process per slot.

Rule 1: workers are started with a command of ours, not by multiprocessing: they never import the user's
        `__main__`, so a script needs no main guard, and a notebook or standard input will do.
Rule 2: one thread per worker unless its group says otherwise, BLAS and OpenMP pinned before they load, one
        hash seed, loopback only.
Rule 3: a worker that is killed is started again; one that can't stay up is given up, and the log says so.
Rule 4: workers with one environment are forked by one process, which has imported what they need.
Rule 5: nothing stays behind: no process, no folder, however the driver ends (see `tasks/child.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import dask.config
from distributed import Scheduler, Status
from distributed.deploy.spec import ProcessInterface, SpecCluster
from distributed.scheduler import DEFAULT_EXTENSIONS
from prefect.logging import get_logger

from prefect_tune.errors import InfrastructureError
from prefect_tune.tasks.child import ORDERLY, Child, start_child, stop_child
from prefect_tune.tasks.groups import Group
from prefect_tune.tasks.nursery import Nursery
from prefect_tune.tasks.recent_spans import RecentSpans
from prefect_tune.tasks.threads import THREAD_VARIABLES

_PRELOAD = (
    "distributed",
    "prefect.flows",
    "prefect_tune.tasks.remote",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.linear_model",
)
_STARTUP = 90.0  # seconds for all workers to register
_RESTARTS = 5  # of one worker, each within _SHORT_LIFE seconds of its start
_SHORT_LIFE = 10.0
_FAREWELL = 6.0  # seconds a worker gets to send its last events

logger = get_logger("prefect_tune.cluster")
_CHATTY = ("distributed.scheduler", "distributed.core", "distributed.http.proxy", "distributed.batched")


def _quiet_scheduler() -> None:
    """Holds the scheduler in this process to warnings, unless Dask's logging is configured."""
    if not dask.config.get("logging", None):
        for name in _CHATTY:
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.WARNING)


def worker_environment(api_url: str | None) -> dict[str, str]:
    """The environment of a worker process; the user's own choices win where they don't break a rule."""
    environment = {
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DASK_LOGGING__DISTRIBUTED": "warning",
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        "PYTHONHASHSEED": "0",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "DASK_DISTRIBUTED__WORKER__DAEMON": "false",
    }
    if api_url:
        environment["PREFECT_API_URL"] = api_url
    return environment


class WorkerProcess(ProcessInterface):
    """One Dask worker in a process of its own, kept alive until `close`."""

    def __init__(self, scheduler: str, name: Any = None, **options: Any) -> None:
        super().__init__()
        self.scheduler, self.name = scheduler, name
        self._options = options
        self._process: Child | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.was_up = False  # a worker that has been up once is killed by its work: it is always replaced

    async def start(self) -> None:
        self._spawn()
        self._keeper = asyncio.create_task(self._keep_alive())
        await super().start()

    def _spawn(self) -> None:
        worker = {
            "name": self.name,
            "nthreads": self._options["threads"],
            "memory_limit": self._options["memory_limit"],
            "dashboard": False,
            "host": "127.0.0.1",
            "local_directory": self._options["scratch"],
            "resources": self._options["resources"],
        }
        order = {
            "scheduler": self.scheduler,
            "worker": worker,
            "preload": list(_PRELOAD),
            "scratch": self._options["scratch"],
        }
        nursery, environment = self._options["nursery"], self._options["environment"]
        start = nursery.start if nursery is not None else partial(start_child, "worker")
        self._process = start(order, environment)

    async def _keep_alive(self) -> None:
        """Starts the worker again when it was killed; one that was told to end is left alone."""
        restarts, started = 0, time.monotonic()
        while self.status != Status.closed:
            await asyncio.sleep(0.2)
            if self._process is None or (code := self._process.poll()) is None:
                continue
            if code == ORDERLY:
                return
            restarts = restarts + 1 if time.monotonic() - started < _SHORT_LIFE else 1
            if restarts > _RESTARTS and not self.was_up:
                logger.error("Worker %s died %s times in a row; it is given up.", self.name, restarts)
                return
            logger.warning("Worker %s died (exit code %s); starting it again.", self.name, code)
            started = time.monotonic()
            self._spawn()

    @property
    def given_up(self) -> bool:
        """Whether nobody will start this worker again."""
        return self._keeper is not None and self._keeper.done()

    async def close(self) -> None:
        await super().close()
        if self._keeper is not None:
            self._keeper.cancel()
        if self._process is not None:
            process, self._process = self._process, None
            process.terminate()
            # Polled: at the end of the interpreter no thread can be started to wait in.
            deadline = time.monotonic() + _FAREWELL
            while process.poll() is None and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            stop_child(process, grace=0)


class TuneCluster(SpecCluster):
    """A running local cluster of these worker groups; close it, or leave that to the end of the process."""

    def __init__(self, *groups: Group, api_url: str | None = None) -> None:
        _quiet_scheduler()
        self.scratch = tempfile.mkdtemp(prefix="prefect-tune-")
        self._nurseries: dict[tuple[tuple[str, str], ...], Nursery | None] = {}
        scheduler = {
            "host": "127.0.0.1",
            "port": 0,
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",
            "extensions": {**DEFAULT_EXTENSIONS, "spans": RecentSpans},
        }
        try:
            # The scheduler takes its scratch folder from the configuration only.
            with dask.config.set(
                {"temporary-directory": self.scratch, "distributed.scheduler.allowed-failures": 1}
            ):
                super().__init__(
                    workers=self._workers(groups, worker_environment(api_url)),
                    scheduler={"cls": Scheduler, "options": scheduler},
                    name="prefect-tune",
                    silence_logs=logging.ERROR,
                )
        except BaseException:
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise

    def _workers(self, groups: tuple[Group, ...], environment: dict[str, str]) -> dict[Any, Any]:
        """Dask's specification of the workers: by number, in a group with a name by that and a number."""
        found: dict[Any, Any] = {}
        for group in groups:
            options = {
                "scratch": self.scratch,
                "resources": dict(group.resources),
                "threads": group.threads,
                "memory_limit": group.memory_limit,
            }
            for number in range(group.workers):
                name = f"{group.name}-{number}" if group.name else number
                own = {"environment": {**environment, **group.environment(number)}}
                found[name] = {"cls": WorkerProcess, "options": {**options, **own}}
        self._share_nurseries([worker["options"] for worker in found.values()])
        return found

    def _share_nurseries(self, workers: list[dict[str, Any]]) -> None:
        """Gives a nursery to workers whose environments are equal; one that is alone needs none."""
        kinds = [tuple(sorted(options["environment"].items())) for options in workers]
        for kind, count in Counter(kinds).items():
            self._nurseries[kind] = Nursery("worker", _PRELOAD, dict(kind)) if count > 1 else None
        for options, kind in zip(workers, kinds, strict=True):
            options["nursery"] = self._nurseries[kind]

    def wait_for_workers_started(self, announce: Callable[[str], None] | None = None) -> None:
        """Returns when every worker has registered.

        Raises:
            InfrastructureError: workers die while starting, or are not there in time.
        """
        wanted, deadline = len(self.worker_spec), time.monotonic() + _STARTUP
        if announce:
            announce(f"starting {wanted} Dask worker{'s' if wanted > 1 else ''}")
        scheduler: Any = self.scheduler
        while (here := len(scheduler.workers)) < wanted:
            dead = any(getattr(worker, "given_up", False) for worker in list(self.workers.values()))
            if dead or time.monotonic() > deadline:
                raise InfrastructureError(
                    f"Only {here} of {wanted} local Dask workers started"
                    f" {'(they die at once; see the messages above)' if dead else f'in {_STARTUP:.0f} s'}."
                    " Ask for fewer with n_workers=, or pass the address of a running cluster."
                )
            time.sleep(0.01)
        for worker in self.workers.values():
            worker.was_up = True

    def _update_worker_status(self, op: str, msg: Any) -> None:
        """Lost workers are started again by their keepers, however long that takes.

        Dask's own cluster would close and forget one that is not back within 15 s, under its keeper's hands.
        """
        super(SpecCluster, self)._update_worker_status(op, msg)

    def close(self, timeout: float | None = None) -> Any:
        """Ends the workers, the scheduler, and the scratch folder."""
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                return super().close(timeout)
        finally:
            if not self.asynchronous:
                for nursery in filter(None, self._nurseries.values()):
                    nursery.close()
                shutil.rmtree(self.scratch, ignore_errors=True)
