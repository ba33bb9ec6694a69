"""Transformers and estimators that write a line for every call, to a file that all processes share."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

VARIABLE = "COUNTING_FILE"


def note(owner: object, call: str) -> None:
    """Nothing; a line says which object was called, by class and parameters."""
    path = os.environ.get(VARIABLE)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{type(owner).__name__}({owner.tag!r}).{call}\n")


def calls(path: Path) -> Counter:
    """How often each call was written since the last look."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.write_text("", encoding="utf-8")
    return Counter(lines)


class Step(TransformerMixin, BaseEstimator):
    """A transformer; `tag` tells one from another and takes part in its result."""

    def __init__(self, tag=0):
        self.tag = tag

    def fit(self, X, y=None):
        note(self, "fit")
        self.mean_ = np.mean(X, axis=0)
        return self

    def transform(self, X):
        note(self, "transform")
        return X - self.mean_ * (float(self.tag) if isinstance(self.tag, (int, float)) else 1.0)

    def fit_transform(self, X, y=None):
        note(self, "fit_transform")
        self.mean_ = np.mean(X, axis=0)
        return X - self.mean_ * (float(self.tag) if isinstance(self.tag, (int, float)) else 1.0)


class OnlyFit(TransformerMixin, BaseEstimator):
    """A transformer whose `fit_transform` is scikit-learn's: fit, then transform."""

    def __init__(self, tag=0):
        self.tag = tag

    def fit(self, X, y=None):
        note(self, "fit")
        return self

    def transform(self, X):
        note(self, "transform")
        return np.asarray(X)


class Nearest(ClassifierMixin, BaseEstimator):
    """A classifier: the nearest class mean, shrunk by `shrink`."""

    def __init__(self, tag=0, shrink=1.0):
        self.tag, self.shrink = tag, shrink

    def fit(self, X, y):
        note(self, "fit")
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == label].mean(axis=0) for label in self.classes_]) * float(self.shrink)
        return self

    def predict(self, X):
        note(self, "predict")
        distances = ((np.asarray(X)[:, None, :] - self.means_) ** 2).sum(axis=2)
        return self.classes_[distances.argmin(axis=1)]


def double(x):
    """A function to be passed as a parameter."""
    return 2 * x


def halve(x):
    """Another one."""
    return x / 2
