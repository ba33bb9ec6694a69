"""The end of a search in MLflow: its best trial, its tables, and the best trial's model."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from prefect.logging import get_logger

from prefect_tune.flows.trackers.mlflow_names import as_text, clean_name
from prefect_tune.flows.trackers.mlflow_runs import PREFIX, Run, Runs
from prefect_tune.report.text import params_text
from prefect_tune.tuning.frames import config_columns
from prefect_tune.tuning.result import Best, NoResult, TuneResult

MODEL, STATE = "model", "state"
"""Folders of a run's artifacts: a model in MLflow's own form, or whatever the objective gave as its state."""


def close_search(runs: Runs, result: TuneResult | None, *, log_model: bool) -> None:
    """Nothing; the run of the search has all of the result, and is closed.

    Args:
        result: None for a search that ends by an error.
    """
    if result is None:
        runs.set_status(runs.search, "KILLED")
        return
    best = _best(result)
    if result.metric is not None:
        value = best.value if best is not None else None
        runs.log_search(value, clean_name(result.metric), len(result.trials), _summary(result, best))
    runs.mark_best(best.trial if best is not None else None)
    _log_tables(runs, result, best)
    if log_model and best is not None:
        _log_model(runs, runs.of_trial(best.trial), result, best)
    runs.set_status(runs.search, "FINISHED")


def _best(result: TuneResult) -> Best | None:
    try:
        return result.best()
    except NoResult:
        return None


def _summary(result: TuneResult, best: Best | None) -> dict[str, Any]:
    """Tags of the search's run."""
    found = {
        "trials": len(result.trials),
        "failed": result.num_errors,
        "stopped_by": result.stopped_by or None,
        "seconds_trained": f"{result.cost.seconds_trained:.3f}",
        "flow_run": result.flow_run_url or None,
    }
    tags: dict[str, Any] = {PREFIX + name: value for name, value in found.items()}
    if best is not None:
        tags[f"{PREFIX}best_trial"] = best.trial.id
        params = params_text(config_columns(best.config), 1_000)
        # What the UI shows as the run's description.
        tags["mlflow.note.content"] = (
            f"Best: {best.metric} = {best.value:.6g}, trial {best.trial.id}, of {len(result.trials)} trials. "
            f"`{params}`"
        )
    return tags


def _log_tables(runs: Runs, result: TuneResult, best: Best | None) -> None:
    """Nothing; the tables of trials and reports, the best configuration and the report are artifacts."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        result.dataframe().to_csv(place / "trials.csv", index=False)
        result.curves().to_csv(place / "reports.csv", index=False)
        if best is not None:
            text = json.dumps(dict(best.config), indent=2, default=as_text)
            (place / "best_config.json").write_text(text, encoding="utf-8")
        if result.report_path and Path(result.report_path).is_file():
            name = f"report{Path(result.report_path).suffix}"
            (place / name).write_bytes(Path(result.report_path).read_bytes())
        runs.client.log_artifacts(runs.search.id, folder)


def _log_model(runs: Runs, run: Run, result: TuneResult, best: Best) -> None:
    """Nothing; the best trial's run has its model, or its state; what cannot be logged is said."""
    name, mark = f"{PREFIX}model", f"{best.trial.key[:16]} at {best.report.resource}"
    if run.tags.get(name) == mark:
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            value = _model(result, best)
            kind = None if value is None else _save(value[0], Path(folder))
        except Exception as error:
            get_logger("prefect_tune").warning("the best model is not in MLflow: %r", error)
            return
        if kind is None:
            return
        runs.client.log_artifacts(run.id, str(Path(folder, kind)), kind)
    runs.client.set_tag(run.id, name, mark)
    run.tags[name] = mark


def _model(result: TuneResult, best: Best) -> tuple[Any] | None:
    """The model that the search has fitted, else the state of the best trial; None if there is neither."""
    if result.model is not None:
        return (result.best_estimator,)
    return (result.load_best(nearest=True),) if best.checkpoints else None


def _save(value: Any, folder: Path) -> str:
    """The folder, below `folder`, into which the value was written: as a model if MLflow knows its kind."""
    import sklearn
    from sklearn.base import BaseEstimator

    if isinstance(value, BaseEstimator):
        import mlflow.sklearn

        # Named, since MLflow would start a process to find them out; and skops is no part of our extra.
        needs = [f"scikit-learn=={sklearn.__version__}", "cloudpickle"]
        form = mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE
        mlflow.sklearn.save_model(
            value, str(folder / MODEL), serialization_format=form, pip_requirements=needs
        )
        return MODEL
    import cloudpickle

    (folder / STATE).mkdir()
    with (folder / STATE / "state.pkl").open("wb") as file:
        cloudpickle.dump(value, file)
    return STATE
