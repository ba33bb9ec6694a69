"""scikit-learn's searches, run as cached Prefect flows: the same classes to the user, another engine below.

Everything but `fit` is scikit-learn's own: prediction, scoring, tags, representation, routing. `fit` hands
the search to the flow and reads the result back into the documented attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import model_selection
from sklearn.utils.validation import indexable

from prefect_tune.model import load_model
from prefect_tune.results import SearchResult


class _FlowSearch:
    """What the classes share: the extra settings, and `fit`."""

    _flow_name: str

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """The search itself, fitted.

        Args:
            X: data: array, sparse matrix, frame, list; (n_samples, n_features), or (n_samples, n_samples)
                for precomputed kernels.
            y: target; None for unsupervised learning.
            **params: arguments for `fit` of the estimator, for the scorer and the splitter (`groups`).

        Raises:
            UserError: for anything that cannot work, before any work is submitted.
        """
        self._validate_params()  # type: ignore[attr-defined]
        X, y = indexable(X, y)
        workers = self.n_jobs if self.n_jobs and self.n_jobs > 0 else None  # type: ignore[attr-defined]
        asked = {
            "sklearn": self,
            "estimator": self.estimator,  # type: ignore[attr-defined]
            **self._space(),
            "X": X,
            "y": y,
            "scoring": self.scoring,  # type: ignore[attr-defined]
            "cv": self.cv,  # type: ignore[attr-defined]
            "fit_params": params,
            "seed": self.seed,  # type: ignore[attr-defined]
            "name": self._flow_name,
            "store": self.store,  # type: ignore[attr-defined]
            "cluster": self.cluster,  # type: ignore[attr-defined]
            "n_workers": workers,
            "resources": self.resources,  # type: ignore[attr-defined]
            "step_seconds": self.step_seconds,  # type: ignore[attr-defined]
            "step_memory": self.step_memory,  # type: ignore[attr-defined]
            "verbose": self.verbose,  # type: ignore[attr-defined]
        }
        self._adopt(self._flow().start(asked))
        return self

    def _flow(self) -> Any:
        from prefect_tune.flows import search as flows

        return getattr(flows, self._flow_name.replace("-", "_"))

    def _space(self) -> dict[str, Any]:
        raise NotImplementedError

    def _adopt(self, result: SearchResult) -> None:
        """Sets the fitted attributes that scikit-learn documents."""
        scorer, _ = self._get_scorers()  # type: ignore[attr-defined]
        self.scorer_ = dict(scorer._scorers) if hasattr(scorer, "_scorers") else scorer
        self.cv_results_ = dict(result.cv_results)
        self.n_splits_ = result.n_splits
        self.multimetric_ = isinstance(self.scorer_, dict) or result.metrics != ("score",)
        self.search_result_ = result
        refit = self.refit  # type: ignore[attr-defined]
        if refit or not self.multimetric_:
            self.best_index_ = result.best_index
            self.best_params_ = self.cv_results_["params"][result.best_index]
            if not callable(refit):
                self.best_score_ = self.cv_results_[f"mean_test_{result.metric}"][result.best_index]
        if refit and result.model is not None:
            self.best_estimator_ = load_model(result.model, like=[self.estimator, self.best_params_])  # type: ignore[attr-defined]
            self.refit_time_ = result.refit_seconds
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_


class GridSearchCV(_FlowSearch, model_selection.GridSearchCV):
    """scikit-learn's `GridSearchCV`, run as a Prefect flow with shared and remembered steps.

    Args:
        estimator, param_grid, scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score,
        return_train_score: as in scikit-learn. `n_jobs` is the number of local workers (None: all cores)
            where no cluster is given; `pre_dispatch` is accepted and means nothing here.
        cluster: address of a Dask scheduler, a started cluster, or `{"class": ..., "kwargs": ...}`.
        store: folder of the store; None: `tune` in PREFECT_HOME.
        seed: fills every `random_state=None`, by derivation, so that results repeat and may be shared.
        resources: Dask resources by step, such as `{"clf": {"GPU": 1}}`.
        step_seconds: the longest that one fit, transform or scoring may take. With a limit, steps run in
            processes that can be killed.
        step_memory: the most memory that one of them may take: bytes, or a text such as "2 GiB".

    Attributes:
        search_result_: the `SearchResult`: cost, reuse, failures, where the report lies.

    All other attributes are those of scikit-learn.
    """

    _flow_name = "grid-search"

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        error_score: Any = np.nan,
        return_train_score: bool = False,
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
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.cluster, self.store, self.seed, self.resources = cluster, store, seed, resources
        self.step_seconds, self.step_memory = step_seconds, step_memory

    def _space(self) -> dict[str, Any]:
        return {"param_grid": self.param_grid}


class RandomizedSearchCV(_FlowSearch, model_selection.RandomizedSearchCV):
    """scikit-learn's `RandomizedSearchCV`, run as a Prefect flow with shared and remembered steps.

    With `random_state=None` the draw is derived from `seed`, so that a second run asks the same questions.

    Args:
        estimator, param_distributions, n_iter, scoring, n_jobs, refit, cv, verbose, pre_dispatch,
        random_state, error_score, return_train_score: as in scikit-learn.
        cluster, store, seed, resources, step_seconds, step_memory: as in `GridSearchCV` here.
    """

    _flow_name = "randomized-search"

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
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
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.cluster, self.store, self.seed, self.resources = cluster, store, seed, resources
        self.step_seconds, self.step_memory = step_seconds, step_memory

    def _space(self) -> dict[str, Any]:
        space = {"param_distributions": self.param_distributions, "n_iter": self.n_iter}
        return {**space, "random_state": self.random_state}
