"""A search over an objective in MLflow: a run for the search, and in it one for each trial.

Rule 1: the search never waits for MLflow. Callbacks note what has happened; one thread sends it.
Rule 2: what could not be sent is sent by the next run of the same search, which tells everything again.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import re
import threading
from collections.abc import Hashable, Mapping
from typing import Any

from prefect.context import FlowRunContext
from prefect.logging import get_logger

from prefect_tune.errors import MissingDependency, UserError
from prefect_tune.flows.trackers.mlflow_end import close_search
from prefect_tune.flows.trackers.mlflow_runs import Runs, quiet
from prefect_tune.flows.trackers.sender import Broken, Refused, Sender
from prefect_tune.tuning.callbacks import SearchInfo, TuneCallback
from prefect_tune.tuning.result import TuneResult
from prefect_tune.tuning.trial import Trial, TrialReport

CUT = 5.0
"""Seconds without progress for which the end by an error waits."""
_END = "end"
_WRONG = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "FEATURE_DISABLED"}


class MLflowTracker(TuneCallback):
    """Writes a search into MLflow: `tune(..., callbacks=[MLflowTracker()])`.

    A run stands for the search, with its settings as parameters, the best value as a metric, and the table
    of trials as artifacts. Each trial is a run within it: parameters by path, every metric with the resource
    as its step, state and cause as tags. A search that goes on does so in the same runs.

    Args:
        experiment: name of the experiment. Default: that of MLFLOW_EXPERIMENT_ID (which
            `mlflow.set_experiment` sets) or MLFLOW_EXPERIMENT_NAME, else the name of the search.
        tracking_uri: where MLflow is. Default: what MLflow itself would take. It is stored with the flow
            run's parameters: leave passwords to MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
        tags: of every run.
        log_model: whether the best trial's model, or its last state, is logged as an artifact of its run.
        wait: seconds without progress after which the end of the search no longer waits for what is not sent.

    Raises:
        MissingDependency: MLflow is not installed.
    """

    def __init__(
        self,
        experiment: str | None = None,
        *,
        tracking_uri: str | None = None,
        tags: Mapping[str, Any] | None = None,
        log_model: bool = True,
        wait: float = 60.0,
    ) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise MissingDependency(
                "MLflowTracker: the package 'mlflow' is not installed; pip install 'prefect-tune[mlflow]' "
                "brings what it takes to write to MLflow."
            )
        if not wait >= 0:
            raise UserError(f"MLflowTracker: 'wait' must be seconds, 0 or more, got {wait!r}.")
        self.experiment, self.tracking_uri, self.tags = experiment, tracking_uri, dict(tags or {})
        self.log_model, self.wait = log_model, wait
        self._sessions: dict[Any, _Session] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}}

    def __repr__(self) -> str:
        place = re.sub(r"//[^/@]*@", "//…@", self.tracking_uri) if self.tracking_uri else None
        return f"MLflowTracker(experiment={self.experiment!r}, tracking_uri={place!r})"

    def search_started(self, search: SearchInfo) -> None:
        self._sessions[_here()] = _Session(self, search)

    def trial_started(self, trial: Trial) -> None:
        self._sessions[_here()].note(trial)

    def trial_reported(self, trial: Trial, report: TrialReport) -> None:
        self._sessions[_here()].note(trial, reported=True)

    def trial_ended(self, trial: Trial) -> None:
        self._sessions[_here()].note(trial)

    def search_ended(self, result: TuneResult) -> None:
        self._sessions.pop(_here()).close(result, self.wait)

    def search_interrupted(self, error: BaseException) -> None:
        self._sessions.pop(_here()).close(None, min(self.wait, CUT))


class _Session:
    """One search on its way to MLflow."""

    def __init__(self, tracker: MLflowTracker, info: SearchInfo) -> None:
        self._tracker, self._info = tracker, info
        self._lock = threading.Lock()
        self._trials: dict[int, Trial] = {}
        self._result: TuneResult | None = None
        self._runs: Runs | None = None
        self._cut = False
        self._sender = Sender("MLflow", self._send)
        self._sender.mark(-1)  # the search's own run is there before its first trial

    def note(self, trial: Trial, *, reported: bool = False) -> None:
        """Nothing; the trial as it is now will be sent.

        Args:
            reported: whether only a report is new. Several are often told in a row, and noted with the first.
        """
        seen = self._trials.get(trial.index)
        if reported and seen is not None and len(seen.reports) == len(trial.reports):
            return
        seen = copy.copy(trial)
        seen.reports = list(trial.reports)
        with self._lock:
            self._trials[trial.index] = seen
        self._sender.mark(trial.index)

    def close(self, result: TuneResult | None, patience: float) -> None:
        """Nothing; everything is sent, or a warning says that it is not.

        Args:
            result: None if the search ends without one.
        """
        self._result, self._cut = result, result is None
        if self._cut:
            for index, trial in list(self._trials.items()):
                if not trial.state.finished:
                    self._sender.mark(index)
        self._sender.mark(_END)
        if not self._sender.finish(patience):
            get_logger("prefect_tune").warning(
                "MLflow does not have all of search %r; run the same search again to send the rest",
                self._info.name,
            )

    def _send(self, thing: Hashable) -> None:
        """Nothing; MLflow has the trial of that index, or the end of the search."""
        try:
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise Broken from error
        try:
            runs = self._opened()
        except MlflowException as error:
            if _is_wrong(error):
                raise Broken from error
            raise
        try:
            if thing == _END:
                close_search(runs, self._result, log_model=self._tracker.log_model)
            elif thing != -1:
                with self._lock:
                    trial = self._trials[thing]  # type: ignore[index]
                runs.write(trial, interrupted=self._cut)
        except MlflowException as error:
            if _is_wrong(error):
                raise Refused from error
            raise

    def _opened(self) -> Runs:
        if self._runs is None:
            from mlflow.tracking import MlflowClient

            client = quiet(MlflowClient(tracking_uri=self._tracker.tracking_uri))
            experiment = _experiment(client, self._tracker.experiment, self._info.name)
            self._runs = Runs(client, experiment, self._info, self._tracker.tags)
        return self._runs


def _experiment(client: Any, asked: str | None, search: str) -> str:
    """The experiment's id; an experiment that does not exist is made."""
    from mlflow.exceptions import MlflowException

    if asked is None and (known := os.environ.get("MLFLOW_EXPERIMENT_ID")):
        return known
    name = asked or os.environ.get("MLFLOW_EXPERIMENT_NAME") or search
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    try:
        return client.create_experiment(name)
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another process was faster
        if found is None:
            raise
        return found.experiment_id


def _is_wrong(error: Any) -> bool:
    """Whether MLflow would say the same again, however often it is asked."""
    return getattr(error, "error_code", "") in _WRONG


def _here() -> Any:
    """What tells the searches that share a tracker apart: the flow run."""
    context = FlowRunContext.get()
    return context.flow_run.id if context is not None and context.flow_run is not None else None
