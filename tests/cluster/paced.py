"""A learner that leaves a line for each call, and kills its process where and when it is told to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from counted import note
from sklearn.base import BaseEstimator, ClassifierMixin

from prefect_tune.store import failpoints


class Paced(ClassifierMixin, BaseEstimator):
    """A linear classifier of two classes, trained in calls.

    Args:
        rate: its step size.
        log: the file.
        pause: seconds that a call takes.
        dies: "call" kills the process in call number `at` of the candidate with `rate` 0.5, a failpoint
            such as "F3" at its next passage; only once, which a file next to the log remembers.
        at: see `dies`.
    """

    def __init__(self, rate=0.1, log="", pause=0.0, dies="", at=3):
        self.rate, self.log, self.pause, self.dies, self.at = rate, log, pause, dies, at

    def fit(self, X, y):
        raise AssertionError("it is trained in calls only")

    def partial_fit(self, X, y):
        if not hasattr(self, "weights_"):
            self.classes_, self.weights_, self.calls_ = np.array([0, 1]), np.zeros(X.shape[1]), 0
        self.calls_ += 1
        note(self.log, f"{self.rate:.3f} {self.calls_}")
        time.sleep(self.pause)
        if self.dies and self.rate == 0.5 and self.calls_ == self.at:
            self._die_once()
        self.weights_ += self.rate * (y - 1 / (1 + np.exp(-X @ self.weights_))) @ X / len(X)
        return self

    def _die_once(self):
        mark = Path(f"{self.log}.{self.dies}")
        if mark.exists():
            return
        mark.touch()
        if self.dies == "call":
            os.kill(os.getpid(), signal.SIGKILL)
        failpoints.arm(f"{self.dies}:kill@1")

    def predict(self, X):
        return (X @ self.weights_ > 0).astype(int)

    def score(self, X, y, sample_weight=None):
        return -float(np.mean((y - 1 / (1 + np.exp(-X @ self.weights_))) ** 2))


def rows():
    """The data of all programs."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    return X, (X[:, 0] + 0.5 * rng.normal(size=200) > 0).astype(int)


def table(result):
    """What must not depend on what was killed: every candidate's calls, score and rank, to the bit."""
    found = result.cv_results
    columns = ("partial_fit_calls", "test_score", "rank_test_score")
    values = zip(found["model_id"], *(found[name].tolist() for name in columns), strict=True)
    best = [float(weight).hex() for weight in result.load_best().weights_]
    return [[str(name), int(calls), score.hex(), int(rank)] for name, calls, score, rank in values] + [best]
