"""What Prefect's API shows of a search, read back as a user of the UI would see it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, TaskRun

from prefect_tune.results import SearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A flow run with its task runs and artifacts.

    Attributes:
        run: the flow run.
        tasks: its task runs, earliest first.
        artifacts: key -> data, the latest of each.
    """

    run: FlowRun
    tasks: list[TaskRun]
    artifacts: dict[str, Any]

    @property
    def states(self) -> list[tuple[str, str]]:
        """(name, state name) of the task runs."""
        return [(task.name, task.state_name) for task in self.tasks]


def run_id(result: SearchResult) -> UUID:
    """The flow run of a search, from the address that its result gives."""
    return UUID(result.flow_run_url.rstrip("/").rpartition("/")[2])


def see(result: SearchResult) -> Seen:
    """What the API knows of the search once all its task runs have arrived."""
    known = 1 if result.cost.known else 0
    return see_run(run_id(result), lambda tasks: len(tasks) == result.cost.task_runs + known)


def see_run(wanted: UUID, complete: Callable[[list[TaskRun]], bool]) -> Seen:
    """What the API knows of a flow run; task runs arrive as events, seconds later at most."""
    runs = FlowRunFilter(id=FlowRunFilterId(any_=[wanted]))
    artifacts = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[wanted]))
    deadline = time.monotonic() + 15
    with get_client(sync_client=True) as client:
        while True:
            tasks = client.read_task_runs(flow_run_filter=runs)
            ended = all(task.state is not None and task.state.is_final() for task in tasks)
            if (complete(tasks) and ended) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        found: list[Artifact] = client.read_artifacts(artifact_filter=artifacts)
        return Seen(
            run=client.read_flow_run(wanted),
            tasks=sorted(tasks, key=lambda task: task.start_time),
            artifacts={artifact.key: artifact.data for artifact in found},
        )
