"""A Prefect server with a process worker, as one would start them by hand: processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    DeploymentFilter,
    DeploymentFilterName,
)
from prefect.client.schemas.objects import FlowRun, State

from prefect_tune.tasks.api import api_settings

HERE = Path(__file__).parent
POOL = "searches"
Found = TypeVar("Found")

# What a server and a worker look at every ten seconds or more, they look at sooner; and the server writes in
# batches, and not for the sake of services that nothing here needs: its database is one file, and while one
# writes the others wait, or lose what they had.
HASTY = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "3",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT1S",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT2S",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_WORKER_PREFETCH_SECONDS": "2",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # Prefect's least
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
}


@dataclass
class Served:
    """A server and its worker; leave it, and all that they have started is gone.

    Attributes:
        folder: where they run, with the server's database and what they print.
        url: the API.
        processes: what was started here, each the leader of a session of its own.
        worker: the latest worker among them.
        cluster: address of a Dask scheduler, for the searches.
    """

    folder: Path
    url: str = ""
    cluster: str = ""
    worker: Any = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "PREFECT_HOME": str(self.folder / "home"),
            "PREFECT_API_URL": self.url,
            "PWD": str(self.folder),
        }
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        ours = {"PYTHONPATH": path, "PREFECT_INTEGRATIONS_TUNE_ALLOWED_MODULES": "deployed,paced"}
        return {**os.environ, **HASTY, **own, **ours}

    def start(self) -> Served:
        """The server is starting: `ready` waits for it."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}/api"
        self.run("server", "start", "--host", "127.0.0.1", "--port", port, PREFECT_UI_API_URL=self.url)
        return self

    def ready(self) -> None:
        """Returns when the API answers."""

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
            return False

        self.until(answers, 120)

    def work(self) -> None:
        """A process worker is starting, which makes the pool if there is none."""
        self.worker = self.run("worker", "start", "--pool", POOL, "--type", "process")

    def has_pool(self) -> bool:
        """Whether the pool is there."""
        with self.client() as client:
            return any(pool.name == POOL for pool in client.read_work_pools())

    def run(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """`prefect` with these arguments, started."""
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                cwd=self.folder,
                env={**self.environment, **more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def command(self, *arguments: str) -> str:
        """What a command printed that ended well: `prefect`'s, or Python's if the first is a file."""
        program = [] if arguments[0].endswith(".py") else ["-m", "prefect", "--no-prompt"]
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # -- what became of it -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        with api_settings(self.url), get_client(sync_client=True) as client:
            yield client

    def add_pool(self, name: str) -> None:
        """Nothing; there is a pool of that name, in which nobody works."""
        with self.client() as client:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))

    def begin(self, deployment: str) -> FlowRun:
        """A run of a deployment, known by its name alone, that a worker will take up."""
        with self.client() as client:
            (found,) = client.read_deployments(deployment_filter=named(deployment))
            return client.create_flow_run_from_deployment(found.id)

    def schedule(self, deployment: str, *, active: bool) -> None:
        """Nothing; the schedule of a deployment goes on, or rests."""
        with self.client() as client:
            (found,) = client.read_deployments(deployment_filter=named(deployment))
            for schedule in found.schedules:
                client.update_deployment_schedule(found.id, schedule.id, active=active)

    def runs(self, deployment: str) -> list[FlowRun]:
        """The runs of a deployment by its name, the first that began first; those to come are last."""
        with self.client() as client:
            found = client.read_flow_runs(deployment_filter=named(deployment))
        return sorted(found, key=lambda run: run.expected_start_time)

    def ended(self, run: FlowRun, name: str, within: float = 90) -> FlowRun:
        """The run once its state has that name."""

        def look() -> FlowRun | None:
            with self.client() as client:
                now = client.read_flow_run(run.id)
            return now if now.state_name == name else None

        return self.until(look, within)

    def states(self, run: FlowRun) -> list[State]:
        """The states that a run has been in, earliest first."""
        with self.client() as client:
            found = client.read_flow_run_states(run.id)
        return sorted(found, key=lambda state: state.timestamp)

    def artifacts(self, run: UUID) -> dict[str, Any]:
        """Key -> data of what the run has published."""
        only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        with self.client() as client:
            return {found.key: found.data for found in client.read_artifacts(artifact_filter=only)}

    def until(self, look: Callable[[], Found | None], within: float) -> Found:
        """What `look` finds at last."""
        deadline = time.monotonic() + within
        while not (found := look()):
            assert time.monotonic() < deadline, self.printed()
            time.sleep(0.1)
        return found

    def printed(self) -> str:
        """The ends of what the processes have printed, and the runs, for a test that fails."""
        ends = [f"{file.name}:\n{file.read_text()[-3000:]}" for file in self.folder.glob("*.log")]
        with self.client() as client:
            begun = [run for run in client.read_flow_runs() if run.run_count]
        states = [
            f"{run.name}: "
            + ", ".join(f"{state.timestamp:%H:%M:%S} {state.name}" for state in self.states(run))
            for run in begun
        ]
        return "\n".join([*ends, *states])

    # -- ends ------------------------------------------------------------------------------------------

    def processes_of(self, run: FlowRun) -> list[psutil.Process]:
        """The processes that run a flow run: the engine, and what it has started."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("PREFECT__FLOW_RUN_ID") == str(run.id):
                    found.append(process)
        return found

    def kill(self, run: FlowRun) -> None:
        """Nothing; the processes of a flow run are gone, without a word."""
        found = self.processes_of(run)
        assert found
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Ends the worker, then its runs, then the server."""
        for process in reversed(self.processes):
            own = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for one in own:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            process.kill()
            process.wait()


def named(deployment: str) -> DeploymentFilter:
    """The deployment of that name, whatever its flow."""
    return DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
