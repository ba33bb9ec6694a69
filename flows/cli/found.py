"""What a search left in the Prefect API and in its store, gathered for `prefect-tune show`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for

from prefect_tune.errors import UserError, did_you_mean
from prefect_tune.flows.artifacts import artifact_key
from prefect_tune.tasks.api import api_settings, ensure_api

FLOWS = (
    "grid-search",
    "randomized-search",
    "halving-grid-search",
    "halving-randomized-search",
    "hyperband-search",
    "successive-halving-search",
    "incremental-search",
    "inverse-decay-search",
    "tune",
)
"""Names of the flows that are searches; what runs below them is part of one."""
LATEST = "latest"
_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A search as the API knows it.

    Attributes:
        run: its flow run.
        tasks: task runs of the search and of the flow runs below it.
        leaderboard: rows, best first.
        outcome: the result in one line; empty without a result.
        report: the report as Markdown.
        progress: how far it is, in words.
        url: of its page in the UI.
    """

    run: FlowRun
    tasks: list[TaskRun]
    leaderboard: list[dict[str, Any]]
    outcome: str
    report: str
    progress: str
    url: str

    @property
    def state(self) -> str:
        return self.run.state_name or "unknown"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.run.parameters or {}


def find_run(wanted: str) -> FoundRun:
    """The search with that id, name or address; the newest of several, and of all for `latest`.

    Raises:
        UserError: there is none.
    """
    lasting = bool(PREFECT_API_URL.value())  # the page of a temporary server is gone in a moment
    with api_settings(ensure_api()), get_client(sync_client=True) as client:
        run = _run(client, wanted)
        below = _below(client, run.id)
        tasks = list(_tasks(client, [run.id, *below]))
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id])), limit=_PAGE
        )
        return _found(run, tasks, artifacts, (url_for(run) or "") if lasting else "")


def _run(client: SyncPrefectClient, wanted: str) -> FlowRun:
    with contextlib.suppress(ValueError):
        number = UUID(wanted.rstrip("/").rpartition("/")[2])
        try:
            return client.read_flow_run(number)
        except ObjectNotFound as error:
            raise UserError(f"run: there is no flow run {number} at {client.api_url}.") from error
    named = None if wanted == LATEST else FlowRunFilter(name=FlowRunFilterName(any_=[wanted]))
    searches = FlowFilter(name=FlowFilterName(any_=list(FLOWS)))
    newest = FlowRunSort.EXPECTED_START_TIME_DESC
    found = client.read_flow_runs(flow_filter=searches, flow_run_filter=named, limit=1, sort=newest)
    if named is not None and not found:  # a subclass of our flows, or a flow of the user's with that name
        found = client.read_flow_runs(flow_run_filter=named, limit=1, sort=newest)
    if found:
        return found[0]
    known = dict.fromkeys(
        run.name for run in client.read_flow_runs(flow_filter=searches, limit=50, sort=newest)
    )
    if not known:
        raise UserError(f"run: the API at {client.api_url} knows no search yet.")
    names = ", ".join(list(known)[:5])
    raise UserError(
        f"run: no search is called {wanted!r}.{did_you_mean(wanted, known)} The latest are: {names}."
    )


def _below(client: SyncPrefectClient, run: UUID) -> list[UUID]:
    """Ids of the flow runs that the search started, such as brackets."""
    parent = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run]))
    return [child.id for child in client.read_flow_runs(flow_run_filter=parent, limit=_PAGE)]


def _tasks(client: SyncPrefectClient, runs: list[UUID]) -> Iterator[TaskRun]:
    wanted, offset = FlowRunFilter(id=FlowRunFilterId(any_=runs)), 0
    while page := client.read_task_runs(flow_run_filter=wanted, limit=_PAGE, offset=offset):
        yield from page
        offset += _PAGE


def _found(run: FlowRun, tasks: list[TaskRun], artifacts: list[Artifact], url: str) -> FoundRun:
    newest: dict[str, Artifact] = {}
    own = str((run.parameters or {}).get("name") or run.name)
    for artifact in sorted(artifacts, key=lambda one: one.updated or one.created):  # type: ignore[arg-type, return-value]
        for kind in ("leaderboard", "report", "progress"):
            key = artifact.key or ""
            # Another artifact of the flow may end alike; the search's own name decides.
            if key == artifact_key(own, kind) or (key.endswith(f"-{kind}") and kind not in newest):
                newest[kind] = artifact
    table, report, progress = (newest.get(kind) for kind in ("leaderboard", "report", "progress"))
    return FoundRun(
        run=run,
        tasks=tasks,
        leaderboard=_rows(table.data) if table else [],
        outcome=(table.description or "") if table else "",
        report=str(report.data or "") if report else "",
        progress=(progress.description or "") if progress else "",
        url=url,
    )


def _rows(data: Any) -> list[dict[str, Any]]:
    try:
        rows = orjson.loads(data) if isinstance(data, (str, bytes)) else data
    except ValueError:
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
