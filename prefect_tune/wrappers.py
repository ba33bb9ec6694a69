"""Estimators that meet data larger than memory: answers block by block, training block after block.

The wrapped estimator stays what it is: in memory its own methods answer, and what it learned is read off it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from prefect_tune.blockwise import METAS, answer, by_rows, count_of, in_memory, is_dask, lined_up, rows_of
from prefect_tune.blockwise_fit import train, with_classes
from prefect_tune.blockwise_score import METRICS, own_score, own_scoring, score_of, scorer_of
from prefect_tune.errors import DataError, ScoringError, UserError

# What the wrapper has where the estimator has it.
OPTIONAL = {
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "score"),
    *("transform", "inverse_transform", "get_feature_names_out", "set_output", "partial_fit"),
}


def _has(method: str) -> Callable[[Any], bool]:
    """A check whether the wrapped estimator has the method."""
    return lambda self: hasattr(self._wrapped(), method)


def _blockwise(method: str, summary: str) -> Any:
    """A method that asks the estimator, block by block where X is a Dask collection."""

    def ask(self: Any, X: Any) -> Any:
        return self._ask(method, X)

    ask.__name__, ask.__qualname__ = method, f"ParallelPostFit.{method}"
    ask.__doc__ = f"{summary}; of a Dask collection lazily, block by block."
    return available_if(_has(method))(ask)


class ParallelPostFit(MetaEstimatorMixin, BaseEstimator):
    """An estimator trained in memory that answers to Dask collections lazily, block by block.

    Args:
        estimator: what is trained; or what is trained already, and asked as it is where `fit` is not called.
            A clone forgets what it learned, as ever in scikit-learn, unless it is in a `FrozenEstimator`.
        scoring: as in scikit-learn: a name, a scorer, or several of them. None: the estimator's own score.
        predict_meta, predict_proba_meta, transform_meta: an empty array or frame of the type, dtype and
            columns of the answer. None: found on one made-up row. With a frame here, an estimator that
            answers with arrays gives frames, indexed as the rows were.

    Attributes:
        estimator_: the fitted clone. What it learned (`coef_`, `classes_`) is found on the wrapper too.

    A lazy answer comes from the estimator as it was when asked; later training does not change it.
    """

    # Not data that travels with X.
    __metadata_request__score = {"compute": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        estimator: Any = None,
        scoring: Any = None,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
    ) -> None:
        self.estimator = estimator
        self.scoring = scoring
        self.predict_meta = predict_meta
        self.predict_proba_meta = predict_proba_meta
        self.transform_meta = transform_meta

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The wrapper, a clone of the estimator fitted in memory; Dask collections are computed first."""
        estimator = self._unfitted()
        X, y, fit_params = in_memory(X, y, fit_params)
        estimator.fit(X, *_given(y), **fit_params)
        self.estimator_ = estimator
        return self

    @available_if(_has("partial_fit"))
    def partial_fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The wrapper, its estimator taught more in memory; Dask collections are computed first."""
        estimator = copy.deepcopy(self._wrapped())
        X, y, fit_params = in_memory(X, y, fit_params)
        estimator.partial_fit(X, *_given(y), **fit_params)
        self.estimator_ = estimator
        return self

    predict = _blockwise("predict", "A prediction for each row")
    predict_proba = _blockwise("predict_proba", "Probabilities, a column for each of `classes_`")
    predict_log_proba = _blockwise("predict_log_proba", "Logarithms of the probabilities")
    decision_function = _blockwise("decision_function", "Decision values for each row")
    score_samples = _blockwise("score_samples", "A score for each row")
    transform = _blockwise("transform", "The transformed rows")
    inverse_transform = _blockwise("inverse_transform", "The rows before they were transformed")

    @available_if(lambda self: self.scoring is not None or hasattr(self._wrapped(), "score"))
    def score(self, X: Any, y: Any = None, *, sample_weight: Any = None, compute: bool = True) -> Any:
        """The score scikit-learn gives for all rows together.

        On Dask collections, accuracy, r2 and the negated mean squared, root mean squared and mean absolute
        errors, by name or as the estimator's own score, take a few sums from each block. For other scorers
        the answers they ask for are made block by block, then gathered here with the target: columns as long
        as X. An own score of another kind, such as that of KMeans, gets all of X in memory, with a warning.

        Args:
            X: rows.
            y: target, a Dask collection or in memory.
            sample_weight: a weight for each row, as `y`; None: all the same.
            compute: False for a Delayed score.

        Raises:
            DataError: when the blocks of X and y do not line up.
            ScoringError: when `scoring` is unknown, or cannot be delayed.
        """
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        if not any(is_dask(value) for value in (X, y, sample_weight)):
            if self.scoring is None:
                return self._answering().score(X, *_given(y), **weight)
            return scorer_of(self, self.scoring)(self, X, y, **weight)
        if not is_dask(X):
            raise DataError(
                "score: y or sample_weight is a Dask collection and X is not; compute them first."
            )
        lazy = self._lazy_score(by_rows(X), y, weight, gather=compute)
        return lazy.compute() if compute and is_dask(lazy) else lazy

    @available_if(_has("get_feature_names_out"))
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Names of the columns that `transform` gives."""
        return self._answering().get_feature_names_out(input_features)

    @available_if(_has("set_output"))
    def set_output(self, *, transform: Any = None) -> Any:
        """The wrapper, its estimator set to answer with frames, or not."""
        self.estimator.set_output(transform=transform)
        if "estimator_" in vars(self):
            self.estimator_ = copy.deepcopy(self.estimator_).set_output(transform=transform)
        return self

    def _lazy_score(self, X: Any, y: Any, weight: Mapping[str, Any], *, gather: bool) -> Any:
        """The score on a Dask collection: Delayed, or a number where it had to be gathered."""
        estimator = self._answering()
        scoring = own_scoring(estimator) if self.scoring is None else self.scoring
        if scoring is None:
            return own_score(estimator, X, y, weight)
        # A target in memory can be cut where X is only if that is known.
        known = rows_of(X) is not None or all(is_dask(value) for value in (y, *weight.values()))
        if isinstance(scoring, str) and scoring in METRICS and y is not None and known:
            return score_of(scoring, y, self.predict(X), weight.get("sample_weight"))
        if not gather:
            raise ScoringError(
                f"score(compute=False): {scoring!r} needs all answers in one place; use compute=True, or "
                f"one of {', '.join(METRICS)} with y in blocks."
            )
        asked = _Gathering(estimator, None, self.predict_meta, self.predict_proba_meta, self.transform_meta)
        scorer = scorer_of(asked, scoring)
        y, weight = in_memory(y, weight)
        return scorer(asked, X, y, **weight)

    def _ask(self, method: str, X: Any) -> Any:
        """The answer of the estimator, blockwise where X is."""
        meta = getattr(self, METAS[method]) if method in METAS else None
        return answer(self._answering(), method, X, meta)

    def _wrapped(self) -> Any:
        """The fitted clone, or else the estimator that was given."""
        return vars(self).get("estimator_", vars(self).get("estimator"))

    def _answering(self) -> Any:
        """The estimator that answers."""
        return self._wrapped()

    def _unfitted(self) -> Any:
        """A clone to be trained.

        Raises:
            UserError: when there is no estimator.
            ScoringError: when `scoring` is unknown; better before training than after.
        """
        if self.estimator is None:
            raise UserError(f"{type(self).__name__}: there is no estimator; give one, as the first argument.")
        if self.scoring is not None:
            scorer_of(self.estimator, self.scoring)
        return clone(self.estimator)

    def __getattr__(self, name: str) -> Any:
        """What the estimator learned; called where the wrapper itself has no such attribute."""
        owner = type(self).__name__
        if name in OPTIONAL:
            raise AttributeError(
                f"{owner}: the wrapped estimator {self._wrapped()!r} has no method {name!r}."
            )
        if name == "estimator_" or name.startswith("_") or not name.endswith("_"):
            raise AttributeError(f"{owner!r} object has no attribute {name!r}")
        return getattr(self._answering(), name)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is an estimator that can be asked."""
        try:
            check_is_fitted(self._answering())
        except (NotFittedError, TypeError):
            return False
        return True

    def __sklearn_tags__(self) -> Any:
        """The tags of the wrapped estimator."""
        return get_tags(self.estimator) if self.estimator is not None else super().__sklearn_tags__()


class _Gathering(ParallelPostFit):
    """A wrapper as a scorer sees it: blockwise answers, in memory."""

    def _ask(self, method: str, X: Any) -> Any:
        return in_memory(super()._ask(method, X))[0]


class Incremental(ParallelPostFit):
    """An estimator trained by `partial_fit` on one block after another, which answers as `ParallelPostFit`.

    Args:
        estimator: an estimator with `partial_fit`; training begins with a clone.
        scoring: as in `ParallelPostFit`.
        shuffle_blocks: whether the blocks come in random order; rows within a block stay where they are.
        random_state: decides the order, as in scikit-learn.
        assume_equal_chunks: True: blocks of y that are known to differ from those of X are an error; False:
            an Array y is rechunked like X.
        predict_meta, predict_proba_meta, transform_meta: as in `ParallelPostFit`.

    Attributes:
        estimator_: the trained clone. What it learned (`coef_`, `classes_`) is found on the wrapper too.

    With a `distributed.Client` active training runs on its workers, without one in this thread. Data in
    memory are one block.
    """

    def __init__(
        self,
        estimator: Any = None,
        scoring: Any = None,
        shuffle_blocks: bool = True,
        random_state: Any = None,
        assume_equal_chunks: bool = True,
        predict_meta: Any = None,
        predict_proba_meta: Any = None,
        transform_meta: Any = None,
    ) -> None:
        super().__init__(estimator, scoring, predict_meta, predict_proba_meta, transform_meta)
        self.shuffle_blocks = shuffle_blocks
        self.random_state = random_state
        self.assume_equal_chunks = assume_equal_chunks

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The wrapper, a clone of the estimator trained on each block once.

        Args:
            X: rows; Dask Array, DataFrame or in memory.
            y: target, in the same blocks.
            **fit_params: for each call of `partial_fit`. Dask collections and `sample_weight` are cut where X
                is. `classes`, where a classifier needs and nobody gives them, are found by a pass over y.

        Raises:
            UserError: when the estimator has no `partial_fit`.
            DataError: when blocks do not line up, or there is no row.
        """
        return self._train(self._unfitted(), X, y, fit_params)

    def partial_fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The wrapper, its estimator trained on each block once more; the first time the same as `fit`."""
        begun = "estimator_" in vars(self)
        return self._train(copy.deepcopy(self.estimator_) if begun else self._unfitted(), X, y, fit_params)

    def _train(self, estimator: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
        """The wrapper, this estimator trained on each block."""
        if not hasattr(estimator, "partial_fit"):
            raise UserError(
                f"Incremental: {type(estimator).__name__} has no partial_fit, so it cannot learn block by "
                "block; choose an estimator that has, or train in memory with ParallelPostFit."
            )
        by_row = {name: value for name, value in params.items() if is_dask(value) or name == "sample_weight"}
        beside = {name: value for name, value in {"y": y, **by_row}.items() if value is not None}
        fixed = {name: value for name, value in params.items() if name not in by_row}
        if is_dask(X):
            X = by_rows(X)
            beside = lined_up(X, beside, rechunk=not self.assume_equal_chunks)
            fixed, order = with_classes(estimator, beside.get("y"), fixed), list(range(count_of(X)))
            if self.shuffle_blocks:
                check_random_state(self.random_state).shuffle(order)
            self.estimator_ = train(estimator, X, beside, fixed, order)
            return self
        if wrong := [name for name, value in beside.items() if is_dask(value)]:
            raise DataError(f"X is in memory and {', '.join(wrong)} a Dask collection; compute it first.")
        rest = {name: value for name, value in beside.items() if name != "y"}
        estimator.partial_fit(X, *_given(y), **with_classes(estimator, y, fixed), **rest)
        self.estimator_ = estimator
        return self

    def _answering(self) -> Any:
        if "estimator_" not in vars(self):
            raise NotFittedError("This Incremental is not fitted yet; call fit or partial_fit first.")
        return self.estimator_


def _given(y: Any) -> tuple[Any, ...]:
    """The target as positional arguments: none where there is none."""
    return () if y is None else (y,)
