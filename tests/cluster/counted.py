"""Estimators that leave a trace on disk, so that a test can count what ran, and where, in any process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin


def note(log: str, text: str) -> None:
    """Appends a line; in one write, so that lines of several processes do not mix."""
    with open(log, "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


def lines(log: Path) -> list[str]:
    """The lines so far."""
    return log.read_text().splitlines() if log.exists() else []


def where() -> str:
    """Name of the Dask worker that this code runs on, or the process id."""
    from distributed import get_worker

    try:
        return str(get_worker().name)
    except ValueError:
        return str(os.getpid())


class Stump(ClassifierMixin, BaseEstimator):
    """A classifier that compares one column with a threshold; each fit is a line in `log`.

    Args:
        column, threshold: its rule.
        log: the file.
        pause: seconds that a fit takes.
        dies: value of `threshold` at which fit kills its process, `times` times.
        far: whether it kills the worker even from a process of its own.
    """

    def __init__(self, column=0, threshold=0.0, log="", pause=0.0, dies=None, times=1, far=False):
        self.column, self.threshold, self.log = column, threshold, log
        self.pause, self.dies, self.times, self.far = pause, dies, times, far

    def fit(self, X, y):
        if self.threshold == self.dies and sum("dies" in line for line in lines(Path(self.log))) < self.times:
            note(self.log, f"dies {where()}")
            if self.far and where() == str(os.getpid()):  # the worker has started what forks such processes
                psutil.Process(os.getppid()).parent().kill()
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.pause)
        self.classes_ = np.unique(y)
        above = y[X[:, self.column] > self.threshold]
        self.above_ = np.bincount(above).argmax() if len(above) else 0
        note(self.log, f"fit {self.column} {self.threshold} {where()}")
        return self

    def predict(self, X):
        return np.where(X[:, self.column] > self.threshold, self.above_, 0)


class Glutton(Stump):
    """A `Stump` that takes all memory it can get where `threshold` is `dies`."""

    def fit(self, X, y):
        taken = []
        while self.threshold == self.dies:
            taken.append(b"x" * (16 << 20))
            time.sleep(0.02)
        return super().fit(X, y)


class Noted(TransformerMixin, BaseEstimator):
    """A transformer that changes nothing; each fit is a line in `log`."""

    def __init__(self, log=""):
        self.log = log

    def fit(self, X, y=None):
        note(self.log, f"prepare {where()}")
        return self

    def transform(self, X):
        return X


def X_y():
    """The data of all programs."""
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True)
