"""What the searches of the fault matrix train: each piece of work leaves a line in a log, in any process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from misdeeds import misbehave
from sklearn.base import BaseEstimator, ClassifierMixin

EPOCHS = 9


def note(log: str, text: str) -> None:
    """Appends a line; in one write, so that lines of several processes do not mix."""
    with open(log, "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


def lines(log: Path) -> list[str]:
    """The lines so far."""
    return log.read_text().splitlines() if log.exists() else []


class Slope(ClassifierMixin, BaseEstimator):
    """A linear classifier of two classes, for searches with `fit` and for those with `partial_fit`.

    Args:
        rate: its step size.
        log: the file.
        pause: seconds that a piece of work takes.
        does: what the candidate with `rate` 0.5 does in its last piece of work, see `misdeeds`.
    """

    def __init__(self, rate=0.1, log="", pause=0.02, does=""):
        self.rate, self.log, self.pause, self.does = rate, log, pause, does

    def fit(self, X, y):
        self.weights_ = np.zeros(X.shape[1])
        # The sum tells the folds apart.
        return self._work(X, y, f"fit {self.rate:.3f} {float(X.sum()).hex()}")

    def partial_fit(self, X, y):
        if not hasattr(self, "weights_"):
            self.weights_, self.calls_ = np.zeros(X.shape[1]), 0
        self.calls_ += 1
        return self._work(X, y, f"call {self.rate:.3f} {self.calls_}")

    def _work(self, X, y, text):
        X, y = np.asarray(X), np.asarray(y)
        self.classes_ = np.array([0, 1])
        note(self.log, text)
        time.sleep(self.pause)
        if self.does and self.rate == 0.5:
            misbehave(self.does)
        self.weights_ = self.weights_ + self.rate * (y - self._risen(X)) @ X / len(X)
        return self

    def _risen(self, X):
        return 1 / (1 + np.exp(-np.asarray(X) @ self.weights_))

    def predict(self, X):
        return (np.asarray(X) @ self.weights_ > 0).astype(int)

    def score(self, X, y, sample_weight=None):
        if self.does == "nan score" and self.rate == 0.5:
            return float("nan")
        return -float(np.mean((y - self._risen(X)) ** 2))


def rows() -> tuple[np.ndarray, np.ndarray]:
    """The data of all searches."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    return X, (X[:, 0] + 0.5 * rng.normal(size=200) > 0).astype(int)


def train(config: dict[str, Any], resume: int | None):
    """Nine epochs of a trial; the one with `x` 5 does what `does` says in its sixth."""
    for epoch in range((resume or 0) + 1, EPOCHS + 1):
        note(config["log"], f"epoch {config['x']} {epoch}")
        time.sleep(config["pause"])
        if config["does"] and config["x"] == 5 and epoch == 6:
            misbehave(config["does"])
            if config["does"] == "nan score":
                yield {"epoch": epoch, "loss": float("nan")}, epoch
        yield {"epoch": epoch, "loss": abs(config["x"] - 5) + 1 / epoch}, epoch
