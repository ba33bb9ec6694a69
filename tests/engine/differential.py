"""One search run twice: by scikit-learn, and by us without Prefect and Dask. Then everything is compared.

Rule 1: our side is the real path: prepare, compile, plan, batches through the store, table, refit, model.
Rule 2: each batch starts with an empty memory, as if every batch met another worker.
Rule 3: equal means equal bits, dtypes, masks, order and types; only times are left out.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import indexable

from prefect_tune.batches import Batch, Planner
from prefect_tune.model import load_model
from prefect_tune.plan import CompiledSearch, SearchPlan, summarise
from prefect_tune.results import Failure, ModelRef
from prefect_tune.search import prepare
from prefect_tune.store import StepStore
from prefect_tune.table import (
    LeafFailure,
    cv_results,
    list_failures,
    metric_names,
    score_rows,
    select_best,
    warn_or_raise,
)
from prefect_tune.tasks import evaluation
from prefect_tune.tasks.batch import evaluate, publish
from prefect_tune.tasks.isolation.limits import NO_LIMITS, StepLimits

METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples", "inverse_transform")


@dataclass(slots=True, kw_only=True)
class Run:
    """What our side of a search left.

    Attributes:
        plan: the dry run, made before anything ran.
        ran: family -> number of steps that ran, the refit's apart.
        refit_ran: the same for the refit.
        table, best_index, best_params, best_score, model: as scikit-learn's attributes.
        failures: what failed, in table order.
        uncacheable: (where, why).
        metrics: names of the metrics.
        ref: where the model lies.
    """

    plan: SearchPlan
    ran: Counter = field(default_factory=Counter)
    refit_ran: Counter = field(default_factory=Counter)
    table: dict[str, Any] = field(default_factory=dict)
    best_index: int | None = None
    best_params: Any = None
    best_score: float | None = None
    model: Any = None
    failures: tuple[Failure, ...] = ()
    uncacheable: tuple = ()
    metrics: tuple[str, ...] = ()
    ref: ModelRef | None = None

    @property
    def steps(self) -> int:
        """Steps that ran, without the refit."""
        return sum(self.ran.values())


def forget() -> None:
    """Nothing; what this process remembers of earlier batches is dropped."""
    vars(evaluation._local).clear()


def run_ours(
    search: Any,
    X: Any,
    y: Any = None,
    *,
    root: Path,
    slots: int = 2,
    seed: int = 0,
    name: str = "search",
    arrange: Callable[[list[Batch]], Iterable[Batch]] = list,
    limits: StepLimits = NO_LIMITS,
    **params: Any,
) -> Run:
    """Our run of an unfitted scikit-learn search, in this process.

    Args:
        root: folder of the store.
        slots: threads to plan for; more make smaller batches.
        arrange: may reorder the batches, prefixes before what needs them.
        limits: of each step; with any, steps run in a process of their own.
        **params: arguments of `fit`.
    """
    store = StepStore.open(root)
    X, y = indexable(X, y)
    spec = prepare(search, X, y, params=params, store=store, seed=seed, name=name)
    compiled = CompiledSearch(spec, store)
    planner = Planner(compiled, slots)
    planned = planner.batches()
    run = Run(plan=summarise(compiled, len(planned)), uncacheable=spec.uncacheable())
    file = publish(spec, store, "run", limits)
    failures: dict[bytes, LeafFailure] = {}
    for batch in arrange(planned):
        _absorb(compiled, _alone(file, batch), run.ran, failures)
    warn_or_raise(compiled, failures)
    rows = score_rows(compiled, failures)
    run.table = cv_results(compiled, rows, search)
    run.failures = list_failures(compiled, failures)
    run.metrics = metric_names(rows)
    run.best_index, _, run.best_score = select_best(search, run.table, run.metrics)
    if run.best_index is not None:
        run.best_params = run.table["params"][run.best_index]
    if search.refit:
        outcome = _alone(file, planner.refit(run.best_index))
        run.refit_ran.update({family: count for family, (count, _) in outcome.ran.items()})
        run.ref = ModelRef(store=str(root), scope=spec.scope, key=outcome.model)
        run.model = load_model(run.ref, like=[search.estimator, run.best_params])
    return run


def _alone(file: Any, batch: Batch) -> Any:
    forget()
    # Neither the file nor the batch may depend on this process: both travel.
    return evaluate(*copy.deepcopy((file, batch)))


def _absorb(compiled: CompiledSearch, outcome: Any, ran: Counter, failures: dict[bytes, LeafFailure]) -> None:
    for record in outcome.records:
        compiled.scores[record.key] = record
    ran.update({family: count for family, (count, _) in outcome.ran.items()})
    for failure in outcome.failures:
        leaf = compiled.table[failure.row][failure.fold]
        entry = failures.setdefault(leaf.key, LeafFailure(failure.cause, failure.tail, failure.seconds))
        if failure.metric:
            entry.scores.add((failure.side, failure.metric))


def assert_equal_search(
    make: Callable[[], Any],
    X: Any,
    y: Any = None,
    *,
    root: Path,
    shown: Any = None,
    limits: StepLimits = NO_LIMITS,
    **params: Any,
) -> Run:
    """Our run, after its table, its winner and its model were found equal to scikit-learn's.

    Args:
        make: gives a fresh unfitted search at each call.
        shown: rows to predict; None: X.
        limits: of each step of ours.
    """
    theirs = copy.deepcopy(make())  # a cv with a generator moves on when it is used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = (copy.deepcopy(make()), copy.deepcopy(X), copy.deepcopy(y))
        ours = run_ours(*given, root=root, limits=limits, **copy.deepcopy(params))
        theirs.fit(copy.deepcopy(X), copy.deepcopy(y), **copy.deepcopy(params))
    assert_same_table(ours.table, theirs.cv_results_)
    if hasattr(theirs, "best_index_"):
        assert ours.best_index == theirs.best_index_
        assert_same(ours.best_params, theirs.best_params_, "best_params_")
    if hasattr(theirs, "best_score_"):
        assert_same(np.float64(ours.best_score), np.float64(theirs.best_score_), "best_score_")
    assert (ours.model is not None) == hasattr(theirs, "best_estimator_")
    if ours.model is not None:
        assert_same_model(ours.model, theirs.best_estimator_, X if shown is None else shown)
    return ours


def assert_same_table(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Nothing, or the first column in which two tables differ."""
    assert list(ours) == list(theirs)
    for name, column in theirs.items():
        if name.endswith("_time"):
            assert ours[name].dtype == column.dtype
            assert ours[name].shape == column.shape
        else:
            assert_same(ours[name], column, name)


def assert_same_model(ours: Any, theirs: Any, X: Any) -> None:
    """Nothing, or the first thing in which two fitted estimators differ: parameters, state or answers."""
    mine, other = ours.get_params(), theirs.get_params()
    assert sorted(mine) == sorted(other)
    assert_same(ours, theirs, type(theirs).__name__)
    for method in METHODS:
        if hasattr(theirs, method) and method != "inverse_transform":
            assert hasattr(ours, method)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                mine = getattr(ours, method)(copy.deepcopy(X))
                assert_same(mine, getattr(theirs, method)(copy.deepcopy(X)), f"{method}()")
        assert hasattr(ours, method) == hasattr(theirs, method)


def assert_same(ours: Any, theirs: Any, path: str) -> None:
    """Nothing, or the path of the first difference between two values, looked at from inside."""
    if isinstance(theirs, np.generic) or np.isscalar(theirs):
        _assert_same_scalar(ours, theirs, path)
    elif isinstance(theirs, np.ma.MaskedArray):
        assert isinstance(ours, np.ma.MaskedArray), path
        assert ours.dtype == theirs.dtype, path
        assert np.array_equal(np.ma.getmaskarray(ours), np.ma.getmaskarray(theirs)), path
        assert_same(ours.compressed(), theirs.compressed(), path)
    elif isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray), path
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), path
        _assert_same_cells(ours, theirs, path)
    elif sp.issparse(theirs):
        assert type(ours) is type(theirs), path
        assert_same(ours.toarray(), theirs.toarray(), path)
    elif hasattr(theirs, "iloc"):
        assert type(ours) is type(theirs), path
        assert ours.equals(theirs), path
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), path
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{path}[{i}]")
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{path}[{key!r}]")
    elif hasattr(theirs, "get_params") and not isinstance(theirs, type):
        _assert_same_estimator(ours, theirs, path)


def _assert_same_scalar(ours: Any, theirs: Any, path: str) -> None:
    same = ours == theirs or (ours != ours and theirs != theirs)
    assert same, f"{path}: {ours!r} against {theirs!r}"
    # Candidates reach the estimators as Python values, so models hold 3 where scikit-learn has np.int64(3).
    assert isinstance(theirs, np.generic) or type(ours) is type(theirs), path


def _assert_same_cells(ours: np.ndarray, theirs: np.ndarray, path: str) -> None:
    if theirs.dtype.names:
        assert ours.tobytes() == theirs.tobytes() or np.array_equal(ours, theirs), path
    elif theirs.dtype.kind in "fc":
        same = (ours == theirs) & (np.signbit(ours.real) == np.signbit(theirs.real))
        assert np.all(same | ((ours != ours) & (theirs != theirs))), f"{path}: {ours} against {theirs}"
    elif theirs.dtype.kind == "O":
        for i, (a, b) in enumerate(zip(ours.ravel(), theirs.ravel(), strict=True)):
            assert_same(a, b, f"{path}[{i}]")
    else:
        assert np.array_equal(ours, theirs), path


def _assert_same_estimator(ours: Any, theirs: Any, path: str) -> None:
    assert (type(ours).__module__, type(ours).__qualname__) == (
        type(theirs).__module__,
        type(theirs).__qualname__,
    )
    mine, other = vars(ours), vars(theirs)
    skipped = {
        name for name in {*mine, *other} if name.startswith("_callback") or name == "_metadata_request"
    }
    assert set(mine) - skipped == set(other) - skipped, path
    for name in other:
        if name not in skipped:
            assert_same(mine[name], other[name], f"{path}.{name}")
