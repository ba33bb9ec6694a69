"""The runs of one search in MLflow: found or made, brought up to date, and closed.

Rule 1: a run is found again by its tags: the search's by the key of the search, a trial's by the run it is a
child of, its index and its configuration. So a search that goes on, in whatever process, goes on in them.
Rule 2: everything here may be done twice. What MLflow has of a run is asked before anything is added to it,
and a report has the same time stamp whenever it is sent.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_tune.flows.trackers.mlflow_names import clean_names, cut, parameters_of, requests, tags_of
from prefect_tune.trials import TrialState
from prefect_tune.tuning.callbacks import SearchInfo
from prefect_tune.tuning.trial import Trial, TrialReport

PREFIX = "prefect_tune."
STATUS = {TrialState.COMPLETED: "FINISHED", TrialState.STOPPED: "KILLED", TrialState.FAILED: "FAILED"}
PAGE = 1_000  # runs asked for at once


@dataclass(slots=True, kw_only=True)
class Run:
    """What MLflow has of one run.

    Attributes:
        id: of the run.
        start: of the run, in ms since 1970.
        status: by MLflow's word for it.
        tags: its tags.
        parameters: its parameters.
        names: of its metrics, when it was found.
        logged: (name, step) of its metrics; None: not asked yet.
    """

    id: str
    start: int
    status: str = "RUNNING"
    tags: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    logged: set[tuple[str, int]] | None = None

    @classmethod
    def of(cls, run: Any) -> Run:
        """What an entity of MLflow says."""
        return cls(
            id=run.info.run_id,
            start=run.info.start_time,
            status=run.info.status,
            tags=dict(run.data.tags),
            parameters=dict(run.data.params),
            names=tuple(run.data.metrics),
        )


class Runs:
    """The run of a search and those of its trials.

    Args:
        client: of MLflow.
        experiment: the experiment's id.
        info: the search.
        tags: for all runs.
    """

    def __init__(self, client: Any, experiment: str, info: SearchInfo, tags: Mapping[str, Any]) -> None:
        self.client, self._experiment, self._info = client, experiment, info
        self._tags = {**_origin(), **tags_of({**tags, f"{PREFIX}search": info.key})}
        self._trials: dict[tuple[str, str], Run] = {}
        self.search = self._opened()

    def write(self, trial: Trial, *, interrupted: bool = False) -> None:
        """Nothing; MLflow has all of the trial.

        Args:
            trial: as it is now.
            interrupted: whether the search ends without a result, so that nothing runs any more.
        """
        run = self.of_trial(trial)
        status = STATUS.get(trial.state, "KILLED" if interrupted else "RUNNING")
        reports = [report for report in trial.reports if not report.late]
        tags = _trial_tags(trial, len(reports))
        if self._changed(run, tags):  # tags are sent last: if they are there, so is the rest
            self._log(run, self._missing(run, reports), parameters_of(trial.config), tags)
        self.set_status(run, status)

    def of_trial(self, trial: Trial) -> Run:
        """The run of a trial, made if there is none."""
        place = str(trial.index), trial.key
        if place not in self._trials:
            tags = {
                f"{PREFIX}kind": "trial",
                f"{PREFIX}trial": place[0],
                f"{PREFIX}configuration": place[1],
                "mlflow.parentRunId": self.search.id,
            }
            self._trials[place] = self._made(trial.id, tags)
        return self._trials[place]

    def log_search(self, value: float | None, metric: str, step: int, tags: Mapping[str, Any]) -> None:
        """Nothing; the run of the search has these tags, and the best value after `step` trials."""
        found = [] if value is None else self._missing(self.search, [TrialReport(step, 0.0, {metric: value})])
        self._log(self.search, found, {}, tags_of(tags))

    def mark_best(self, best: Trial | None) -> None:
        """Nothing; of all runs of trials only the best one's says that it is."""
        name, mine = f"{PREFIX}best", self.of_trial(best) if best is not None else None
        for run in self._trials.values():
            if run is mine or run.tags.get(name) == "true":
                self._log(run, [], {}, {name: str(run is mine).lower()})

    def set_status(self, run: Run, status: str) -> None:
        """Nothing; the run has this status."""
        if run.status == status:
            return
        if status == "RUNNING":
            self.client.update_run(run.id, status=status)
        else:
            self.client.set_terminated(run.id, status=status)
        run.status = status

    # -- how it is done ------------------------------------------------------------------------------

    def _opened(self) -> Run:
        """The run of the search, with the runs of its trials known."""
        info = self._info
        kind = {f"{PREFIX}kind": "search"}
        found = self._found({f"{PREFIX}search": info.key, **kind}) if info.resume else []
        search = max(found, key=lambda run: run.start) if found else self._made(info.name, kind)
        said = ("objective", "metric", "mode", "sampler", "schedule", "seed")
        settings = {name: value for name in said if (value := getattr(info, name)) is not None}
        self._log(search, [], parameters_of(settings), {})
        self.set_status(search, "RUNNING")
        if found:
            for run in self._found({"mlflow.parentRunId": search.id}):
                place = run.tags.get(f"{PREFIX}trial", ""), run.tags.get(f"{PREFIX}configuration", "")
                self._trials.setdefault(place, run)
        return search

    def _found(self, tags: Mapping[str, str]) -> list[Run]:
        """All runs with these tags, the oldest first."""
        asked = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self._experiment], asked, max_results=PAGE, order_by=["start_time ASC"], page_token=token
            )
            found += map(Run.of, page)
            token = page.token
            if not token:
                return found

    def _made(self, name: str, tags: Mapping[str, str]) -> Run:
        made = self.client.create_run(
            self._experiment,
            start_time=_now(),
            run_name=cut(name, 250),
            tags={**self._tags, **tags},
        )
        run = Run.of(made)
        run.logged = set()
        return run

    def _missing(self, run: Run, reports: Iterable[TrialReport]) -> list[Any]:
        """The metrics of these reports that the run lacks."""
        from mlflow.entities import Metric

        rows = [(name, report) for report in reports for name in report.metrics]
        names = clean_names(dict.fromkeys(name for name, _ in rows))
        if run.logged is None:
            run.logged = {
                (name, entry.step)
                for name in run.names
                for entry in self.client.get_metric_history(run.id, name)
            }
        return [
            Metric(
                names[name], report.metrics[name], run.start + int(1_000 * report.elapsed), report.resource
            )
            for name, report in rows
            if (names[name], report.resource) not in run.logged
        ]

    def _changed(self, run: Run, tags: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in tags.items() if run.tags.get(name) != value}

    def _log(
        self, run: Run, metrics: list[Any], parameters: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        """Nothing; what of this the run does not have is added."""
        from mlflow.entities import Param, RunTag

        new = {name: value for name, value in parameters.items() if name not in run.parameters}
        changed = self._changed(run, tags)
        pairs = [Param(*pair) for pair in new.items()], [RunTag(*pair) for pair in changed.items()]
        for some, params, last in requests(metrics, *pairs):
            self.client.log_batch(run.id, metrics=list(some), params=list(params), tags=list(last))
            run.parameters |= {param.key: param.value for param in params}
            if run.logged is not None:
                run.logged |= {(metric.key, metric.step) for metric in some}
        run.tags |= changed


def _trial_tags(trial: Trial, reports: int) -> dict[str, str]:
    """What a trial's run says of it besides parameters and metrics."""
    return tags_of(
        {
            f"{PREFIX}state": trial.state.value,
            f"{PREFIX}reason": trial.reason or None,
            f"{PREFIX}error": trial.error,
            f"{PREFIX}fault": trial.fault,
            f"{PREFIX}resource": trial.resource,
            f"{PREFIX}reports": reports,
            f"{PREFIX}bracket": trial.bracket,
            f"{PREFIX}parent": trial.parent,
            f"{PREFIX}attempts": trial.attempts,
            f"{PREFIX}seconds": f"{trial.seconds:.3f}",
            f"{PREFIX}cost": f"{trial.cost:g}" if trial.cost else None,
        }
    )


def _origin() -> dict[str, str]:
    """Who, from where, which commit: what MLflow says of every run that it starts itself."""
    try:
        from mlflow.tracking.context.registry import resolve_tags

        return resolve_tags()
    except Exception:  # MLflow looks into Git and notebooks for it
        return {}


def _now() -> int:
    return int(time.time() * 1_000)


def quiet(client: Any) -> Any:
    """The client, which prints no two lines with links for every run that ends."""
    with contextlib.suppress(AttributeError):
        client._tracking_client._log_url = lambda run_id: None
    return client
