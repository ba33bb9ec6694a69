"""The Prefect task that runs one batch of steps.

Rule 1: what crosses Prefect and Dask is small: the batch, where the search lies, and scores coming back.
Rule 2: results are written by us, before the task ends. Prefect persists nothing and caches nothing: the
driver submits only what the store lacks (decision 0004).
Rule 3: a candidate that fails is part of the outcome. The task itself fails when all of its candidates do,
or at the first with `error_score="raise"`, with the user's own exception.
"""

from __future__ import annotations

import pickle

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from prefect_tune.batches import Batch
from prefect_tune.errors import NotPicklable
from prefect_tune.rounds import ModelUnit, RoundBatch
from prefect_tune.search import SearchSpec, check_picklable
from prefect_tune.store import StepStore
from prefect_tune.tasks.evaluation import SearchFile, evaluate_batch
from prefect_tune.tasks.isolation.limits import NO_LIMITS, StepLimits
from prefect_tune.tasks.isolation.steps import evaluate_isolated
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.published import write_published
from prefect_tune.training import TrainingSpec


class BatchFailed(Exception):
    """Every candidate of a batch failed; the outcome says how."""

    def __init__(self, message: str, outcome: BatchOutcome) -> None:
        super().__init__(message, outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return str(self.args[0])


@task(name="steps", task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
def run_batch(label: str, order: bytes) -> State:
    """The outcome of a batch, as the data of a Completed state.

    Args:
        label: name of the task run.
        order: what `order` made of the search and the batch. Bytes, since Prefect and Dask look into
            containers and take them apart.
    """
    outcome = evaluate(*pickle.loads(order))
    fits = {(f.row, f.fold) for f in outcome.failures if not f.metric}
    if outcome.done and len(fits) == len(outcome.done):
        raise BatchFailed(f"all {len(fits)} fits failed: {outcome.failures[0].cause}", outcome)
    if fits:
        return Completed(message=f"{len(fits)} of {len(outcome.done)} fits failed", data=outcome)
    if not outcome.ran and not outcome.records and outcome.reused:
        return Completed(name="Cached", message=f"{outcome.reused} steps were in the store", data=outcome)
    return Completed(data=outcome)


def evaluate(search: SearchFile, batch: Batch | RoundBatch, isolated: bool = False) -> BatchOutcome:
    """What the batch gives; under limits in a process of its own, but for the refit, which has none.

    Args:
        isolated: whether it runs in a process of its own even without limits.
    """
    refits = batch.refit or any(isinstance(unit, ModelUnit) for unit in batch.leaves)
    if refits or not (isolated or search.limits):
        return evaluate_batch(search, batch)
    return evaluate_isolated(search, batch)


def order(search: SearchFile, batch: Batch | RoundBatch, *, isolated: bool = False) -> bytes:
    """A batch of a search, as the parameter of its task run: the arguments of `evaluate`."""
    return pickle.dumps((search, batch, isolated))


def publish(
    spec: SearchSpec | TrainingSpec, store: StepStore, run_id: str, limits: StepLimits = NO_LIMITS
) -> SearchFile:
    """The search written where workers find it.

    Args:
        limits: what each of its steps may use.

    Raises:
        NotPicklable: naming the part that cannot travel.
    """
    try:
        digest = write_published(spec, path := store.scratch(run_id) / "search.pickle", store)
    except OSError:
        raise
    except Exception as error:
        raise _not_picklable(spec, error) from error
    return SearchFile(path=str(path), digest=digest, store=store, limits=limits)


def _not_picklable(spec: SearchSpec | TrainingSpec, error: Exception) -> NotPicklable:
    parts = [("estimator", spec.estimator), ("scoring", spec.scorer)]
    parts += [(f"candidate {i}, {n}", v) for i, row in enumerate(spec.candidates) for n, v in row.items()]
    for place, value in parts:
        try:
            check_picklable(value, place)
        except NotPicklable as found:
            return found
    return NotPicklable(f"the search cannot be pickled: {error}")
