"""scikit-learn's halving searches, run as cached Prefect flows.

Two things differ from scikit-learn's. The number of iterations is exact: 243 candidates with `factor=3` get
six iterations, where a float logarithm gives them five. And `random_state=None` and a shuffling `cv` without
a seed are filled from `seed`, so that a second run asks the same questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import model_selection
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - lets scikit-learn give its classes

from prefect_tune.results import SearchResult
from prefect_tune.search_cv import _FlowSearch


class _HalvingSearch(_FlowSearch):
    """What the two classes share."""

    def _flow(self) -> Any:
        from prefect_tune.flows import halving

        return getattr(halving, self._flow_name.replace("-", "_"))

    def _space(self) -> dict[str, Any]:
        names = ("factor", "resource", "min_resources", "max_resources", "aggressive_elimination",
                 "random_state", "refit", "return_train_score")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _adopt(self, result: SearchResult) -> None:
        super()._adopt(result)
        ladder = result.ladder  # type: ignore[attr-defined]
        self.best_score_ = self.cv_results_["mean_test_score"][result.best_index]
        self.n_resources_ = [rung.resource for rung in ladder.rungs]
        self.n_candidates_ = [rung.size for rung in ladder.rungs]
        self.n_iterations_ = len(ladder.rungs)
        self.n_required_iterations_ = ladder.n_required
        self.n_possible_iterations_ = ladder.n_possible
        self.n_remaining_candidates_ = ladder.n_remaining
        self.min_resources_, self.max_resources_ = ladder.min_resources, ladder.max_resources


class HalvingGridSearchCV(_HalvingSearch, model_selection.HalvingGridSearchCV):
    """scikit-learn's `HalvingGridSearchCV`, run as a Prefect flow with shared and remembered steps.

    All candidates are tried with a little of a resource, the best of them with `factor` times as much, and so
    on. The resource is the number of samples or an integer parameter of the estimator. Steps before the last
    that iterations have in common run once. Forests and gradient boosting with an int as `random_state` go on
    from the model of the iteration before, where that gives what a fit from nothing would, to the bit; all
    else is fitted from nothing, as by scikit-learn.

    Args:
        estimator, param_grid, factor, resource, max_resources, min_resources, aggressive_elimination, cv,
        scoring, refit, error_score, return_train_score, random_state, n_jobs, verbose: as in scikit-learn.
            `n_jobs` is the number of local workers (None: all cores) where no cluster is given.
        cluster, store, seed, resources, step_seconds, step_memory: as in `GridSearchCV` here. `resources` are
            those of Dask, `resource` is what grows.

    Attributes:
        search_result_: the `HalvingResult`: cost, reuse, failures, who came how far. `cost.trained` and
            `cost.taken_over` count the units, such as trees, that were trained and did not have to be.

    All other attributes are those of scikit-learn.
    """

    _flow_name = "halving-grid-search"

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: Any = "auto",
        min_resources: Any = "exhaust",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: Any = True,
        error_score: Any = np.nan,
        return_train_score: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        cluster: Any = None,
        store: Any = None,
        seed: int = 0,
        resources: Mapping[str, Any] | None = None,
        step_seconds: float | None = None,
        step_memory: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            factor=factor,
            resource=resource,
            max_resources=max_resources,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            cv=cv,
            scoring=scoring,
            refit=refit,
            error_score=error_score,
            return_train_score=return_train_score,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.cluster, self.store, self.seed, self.resources = cluster, store, seed, resources
        self.step_seconds, self.step_memory = step_seconds, step_memory

    def _space(self) -> dict[str, Any]:
        return {"param_grid": self.param_grid, **super()._space()}


class HalvingRandomSearchCV(_HalvingSearch, model_selection.HalvingRandomSearchCV):
    """scikit-learn's `HalvingRandomSearchCV`, run as a Prefect flow with shared and remembered steps.

    Args:
        estimator, param_distributions, n_candidates, factor, resource, max_resources, min_resources,
        aggressive_elimination, cv, scoring, refit, error_score, return_train_score, random_state, n_jobs,
        verbose: as in scikit-learn.
        cluster, store, seed, resources, step_seconds, step_memory: as in `HalvingGridSearchCV` here.
    """

    _flow_name = "halving-randomized-search"

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_candidates: Any = "exhaust",
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: Any = "auto",
        min_resources: Any = "smallest",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: Any = True,
        error_score: Any = np.nan,
        return_train_score: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        cluster: Any = None,
        store: Any = None,
        seed: int = 0,
        resources: Mapping[str, Any] | None = None,
        step_seconds: float | None = None,
        step_memory: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_candidates=n_candidates,
            factor=factor,
            resource=resource,
            max_resources=max_resources,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            cv=cv,
            scoring=scoring,
            refit=refit,
            error_score=error_score,
            return_train_score=return_train_score,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.cluster, self.store, self.seed, self.resources = cluster, store, seed, resources
        self.step_seconds, self.step_memory = step_seconds, step_memory

    def _space(self) -> dict[str, Any]:
        space = {"param_distributions": self.param_distributions, "n_candidates": self.n_candidates}
        return {**space, **super()._space()}
