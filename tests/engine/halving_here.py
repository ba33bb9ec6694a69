"""Halving searches in this process: all but their flow runs; and what they must equal."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from differential import assert_same, assert_same_model, assert_same_table, forget
from sklearn import model_selection
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - lets scikit-learn give its classes

import prefect_tune
from prefect_tune.batches import Planner
from prefect_tune.halving_search import Halving, prepare_halving
from prefect_tune.plan import CompiledSearch
from prefect_tune.results import ModelRef
from prefect_tune.store import StepStore
from prefect_tune.table import LeafFailure
from prefect_tune.tasks.batch import evaluate, publish


class Here:
    """The searches run in this process: `fit` asks for a flow, and gets the result without one.

    Each batch starts with an empty memory, as if it met another worker.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[Counter] = []  # steps of each iteration, by family
        self.grown: list[tuple[int, int]] = []  # units trained and taken over in each iteration
        self.lose = lambda store: None  # what happens to the store between two iterations

    def start(self, asked: dict[str, Any]) -> Any:
        store, search = StepStore.open(self.root), asked["sklearn"]
        halving = prepare_halving(
            search, asked["X"], asked["y"], params=asked["fit_params"], store=store, seed=asked["seed"]
        )
        self.ran, self.grown = [], []
        for rung in halving.ladder.rungs:
            refit = self._evaluate(halving, halving.spec(rung), rung)
        result = halving.result()
        if not search.refit:
            return result
        key = refit(halving.row_in_last(result.best_index)).model
        model = ModelRef(store=str(self.root), scope=halving.start.scope, key=key)
        return dataclasses.replace(result, model=model, refit_seconds=0.5)

    def _evaluate(self, halving: Halving, spec: Any, rung: Any) -> Any:
        """Takes one iteration in; what fits one of its candidates on all rows."""
        compiled, ran, grown = CompiledSearch(spec, halving.store), Counter(), Counter()
        planner, failures = Planner(compiled, slots=2), {}
        file = publish(spec, halving.store, f"run-{rung.level}")

        def alone(batch: Any) -> Any:
            forget()
            return evaluate(*copy.deepcopy((file, batch)))

        for batch in planner.batches():
            outcome = alone(batch)
            compiled.scores.update({record.key: record for record in outcome.records})
            ran.update({family: count for family, (count, _) in outcome.ran.items()})
            grown.update(trained=outcome.trained, taken_over=outcome.taken_over)
            for failure in outcome.failures:
                key = compiled.table[failure.row][failure.fold].key
                failures[key] = LeafFailure(failure.cause, failure.tail, failure.seconds)
        self.ran.append(ran)
        self.grown.append((grown["trained"], grown["taken_over"]))
        halving.take_in(rung, compiled, failures)
        halving.models.drop()
        self.lose(halving.store)
        return lambda row: alone(planner.refit(row))


def assert_equal_fit(
    name: str, *args: Any, data: tuple, fit: dict | None = None, place: dict | None = None, **options: Any
) -> Any:
    """Our fitted search, after everything it has was found equal to what scikit-learn's has.

    Args:
        place: settings that only our class has.
    """
    ours, theirs = (
        getattr(module, name)(*copy.deepcopy(args), **copy.deepcopy(options), **own)
        for module, own in ((prefect_tune, place or {}), (model_selection, {}))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for search in (theirs, ours):
            search.fit(*copy.deepcopy(data), **copy.deepcopy(fit or {}))
    assert_same_table(ours.cv_results_, theirs.cv_results_)
    fitted = {key for key in vars(theirs) if key.endswith("_") and not key.startswith("_")}
    assert fitted - {"refit_time_"} <= set(vars(ours))
    untyped = {"best_index_", "min_resources_"}  # NumPy's int there; a float there where the factor is one
    assert [getattr(ours, key) for key in untyped] == [getattr(theirs, key) for key in untyped]
    for key in fitted - untyped - {"cv_results_", "best_estimator_", "refit_time_", "scorer_"}:
        assert_same(getattr(ours, key), getattr(theirs, key), key)
    assert hasattr(ours, "best_estimator_") == hasattr(theirs, "best_estimator_")
    if hasattr(theirs, "best_estimator_"):
        assert_same_model(ours.best_estimator_, theirs.best_estimator_, data[0])
    return ours
