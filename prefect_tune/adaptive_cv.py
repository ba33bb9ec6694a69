"""dask-ml's adaptive searches, run as Prefect flows: the same classes to the user, another engine below.

`fit` hands the search to the flow and reads the result back into the attributes that dask-ml documents; what
a fitted search predicts, it predicts block by block, as `ParallelPostFit` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from prefect_tune.adaptive_base import AdaptiveSearchCV
from prefect_tune.schedules import hyperband, hyperband_metadata


class HyperbandSearchCV(AdaptiveSearchCV):
    """dask-ml's `HyperbandSearchCV`, run as a Prefect flow: each bracket a subflow, every round remembered.

    Args:
        estimator: an estimator with `partial_fit`, or a pipeline that ends in one.
        parameters: name -> distribution or list of values.
        max_iter: `partial_fit` calls (units of `resource`) that no candidate exceeds.
        aggressiveness: factor between rungs, at least 2.
        patience, tol: stop candidates whose score no longer rises; True looks back over
            `max_iter // aggressiveness` calls.
        test_size: share of each chunk that is scored.
        random_state: seed of candidates, split and order; None: derived from `seed`, so that a second run
            repeats.
        scoring: a scorer, or several of them with `refit` naming the one that ranks.
        verbose: whether progress is shown.
        prefix: put before the name of the search.
        predict_meta, predict_proba_meta, transform_meta: as in `ParallelPostFit`.
        brackets, bracket_sizes: as in `hyperband_search`.
        refit: True trains the best once more on all rows.
        cv, validation, chunk_size, columns, resource, error_score, prefix_rows, keep_checkpoints: as in
            `hyperband_search`.
        n_jobs: number of local workers; None: all cores.
        cluster, store, seed, resources, step_seconds, step_memory: as in `GridSearchCV` here.

    Attributes:
        best_estimator_, best_params_, best_score_, best_index_, cv_results_, history_, model_history_,
        metadata_, scorer_, n_splits_, multimetric_: as in dask-ml. `rank_test_score` is over all brackets.
        search_result_: the `AdaptiveResult`: cost, reuse, failures, where the report lies.

    Source: Li et al., "Hyperband", JMLR 18 (2018); Sievert, Augspurger and Rocklin, SciPy 2019.
    """

    _kind = "hyperband"
    _own = ("max_iter", "aggressiveness", "brackets", "bracket_sizes")

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        max_iter: int = 81,
        aggressiveness: float = 3,
        patience: Any = False,
        tol: float | None = 1e-3,
        test_size: float | None = None,
        random_state: Any = None,
        scoring: Any = None,
        verbose: Any = False,
        prefix: str = "",
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
        *,
        brackets: Any = None,
        bracket_sizes: str = "jmlr",
        refit: Any = False,
        cv: Any = None,
        validation: Any = None,
        chunk_size: int | None = None,
        columns: Any = None,
        resource: str = "partial_fit",
        error_score: Any = np.nan,
        prefix_rows: int | None = None,
        keep_checkpoints: int | None = None,
        n_jobs: int | None = None,
        cluster: Any = None,
        store: Any = None,
        seed: int = 0,
        resources: Mapping[str, Any] | None = None,
        step_seconds: float | None = None,
        step_memory: Any = None,
    ) -> None:
        self._keep(locals())

    @property
    def metadata(self) -> dict[str, Any]:
        """What `fit` will do, bracket by bracket. Nothing is drawn or trained for it."""
        brackets = hyperband(
            self.max_iter, eta=self.aggressiveness, bracket_sizes=self.bracket_sizes, brackets=self.brackets
        )
        found = hyperband_metadata(brackets)
        shared = {
            "aggressiveness": self.aggressiveness, "max_iter": self.max_iter, "patience": self.patience,
            "tol": self.tol, "test_size": self.test_size, "scoring": self.scoring, "verbose": self.verbose,
        }  # fmt: skip
        first = {bracket.name: bracket.rungs[0] for bracket in brackets}
        for entry in found["brackets"]:
            rung = first[entry["bracket"]]
            entry["SuccessiveHalvingSearchCV params"] = {
                **shared,
                "n_initial_parameters": rung.size,
                "n_initial_iter": rung.resource,
                "prefix": f"bracket={entry['bracket']}",
            }
        return found


class SuccessiveHalvingSearchCV(AdaptiveSearchCV):
    """dask-ml's `SuccessiveHalvingSearchCV`, run as a Prefect flow.

    Args:
        n_initial_parameters: number of candidates, or `"grid"`.
        n_initial_iter: calls before the first comparison; None: from `max_iter`.
        max_iter: calls that no candidate exceeds; None: as the rungs come.
        aggressiveness: factor between rungs, at least 2.

    All other arguments and attributes: as in `HyperbandSearchCV`.

    Source: Jamieson and Talwalkar, "Non-stochastic best arm identification", AISTATS 2016.
    """

    _kind = "successive_halving"
    _own = ("n_initial_parameters", "n_initial_iter", "max_iter", "aggressiveness")

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        n_initial_parameters: Any = 10,
        n_initial_iter: int | None = None,
        max_iter: int | None = None,
        aggressiveness: float = 3,
        test_size: float | None = None,
        patience: Any = False,
        tol: float | None = 1e-3,
        random_state: Any = None,
        scoring: Any = None,
        verbose: Any = False,
        prefix: str = "",
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
        *,
        refit: Any = False,
        cv: Any = None,
        validation: Any = None,
        chunk_size: int | None = None,
        columns: Any = None,
        resource: str = "partial_fit",
        error_score: Any = np.nan,
        prefix_rows: int | None = None,
        keep_checkpoints: int | None = None,
        n_jobs: int | None = None,
        cluster: Any = None,
        store: Any = None,
        seed: int = 0,
        resources: Mapping[str, Any] | None = None,
        step_seconds: float | None = None,
        step_memory: Any = None,
    ) -> None:
        self._keep(locals())


class IncrementalSearchCV(AdaptiveSearchCV):
    """dask-ml's `IncrementalSearchCV`, run as a Prefect flow: all candidates train on, none is dropped.

    Args:
        n_initial_parameters: number of candidates, or `"grid"`.
        decay_rate: deprecated in dask-ml; a number makes this an `InverseDecaySearchCV`.
        fits_per_score: calls between two scores.
        max_iter: calls that each candidate gets at most.
        scores_per_fit: deprecated name of `fits_per_score`.

    All other arguments and attributes: as in `HyperbandSearchCV`.
    """

    _own = ("n_initial_parameters", "fits_per_score", "max_iter")

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        n_initial_parameters: Any = 10,
        decay_rate: float | None = None,
        test_size: float | None = None,
        patience: Any = False,
        tol: float | None = 1e-3,
        fits_per_score: int = 1,
        max_iter: int = 100,
        random_state: Any = None,
        scoring: Any = None,
        verbose: Any = False,
        prefix: str = "",
        scores_per_fit: int | None = None,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
        *,
        refit: Any = False,
        cv: Any = None,
        validation: Any = None,
        chunk_size: int | None = None,
        columns: Any = None,
        resource: str = "partial_fit",
        error_score: Any = np.nan,
        prefix_rows: int | None = None,
        keep_checkpoints: int | None = None,
        n_jobs: int | None = None,
        cluster: Any = None,
        store: Any = None,
        seed: int = 0,
        resources: Mapping[str, Any] | None = None,
        step_seconds: float | None = None,
        step_memory: Any = None,
    ) -> None:
        self._keep(locals())

    @property
    def _kind(self) -> str:  # type: ignore[override]
        return "inverse_decay" if self.decay_rate else "incremental"

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """See the other classes; deprecated arguments are said here."""
        if self.decay_rate:
            message = "decay_rate: use InverseDecaySearchCV, which this search now runs as."
            warnings.warn(message, FutureWarning, stacklevel=2)
        if self.scores_per_fit is not None:
            message = "scores_per_fit: use fits_per_score, which takes its value now."
            warnings.warn(message, FutureWarning, stacklevel=2)
        return super().fit(X, y, **fit_params)

    def _asked(self) -> dict[str, Any]:
        asked = super()._asked()
        if self.scores_per_fit is not None:
            asked["fits_per_score"] = self.scores_per_fit
        return {**asked, "decay_rate": self.decay_rate} if self.decay_rate else asked


class InverseDecaySearchCV(AdaptiveSearchCV):
    """dask-ml's `InverseDecaySearchCV`, run as a Prefect flow: candidates are dropped along an inverse decay.

    Args:
        n_initial_parameters: number of candidates, or `"grid"`.
        fits_per_score, max_iter: as in `IncrementalSearchCV`.
        decay_rate: how fast candidates are dropped; after t calls `n_initial_parameters / (1 + t) **
            decay_rate` are left.

    All other arguments and attributes: as in `HyperbandSearchCV`.
    """

    _kind = "inverse_decay"
    _own = ("n_initial_parameters", "fits_per_score", "max_iter", "decay_rate")

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        n_initial_parameters: Any = 10,
        test_size: float | None = None,
        patience: Any = False,
        tol: float | None = 1e-3,
        fits_per_score: int = 1,
        max_iter: int = 100,
        random_state: Any = None,
        scoring: Any = None,
        verbose: Any = False,
        prefix: str = "",
        decay_rate: float = 1.0,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
        *,
        refit: Any = False,
        cv: Any = None,
        validation: Any = None,
        chunk_size: int | None = None,
        columns: Any = None,
        resource: str = "partial_fit",
        error_score: Any = np.nan,
        prefix_rows: int | None = None,
        keep_checkpoints: int | None = None,
        n_jobs: int | None = None,
        cluster: Any = None,
        store: Any = None,
        seed: int = 0,
        resources: Mapping[str, Any] | None = None,
        step_seconds: float | None = None,
        step_memory: Any = None,
    ) -> None:
        self._keep(locals())
