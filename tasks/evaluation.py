"""Evaluating one batch of a search in this process, whichever it is: a worker, or a cell of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from prefect_tune.batches import Batch
from prefect_tune.rounds import RoundBatch
from prefect_tune.store import StepStore
from prefect_tune.tasks.execute import Evaluator
from prefect_tune.tasks.isolation.limits import NO_LIMITS, UNWATCHED, StepLimits, Watch
from prefect_tune.tasks.leaves import LeafRunner
from prefect_tune.tasks.memo import Memo
from prefect_tune.tasks.outcome import BatchOutcome
from prefect_tune.tasks.published import read_published
from prefect_tune.tasks.rounds import RoundRunner
from prefect_tune.tasks.threads import pin_threads
from prefect_tune.tasks.warned import caught_warnings

MEMO_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFile:
    """Where a search lies for the workers.

    Attributes:
        path: the file, in the store's scratch folder.
        digest: BLAKE3 of its bytes, checked before they are unpickled.
        store: the store, which pickles as its folder.
        limits: what each step may use; with any, steps run in processes of their own.
    """

    path: str
    digest: str
    store: StepStore
    limits: StepLimits = NO_LIMITS


def evaluate_batch(
    search: SearchFile, batch: Batch | RoundBatch, watch: Watch = UNWATCHED, *, last: bool = True
) -> BatchOutcome:
    """What running `batch` in this process gives.

    Args:
        watch: told which step begins.
        last: whether failures are forgotten afterwards. They are remembered for one batch only.
    """
    from sklearn import config_context

    pin_threads(1)
    evaluator = _evaluator(search)
    runner: Any = RoundRunner if isinstance(batch, RoundBatch) else LeafRunner
    if isinstance(batch, Batch):
        evaluator.keep, evaluator.known = batch.keep, batch.known
    evaluator.ran, evaluator.reused, evaluator.watch = [], 0, watch
    gardener = evaluator.gardener
    gardener.trained = gardener.taken_over = 0
    outcome, start = BatchOutcome(), time.perf_counter()
    evaluator.turns.begin(outcome)
    before = evaluator.store.counters.bytes_written
    with config_context(**evaluator.spec.config), caught_warnings() as caught:
        try:
            runner(evaluator, batch, outcome).run()
        finally:
            if last:
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
