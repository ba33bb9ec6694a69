"""Estimators that learn in calls and write a line for every call, to a file that all processes share."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin

VARIABLE = "LEARNERS_FILE"


def note(line: str) -> None:
    """Nothing; the line is in the file, if one is named."""
    path = os.environ.get(VARIABLE)
    if path:
        with open(path, "ab", buffering=0) as file:
            file.write(f"{line}\n".encode())


def taken(path: Path) -> list[str]:
    """The lines since the last look."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.write_text("", encoding="utf-8")
    return lines


class Learner(ClassifierMixin, BaseEstimator):
    """A linear classifier of two classes whose every call counts; `rate` is its speed.

    Args:
        rate: step size; it tells one candidate from another.
        wrong: what goes wrong: "" or one of "raises", "exits", "dies", "hangs", "nan".
        at: the call at which it does.
        writes: whether it overwrites the rows that it is given.
        pause: seconds that a call takes.
    """

    def __init__(self, rate=0.1, wrong="", at=1, writes=False, pause=0.0):
        self.rate, self.wrong, self.at, self.writes, self.pause = rate, wrong, at, writes, pause

    def partial_fit(self, X, y):
        if not hasattr(self, "weights_"):
            self.classes_, self.weights_, self.calls_ = np.array([0, 1]), np.zeros(X.shape[1] + 1), 0
        self.calls_ += 1
        note(f"{self.rate:.6f} {self.calls_} {float(np.sum(X)):.6f}")
        time.sleep(self.pause)
        if self.calls_ == self.at and self.wrong == "raises":
            raise ArithmeticError(f"told to fail at call {self.at}")
        if self.calls_ == self.at and self.wrong == "exits":
            raise SystemExit(3)
        if self.calls_ == self.at and self.wrong == "dies":
            os._exit(0)
        if self.calls_ == self.at and self.wrong == "hangs":
            time.sleep(3600)
        if self.writes:
            X -= 1.0
        rows = np.column_stack([X, np.ones(len(X))])
        self.weights_ += (
            self.rate / self.calls_**0.5 * (y - 1 / (1 + np.exp(-rows @ self.weights_))) @ rows / len(X)
        )
        return self

    def fit(self, X, y):
        raise AssertionError("a learner is trained in calls only")

    def decision_function(self, X):
        return X @ self.weights_[:-1] + self.weights_[-1]

    def predict(self, X):
        return (self.decision_function(X) > 0).astype(int)

    def score(self, X, y, sample_weight=None):
        if self.wrong == "nan" and self.calls_ >= self.at:
            return float("nan")
        return -float(np.mean((y - 1 / (1 + np.exp(-self.decision_function(X)))) ** 2))


HELD = "LEARNERS_HELD"
"""Names the file for which `Held` waits."""


class Held(Learner):
    """A learner whose second call ends once a file is there."""

    def partial_fit(self, X, y):
        super().partial_fit(X, y)
        path = os.environ.get(HELD)
        while path and self.calls_ == 2 and not Path(path).exists():
            time.sleep(0.02)
        return self


class Sum(RegressorMixin, BaseEstimator):
    """A regressor with nothing but `fit`: it remembers how often, on how many rows and with what."""

    def __init__(self, size=1, shift=0.0):
        self.size, self.shift = size, shift

    def fit(self, X, y):
        note(f"fit {self.size} {self.shift} {len(X)}")
        self.mean_ = float(np.mean(y)) + self.shift / (self.size + len(X))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Shift(TransformerMixin, BaseEstimator):
    """A transformer that counts its fits, and the rows of each."""

    def __init__(self, by=0.0):
        self.by = by

    def fit(self, X, y=None):
        note(f"fit Shift({self.by}) on {len(X)}")
        self.mean_ = np.mean(X, axis=0)
        return self

    def transform(self, X):
        return X - self.mean_ + self.by


class Draws(Learner):
    """A learner that adds numbers from a generator of its own, which it keeps from call to call."""

    def __init__(self, rate=0.1, random_state=None):
        super().__init__(rate)
        self.random_state = random_state

    def partial_fit(self, X, y):
        if not hasattr(self, "drawn_"):
            self.drawn_ = np.random.RandomState(self.random_state)
        super().partial_fit(X, y)
        self.weights_ += 0.01 * self.drawn_.normal(size=self.weights_.shape)
        return self
