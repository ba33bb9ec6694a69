"""The Prefect task that runs one batch of steps.

Rule 1: what crosses Prefect and Dask is small: the batch, where the search lies, and scores coming back.
Rule 2: results are written by us, before the task ends. Prefect persists nothing and caches nothing: the
driver submits only what the store lacks (decision 0004).
Rule 3: a candidate that fails is part of the outcome. The task itself fails when all of its candidates do,
or at the first with `error_score="raise"`, with the user's own exception.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from prefect_tune.batches import Batch
from prefect_tune.errors import NotPicklable
from prefect_tune.rounds import RoundBatch
from prefect_tune.search import SearchSpec, check_picklable
from prefect_tune.store import StepStore
from prefect_tune.tasks.execute import Evaluator
from prefect_tune.tasks.leaves import LeafRunner
from prefect_tune.tasks.memo import Memo
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.published import read_published, write_published
from prefect_tune.tasks.rounds import RoundRunner
from prefect_tune.tasks.threads import pin_threads
from prefect_tune.tasks.warned import caught_warnings
from prefect_tune.training import TrainingSpec

MEMO_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFile:
    """Where a search lies for the workers.

    Attributes:
        path: the file, in the store's scratch folder.
        digest: BLAKE3 of its bytes, checked before they are unpickled.
        store: the store, which pickles as its folder.
    """

    path: str
    digest: str
    store: StepStore


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
    outcome = evaluate_batch(*pickle.loads(order))
    fits = {(f.row, f.fold) for f in outcome.failures if not f.metric}
    if outcome.done and len(fits) == len(outcome.done):
        raise BatchFailed(f"all {len(fits)} fits failed: {outcome.failures[0].cause}", outcome)
    if fits:
        return Completed(message=f"{len(fits)} of {len(outcome.done)} fits failed", data=outcome)
    if not outcome.ran and not outcome.records and outcome.reused:
        return Completed(name="Cached", message=f"{outcome.reused} steps were in the store", data=outcome)
    return Completed(data=outcome)


def order(search: SearchFile, batch: Batch | RoundBatch) -> bytes:
    """A batch of a search, as the parameter of its task run."""
    return pickle.dumps((search, batch))


def publish(spec: SearchSpec | TrainingSpec, store: StepStore, run_id: str) -> SearchFile:
    """The search written where workers find it.

    Raises:
        NotPicklable: naming the part that cannot travel.
    """
    try:
        digest = write_published(spec, path := store.scratch(run_id) / "search.pickle", store)
    except OSError:
        raise
    except Exception as error:
        raise _not_picklable(spec, error) from error
    return SearchFile(path=str(path), digest=digest, store=store)


def _not_picklable(spec: SearchSpec | TrainingSpec, error: Exception) -> NotPicklable:
    parts = [("estimator", spec.estimator), ("scoring", spec.scorer)]
    parts += [(f"candidate {i}, {n}", v) for i, row in enumerate(spec.candidates) for n, v in row.items()]
    for place, value in parts:
        try:
            check_picklable(value, place)
        except NotPicklable as found:
            return found
    return NotPicklable(f"the search cannot be pickled: {error}")


def evaluate_batch(search: SearchFile, batch: Batch | RoundBatch) -> BatchOutcome:
    """What running `batch` in this process gives."""
    from sklearn import config_context

    pin_threads(1)
    evaluator = _evaluator(search)
    runner: Any = RoundRunner if isinstance(batch, RoundBatch) else LeafRunner
    if isinstance(batch, Batch):
        evaluator.keep, evaluator.known = batch.keep, batch.known
    evaluator.ran, evaluator.reused = [], 0
    gardener = evaluator.gardener
    gardener.trained = gardener.taken_over = 0
    outcome, start = BatchOutcome(), time.perf_counter()
    evaluator.turns.begin(outcome)
    before = evaluator.store.counters.bytes_written
    with config_context(**evaluator.spec.config), caught_warnings() as caught:
        try:
            runner(evaluator, batch, outcome).run()
        finally:
            # With error_score="raise" a retry of the search comes to this process, too, and tries again.
            evaluator.memo.forget_failures()
            evaluator.turns.publish()
    for entry in caught:
        outcome.warnings[entry] = outcome.warnings.get(entry, 0) + 1
    for family, seconds in evaluator.ran:
        count, total = outcome.ran.get(family, (0, 0.0))
        outcome.ran[family] = (count + 1, total + seconds)
    outcome.reused = evaluator.reused
    outcome.trained, outcome.taken_over = gardener.trained, gardener.taken_over
    outcome.bytes_written = evaluator.store.counters.bytes_written - before
    outcome.seconds = time.perf_counter() - start
    return outcome


_local = threading.local()


def _evaluator(search: SearchFile) -> Evaluator:
    """This thread's evaluator of the search; the last two are kept."""
    evaluators = vars(_local).setdefault("evaluators", OrderedDict())
    found = evaluators.pop(search.digest, None)
    if found is None:
        # Outcomes outlive a search, but not the store: a user who empties it wants its steps run again.
        place = str(search.store.root)
        if vars(_local).get("place") != place:
            _local.place, _local.memo = place, Memo(MEMO_BYTES)
        spec = read_published(search.path, search.digest, search.store)
        found = Evaluator(spec, search.store, _local.memo)
    evaluators[search.digest] = found
    while len(evaluators) > 2:
        evaluators.popitem(last=False)
    return found
