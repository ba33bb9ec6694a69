"""What dask-ml's four adaptive search classes share: `fit` by a flow, and the attributes that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.metrics import check_scoring

from prefect_tune.model import load_model
from prefect_tune.races import draw_races
from prefect_tune.results import AdaptiveResult
from prefect_tune.wrappers import ParallelPostFit

_OURS = (
    "refit", "cv", "validation", "chunk_size", "columns", "resource", "error_score", "prefix_rows",
    "keep_checkpoints", "n_jobs", "cluster", "store", "seed", "resources", "step_seconds",
    "step_memory",
)  # fmt: skip


class AdaptiveSearchCV(ParallelPostFit):
    """An adaptive search in scikit-learn's idiom.

    Subclasses name the flow's kind, `_kind`, and the arguments that are theirs alone, `_own`.
    """

    _kind: str
    _own: tuple[str, ...]

    def _keep(self, given: Mapping[str, Any]) -> None:
        """Keeps the constructor's arguments under their names, as scikit-learn's conventions ask."""
        for name, value in given.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The search itself, fitted.

        Args:
            X: array, frame, sparse matrix, dask collection, or the path of a Parquet file or folder.
            y: target; like X, or the name of a column of Parquet data.
            **fit_params: arguments of `partial_fit`: `classes` for classifiers, `sample_weight`; and `groups`
                for the split.

        Raises:
            UserError: for anything that cannot work, before any work is submitted.
        """
        from prefect_tune.flows import adaptive

        asked = {**self._asked(), "X": X, "y": y, "fit_params": fit_params}
        result = getattr(adaptive, f"{self._kind}_search").start(asked)
        return self._adopt(result)

    def _asked(self) -> dict[str, Any]:
        """The flow's parameters, data aside."""
        from prefect_tune.flows.adaptive.ready import NAMES

        own = {name: getattr(self, name) for name in self._own}
        ours = {name: getattr(self, name) for name in _OURS if name != "n_jobs"}
        jobs = self.n_jobs
        return {
            **own,
            **ours,
            "estimator": self.estimator,
            "parameters": self.parameters,
            "patience": self.patience,
            "tol": self.tol,
            "test_size": self.test_size,
            "random_state": self.random_state,
            "scoring": self.scoring,
            "n_workers": jobs if jobs and jobs > 0 else None,
            "worker_resources": None,
            "name": f"{self.prefix}-{NAMES[self._kind]}" if self.prefix else NAMES[self._kind],
            # dask-ml takes True, False or a share of the messages.
            "verbose": 1 if self.verbose else 0,
        }

    def _adopt(self, result: AdaptiveResult) -> Any:
        """Sets the fitted attributes that dask-ml documents."""
        self.search_result_ = result
        self.cv_results_ = dict(result.cv_results)
        self.history_ = [dict(entry) for entry in result.history]
        self.model_history_: dict[Any, list[dict[str, Any]]] = {}
        for entry in self.history_:
            self.model_history_.setdefault(entry["model_id"], []).append(entry)
        self.metadata_ = dict(result.metadata_done)
        self.best_index_ = result.best_index
        self.best_params_ = dict(result.best_params or {})
        self.best_score_ = result.best_score
        self.n_splits_ = result.n_splits
        self.multimetric_ = result.metrics != ("score",)
        self.scorer_ = check_scoring(self.estimator, scoring=self._ranking())
        assert result.model is not None  # an adaptive search always keeps its best
        self.best_estimator_ = load_model(result.model, like=[self.estimator, self.best_params_])
        return self

    def _ranking(self) -> Any:
        """The scorer that ranks, as `scoring` names it."""
        if isinstance(self.scoring, Mapping):
            return self.scoring[self.refit]
        return self.refit if isinstance(self.scoring, (list, tuple, set)) else self.scoring

    def score(self, X: Any, y: Any = None, **options: Any) -> Any:
        """The score of the best model by the metric that ranks; see `ParallelPostFit.score`."""
        plain = ParallelPostFit(
            self._answering(),
            self._ranking(),
            self.predict_meta,
            self.predict_proba_meta,
            self.transform_meta,
        )
        return plain.score(X, y, **options)

    def _wrapped(self) -> Any:
        return vars(self).get("best_estimator_", vars(self).get("estimator"))

    def __sklearn_is_fitted__(self) -> bool:
        """Whether the search was fitted; the estimator alone answers nothing."""
        return "best_estimator_" in vars(self)

    def _answering(self) -> Any:
        if "best_estimator_" not in vars(self):
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet; call fit first.")
        return self.best_estimator_

    @property
    def metadata(self) -> dict[str, Any]:
        """What `fit` will do: `n_models`, `partial_fit_calls` and more. Nothing is trained for it."""
        asked = {**self._asked(), "random_state": 0}
        return dict(draw_races(self._kind, asked, 0).metadata)
