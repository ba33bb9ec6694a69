"""Small estimators for the tests of equality: each breaks or bends one rule of scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin


class Scaler(TransformerMixin, BaseEstimator):
    """A transformer without anything unusual, in the user's own module."""

    def __init__(self, factor=1.0, fail=False):
        self.factor, self.fail = factor, fail

    def fit(self, X, y=None):
        if self.fail:
            raise ArithmeticError(f"told to fail with factor={self.factor}")
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X):
        return np.asarray(X) * self.factor


class Writer(TransformerMixin, BaseEstimator):
    """A transformer that overwrites the rows it is given, as `copy=False` does."""

    def __init__(self, shift=1.0):
        self.shift = shift

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        X -= self.shift
        return X


class FailsLater(TransformerMixin, BaseEstimator):
    """A transformer that fails at `transform` of fewer than `rows` rows, so at scoring and not at fitting."""

    def __init__(self, rows=0):
        self.rows = rows

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        if len(X) < self.rows:
            raise RuntimeError(f"{len(X)} rows are too few")
        return X


class Forgetful(ClassifierMixin, BaseEstimator):
    """A classifier whose `fit` returns nothing."""

    def __init__(self, label=0):
        self.label = label

    def fit(self, X, y):
        self.classes_ = np.unique(y)

    def predict(self, X):
        return np.full(len(X), self.classes_[self.label])


class Choosy(ClassifierMixin, BaseEstimator):
    """A classifier that fails for some parameters, by an exception type of its own."""

    def __init__(self, good=True, label=0):
        self.good, self.label = good, label

    def fit(self, X, y, sample_weight=None):
        if not self.good:
            raise Refused(f"good={self.good}")
        self.classes_, counts = np.unique(y, return_counts=True)
        self.counts_ = counts
        self.weight_ = None if sample_weight is None else float(np.sum(sample_weight))
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[self.label])


class Refused(Exception):
    """What `Choosy` raises."""


class Cubes(TransformerMixin, BaseEstimator):
    """Features of 3-D arrays."""

    def __init__(self, power=1):
        self.power = power

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.concatenate([X.mean(axis=2), X.std(axis=1)], axis=1) ** self.power


class GlobalNoise(TransformerMixin, BaseEstimator):
    """A transformer that draws from numpy's global generator while it is fitted."""

    def __init__(self, scale=0.1):
        self.scale = scale

    def fit(self, X, y=None):
        self.noise_ = np.random.normal(size=X.shape[1]) * self.scale
        return self

    def transform(self, X):
        return X + self.noise_


def last_columns(X):
    """Columns of a `ColumnTransformer`, chosen when it is fitted."""
    return slice(X.shape[1] - 2, X.shape[1])


def text_columns(X):
    """Names of the columns that hold text."""
    return [name for name in X.columns if X[name].dtype.kind not in "fiub"]


def accuracy(estimator, X, y):
    """A callable scorer that returns a number."""
    return float(np.mean(estimator.predict(X) == y))


def two_scores(estimator, X, y):
    """A callable scorer that returns several numbers, and looks inside the estimator."""
    return {"acc": accuracy(estimator, X, y), "size": -len(estimator.get_params())}


def raises(estimator, X, y):
    """A scorer that fails on some estimators."""
    if len(X) % 2:
        raise KeyError("an odd number of rows")
    return accuracy(estimator, X, y)


def best_by_hand(results):
    """A callable `refit`: the last of the best candidates."""
    scores = results["mean_test_score"]
    return int(np.flatnonzero(scores == scores.max())[-1])
