"""The flow `tune`, a search over any objective, and its async twin."""

from __future__ import annotations

from typing import Any

from prefect_tune.flows import forms
from prefect_tune.flows.search import SearchFlow, search_body, sync_twin
from prefect_tune.flows.tuning.ready import ready_tune, tune_parameters
from prefect_tune.flows.tuning.run import run_tune
from prefect_tune.tuning.result import TuneResult


class TuneFlow(SearchFlow):
    """The flow of a search over an objective."""

    kind = "tune"
    ready = staticmethod(ready_tune)
    parameters_of = staticmethod(tune_parameters)


async def _atune(
    objective: forms.Objective,
    space: forms.Space,
    *,
    X: forms.OptionalData = None,
    y: forms.Target = None,
    cv: forms.Folds = None,
    scoring: forms.Scoring = None,
    fit_params: forms.Arguments = None,
    refit: bool = True,
    approve: forms.Approve = False,
    metric: str | None = None,
    mode: forms.Order = None,
    n_trials: int | None = None,
    sampler: forms.Sampler = None,
    schedule: forms.Schedule = None,
    max_resource: int | None = None,
    resource: str = "epoch",
    points_to_evaluate: list[dict[str, Any]] | None = None,
    evaluated: list[Any] | None = None,
    max_time: float | None = None,
    max_cost: float | None = None,
    max_evaluations: int | None = None,
    max_total_resource: int | None = None,
    max_trials_finished: int | None = None,
    max_trials_completed: int | None = None,
    metric_threshold: float | None = None,
    max_failures_total: int | None = None,
    plateau: forms.Plateau = None,
    stop: Any = None,
    on_stop: forms.OnStop = None,
    max_concurrent: int | None = None,
    max_failures: forms.FromZero = 0,
    trial_seconds: float | None = None,
    trial_memory: forms.Memory = None,
    trial_resources: forms.Arguments = None,
    num_to_keep: int | None = 1,
    keep_in_search: int | None = None,
    checkpoint_score: str | None = None,
    checkpoint_order: forms.Order = None,
    checkpoint_every: int | None = None,
    noisy: bool = False,
    seed: forms.FromZero = 0,
    resume: bool = True,
    callbacks: Any = None,
    name: str = "tune",
    store: forms.Store = None,
    cluster: forms.Cluster = None,
    n_workers: int | None = None,
    worker_resources: forms.Arguments = None,
    verbose: forms.Verbosity = 1,
) -> TuneResult:
    """The result of a search over any objective, trial by trial.

    Args:
        objective: A function of one configuration that returns or yields a loss or metrics, or its name as
            "module:function". Or a scikit-learn estimator, as an object or {"class": "dotted.Name",
            "params": {...}}: it is cross-validated, one report per fold.
        space: A SearchSpace, a dict of domains and constants, or its JSON form.
        X: Data of an estimator: arrays, a frame, what ingest() returned, a path, or parquet-data/NAME.
        y: Its target: an array, or the name of a column of X.
        cv: Its number of folds, or a splitter. Default: 5.
        scoring: Its scorer's name, a list or dict of them, or a callable.
        fit_params: Arguments of its fit, such as groups, sample_weight or step__name.
        refit: Whether its best configuration is fitted on all rows in the end.
        approve: Seconds to wait for a person's approval before that; true: an hour.
        metric: The entry of the reports to judge by. Default: the only one, "loss", or "score" of an
            estimator.
        mode: "min" or "max". Default: "min", and "max" for an estimator.
        n_trials: Configurations to try, in all: a search that is run again goes on up to this number.
        sampler: Where configurations come from: random, sobol, halton, latin-hypercube, tpe, cma-es, gp,
            mobster, {name: settings} or an object. Default: tpe, or the grid of a space of grids.
        schedule: Who goes on: fifo, asha, pasha, median, wilcoxon, pbt, {name: settings} or an object.
            Default: fifo.
        max_resource: Where a trial is complete. Default: the space's constant epochs, max_t or max_epochs;
            the number of folds.
        resource: The entry of a report that says how far the trial is; an estimator's is "fold".
        points_to_evaluate: Configurations to try first, partial ones are filled. Default: the middle of the
            space; an empty list for none.
        evaluated: What is known: [configuration, value] or [configuration, value, resource].
        max_time: Seconds of activity after which the search stops.
        max_cost: The sum of the reports' "cost" at which it stops.
        max_evaluations: Reports after which it stops.
        max_total_resource: Units of the resource, over all trials, after which it stops.
        max_trials_finished: Ended trials after which it stops.
        max_trials_completed: Trials trained to the end after which it stops.
        metric_threshold: A value of the metric that is good enough.
        max_failures_total: Failed trials after which it stops.
        plateau: True stops when the best value no longer moves.
        stop: A function of the status that says when to stop.
        on_stop: "cancel" ends running trials at once, "drain" lets them go on to their own end.
        max_concurrent: Trials at once. Default: one per slot of the cluster.
        max_failures: How often one trial may fail and be tried again from its last state.
        trial_seconds: The longest that one stretch of a trial may take.
        trial_memory: The most memory that a trial may use, such as "2 GiB".
        trial_resources: Dask resources that a trial needs, such as {"GPU": 1}.
        num_to_keep: States kept per trial, besides the latest; null keeps all.
        keep_in_search: Number of trials whose states are kept; null keeps all.
        checkpoint_score: The metric by which states of a trial are compared. Default: the latest is kept.
        checkpoint_order: "min" or "max" of it. Default: the search's mode.
        checkpoint_every: Units between two stored states. Default: one where a trial waits for a decision.
        noisy: Whether equal configurations are to be run again.
        seed: Of every draw.
        resume: Whether to go on where an earlier run of the same search was stopped.
        callbacks: Objects that are told of trials and reports.
        name: Name of the search, in the UI and in its artifacts.
        store: Folder or URL of the store, or step-store/NAME. Default: tune in PREFECT_HOME.
        cluster: Address of a Dask scheduler, dask-cluster/NAME, or {"class": ..., "kwargs": ...}. Default:
            the cluster of the enclosing flow, else local workers.
        n_workers: Number of local workers. Default: all cores.
        worker_resources: Dask resources that each local worker offers.
        verbose: 0 is silent, 1 shows progress, 2 the result too.
    """
    return await search_body("tune", locals(), ready_tune, run_tune)


_atune.__name__ = _atune.__qualname__ = "atune"
atune = TuneFlow(_atune, name="tune", flow_run_name="{name}", validate_parameters=False, persist_result=False)
tune = sync_twin(atune)
