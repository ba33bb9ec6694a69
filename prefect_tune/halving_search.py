"""Halving over samples or over a parameter: a sequence of grid searches over fewer and fewer candidates.

Rule 1: an iteration is a `SearchSpec` like any other. So its steps are keyed, stored, shared and resumed as
those of a grid search are, and what two iterations have in common runs once.
Rule 2: how many iterations there are is exact arithmetic (see `schedules.resources`). Whatever is drawn, and
who goes on, is scikit-learn's to the bit (1.9, `model_selection/_search_successive_halving.py`).
Rule 3: where a parameter grows, and the estimator grows by it exactly, a fit goes on from the fit of the same
candidate and fold in an earlier iteration (see `growing`). Elsewhere it starts from nothing. Keys and results
are the same either way.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from prefect_tune.arguments import check_params, ingest_pair
from prefect_tune.data import ingest
from prefect_tune.draws import draw_candidates, pack_splits, resolve_scorers, unpack_splits
from prefect_tune.errors import DataError, ScheduleError, ScoringError, SpaceError, UnknownParameter
from prefect_tune.halving_models import WaitingModels, growth_in
from prefect_tune.halving_result import SAMPLES, HalvingResult, Ladder
from prefect_tune.identity.seeds import derive_seed, low32
from prefect_tune.plan import CompiledSearch
from prefect_tune.results import Failure
from prefect_tune.schedules.exact import exact_factor, ilog, keep_ceiling
from prefect_tune.schedules.resources import (
    halving_iterations,
    min_resources_exhaust,
    n_candidates_exhaust,
    smallest_resources,
)
from prefect_tune.schedules.rungs import Rung
from prefect_tune.search import SearchSpec, cloned, fold_identity, prepare
from prefect_tune.store import StepStore
from prefect_tune.table import (
    LeafFailure,
    list_failures,
    metric_names,
    score_rows,
    select_best,
    warn_or_raise,
)


class Halving:
    """A halving search under way: who is still in, and the table so far.

    Args:
        search: the scikit-learn halving search; it formats the table and chooses the best.
        start: the search with all candidates and all rows, which the iterations are cut from.
        ladder: the iterations.
        state: what samples are drawn by: an int, or a generator that moves on.
        store: where the folds go.
    """

    def __init__(self, search: Any, start: SearchSpec, ladder: Ladder, state: Any, store: StepStore) -> None:
        self.search, self.start, self.ladder, self.store = search, start, ladder, store
        self.survivors = list(range(len(start.candidates)))
        self.models = WaitingModels(store, start.scope)
        self.table: dict[str, Any] = {}
        self._state = state
        self._candidate: list[int] = []
        self._drawn: list[Mapping[str, Any]] = []
        self._scores: list[dict[str, Any]] = []
        self._more: dict[str, list[int]] = {"iter": [], "n_resources": []}
        self._failures: list[Failure] = []

    def spec(self, rung: Rung) -> SearchSpec:
        """The search that `rung` is: the survivors with its resource. To be asked for once, in order."""
        start, name = self.start, self.ladder.resource
        if name != SAMPLES:
            grown = {name: rung.resource}
            candidates, drawn = (
                [{**rows[i], **grown} for i in self.survivors] for rows in (start.candidates, start.drawn)
            )
            growth = growth_in(self.ladder, rung)
            return dataclasses.replace(start, candidates=candidates, drawn=drawn, growth=growth)
        splits = self._subsample(rung.resource / start.X.rows)
        return dataclasses.replace(
            start,
            candidates=[start.candidates[i] for i in self.survivors],
            drawn=[start.drawn[i] for i in self.survivors],
            splits=ingest(pack_splits(splits), self.store, name="cv"),
            folds=fold_identity(start.X, start.y, splits, start.fit_params, start.score_params),
        )

    def _subsample(self, share: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """That share of both sides of each fold, drawn without replacement."""
        from sklearn.utils import resample

        def some(index: np.ndarray) -> np.ndarray:
            # A product of floats, as in scikit-learn: 0.58 · 100 leaves 57 rows, and so it does here.
            count = int(share * len(index))
            return resample(index, replace=False, n_samples=count, random_state=self._state)

        splits = unpack_splits(self.store.load_blob(self.start.splits.blob))
        return [(some(train), some(test)) for train, test in splits]

    def take_in(self, rung: Rung, compiled: CompiledSearch, failures: Mapping[bytes, LeafFailure]) -> None:
        """Adds a finished iteration to the table, and keeps the best for the next.

        Args:
            failures: by key of the leaf; those of other iterations do not matter.

        Raises:
            ValueError: when every fit failed.
            ScoringError: the scorer returned several scores.
        """
        warn_or_raise(compiled, failures)
        for failure in list_failures(compiled, failures):
            row = len(self._candidate) + failure.candidate
            self._failures.append(dataclasses.replace(failure, candidate=row))
        rows = score_rows(compiled, failures)
        if (names := metric_names(rows)) != ("score",):
            raise ScoringError(
                f"scoring: a halving search ranks by one score, but the scorer returned {', '.join(names)}. "
                "Return the number that decides."
            )
        self._scores += rows
        self._drawn += compiled.spec.drawn
        self._candidate += self.survivors
        self._more["iter"] += [rung.level] * rung.size
        self._more["n_resources"] += [rung.resource] * rung.size
        self.table = self.search._format_results(
            list(self._drawn), compiled.spec.n_splits, list(self._scores), self._more
        )
        kept = best_last(self.table["mean_test_score"][-rung.size :], self._size_after(rung))
        self.survivors = [self.survivors[i] for i in kept]
        if self.ladder.resource != SAMPLES:
            last = rung.level + 1 == len(self.ladder.rungs)
            self.models.take_in(compiled.table, [compiled.table[i] for i in kept if not last])

    def _size_after(self, rung: Rung) -> int:
        later = self.ladder.rungs[rung.level + 1 :]
        return later[0].size if later else self.ladder.n_remaining

    def row_in_last(self, index: int) -> int:
        """A row of the table as a row of the last iteration, where the best candidate always is."""
        return index - (len(self._candidate) - self.ladder.rungs[-1].size)

    def result(self) -> HalvingResult:
        """The result without a model, once every iteration has been taken in."""
        index, metric, _ = select_best(self.search, self.table, ("score",))
        assert index is not None  # there is one metric
        return HalvingResult(
            name=self.start.name,
            cv_results=self.table,
            best_index=index,
            best_params=self.table["params"][index],
            best_score=float(self.table["mean_test_score"][index]),
            metric=metric,
            metrics=(metric,),
            n_splits=self.start.n_splits,
            failures=tuple(self._failures),
            uncacheable=self.start.uncacheable(),
            ladder=self.ladder,
            candidate=tuple(self._candidate),
        )


def best_last(scores: np.ndarray, count: int) -> list[int]:
    """The places of the `count` best scores, the best one last; nan is worse than any number.

    >>> best_last(np.array([0.5, np.nan, 0.75, 0.25]), 2)
    [0, 2]
    """
    # The default sort, as in scikit-learn: it decides between equal scores, and not as a stable sort would.
    order = np.argsort(scores).tolist()
    numbers = len(order) - int(np.isnan(scores).sum())
    return [*order[numbers:], *order[:numbers]][len(order) - count :]


def prepare_halving(
    search: Any,
    X: Any,
    y: Any = None,
    *,
    params: Mapping[str, Any] | None = None,
    store: StepStore,
    seed: int = 0,
    name: str = "search",
) -> Halving:
    """The halving search that a scikit-learn search object describes, ready for its first iteration.

    Args:
        search: an unfitted `HalvingGridSearchCV` or `HalvingRandomSearchCV` of scikit-learn.
        X, y, params, store, seed, name: as for `search.prepare`. `seed` also stands in for
            `random_state=None`, so that a second run draws the same candidates and samples.

    Raises:
        UserError: for anything that cannot work, before any work is submitted.
    """
    from sklearn.base import is_classifier
    from sklearn.model_selection import check_cv

    cloned(search.estimator)  # what is no estimator is told before it is asked for anything
    resolve_scorers(search)
    X, y, x_ref, y_ref = ingest_pair(X, y, store)
    params = dict(params or {})
    # One splitter for all that follows: an iterator can be asked only once.
    cv = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
    routed = search._get_routed_params_for_fit(check_params(X, params)).splitter.split
    least, most = _bounds(search, y, rows=x_ref.rows, n_splits=cv.get_n_splits(X, y, **routed))
    state = search.random_state
    state = low32(derive_seed(seed, "candidates")) if state is None else copy.deepcopy(state)
    drawn = _draw(search, least, most, seed, state)
    ladder = _ladder(search, len(drawn), least, most)
    if ladder.resource == SAMPLES and ladder.rungs[-1].resource > x_ref.rows:
        rule = f"must be at most the number of rows ({x_ref.rows})"
        raise ScheduleError("max_resources", rule, most, "'auto' is that number")
    if ladder.resource != SAMPLES:
        drawn = [{**row, ladder.resource: ladder.rungs[0].resource} for row in drawn]
    start = prepare(
        _as_grid(search, drawn, cv), x_ref, y_ref, params=params, store=store, seed=seed, name=name
    )
    return Halving(search, dataclasses.replace(start, drawn=drawn), ladder, state, store)


def _as_grid(search: Any, rows: Sequence[Mapping[str, Any]], cv: Any) -> Any:
    """The grid search over exactly these candidates that is asked the same otherwise."""
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(
        search.estimator,
        [{name: [value] for name, value in row.items()} for row in rows],
        scoring=search.scoring,
        cv=cv,
        error_score=search.error_score,
        return_train_score=search.return_train_score,
    )


def _bounds(search: Any, y: Any, *, rows: int, n_splits: int) -> tuple[int, int]:
    """The least resource before it may be raised to exhaust the most, and the most."""
    from sklearn.base import is_classifier

    resource, least, most = search.resource, search.min_resources, search.max_resources
    known = search.estimator.get_params()
    if resource != SAMPLES and resource not in known:
        raise UnknownParameter(f"resource: {type(search.estimator).__name__}", resource, known)
    if least == getattr(search, "n_candidates", None) == "exhaust":
        rule = "cannot be 'exhaust' where n_candidates is too"
        raise ScheduleError("min_resources", rule, least, "each follows from the other; give one as a number")
    if most == "auto":
        if resource != SAMPLES:
            rule = f"must be given where the resource is {resource!r}"
            raise ScheduleError("max_resources", rule, most, "only the number of rows is known beforehand")
        most = rows
    if least in ("smallest", "exhaust"):
        counts = resource == SAMPLES and is_classifier(search.estimator)
        least = smallest_resources(
            resource, n_splits=n_splits, n_classes=_count_classes(y) if counts else None
        )
    n_candidates_exhaust(least, most)  # raises where the least is more than the most
    return least, most


def _count_classes(y: Any) -> int:
    from sklearn.utils.multiclass import check_classification_targets

    if y is None:
        raise DataError("y: is missing; a classifier's smallest number of samples follows from its classes.")
    try:
        check_classification_targets(y)
    except ValueError as error:
        raise DataError(f"y: {error}") from error
    return len(np.unique(np.asarray(y)))


def _draw(search: Any, least: int, most: int, seed: int, state: Any) -> list[dict[str, Any]]:
    """The candidates of the first iteration."""
    if hasattr(search, "param_distributions"):
        count = search.n_candidates
        count = n_candidates_exhaust(least, most) if count == "exhaust" else count
        asked = {"n_iter": count, "random_state": state}
        rows = draw_candidates(SimpleNamespace(param_distributions=search.param_distributions, **asked), seed)
        if not isinstance(state, (int, np.integer)):
            # A generator is one stream: the samples are drawn where the candidates have left it.
            from sklearn.model_selection import ParameterSampler

            list(ParameterSampler(search.param_distributions, **asked))
    else:
        rows = draw_candidates(search, seed)
    if search.resource != SAMPLES and any(search.resource in row for row in rows):
        raise SpaceError(
            f"resource: {search.resource!r} is searched over too; take it out of the space or grow another."
        )
    return rows


def _ladder(search: Any, n_candidates: int, least: int, most: int) -> Ladder:
    if search.min_resources == "exhaust":
        least = min_resources_exhaust(n_candidates, least, most, search.factor)
    rungs = halving_iterations(n_candidates, least, most, search.factor, search.aggressive_elimination)
    factor = exact_factor(search.factor, name="factor", least=1, strict=True)
    return Ladder(
        rungs=rungs,
        resource=search.resource,
        min_resources=least,
        max_resources=most,
        n_required=1 + ilog(n_candidates, factor),
        n_possible=1 + ilog(most // least, factor),
        n_remaining=keep_ceiling(rungs[-1].size, factor),
    )
