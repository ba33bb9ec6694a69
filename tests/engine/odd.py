"""Estimators that harm the process in which they run, at a place that is asked for."""

from __future__ import annotations

import ctypes
import os
import signal
import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

NOTES = "ODD_NOTES"


def _hoard(step: int = 16 << 20) -> None:
    hoard = []
    while True:
        hoard.append(bytearray(b"x" * step))
        time.sleep(0.01)


def _deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def _bereft(times: int) -> None:
    if _noted("is bereft") <= times:
        os.kill(os.getppid(), signal.SIGKILL)  # what has forked this process, which ends with it
        time.sleep(3600)


def _noted(harm: str) -> int:
    with open(os.environ[NOTES], encoding="utf-8") as file:
        return file.read().splitlines().count(harm)


HARM = {
    "nothing": lambda: None,
    "sleeps": lambda: time.sleep(3600),
    "is deaf": _deaf,
    "hoards": _hoard,
    "segfaults": lambda: ctypes.string_at(0),
    "leaves": lambda: os._exit(0),
    "is bereft": lambda: _bereft(1),
    "is bereft again": lambda: _bereft(1000),
}


def do(harm: str) -> None:
    """Does the harm, and notes first that it was called for."""
    with open(os.environ[NOTES], "ab", buffering=0) as file:
        file.write(f"{harm}\n".encode())
    HARM[harm]()


class Odd(ClassifierMixin, BaseEstimator):
    """A classifier that does harm where it is fitted, or where it predicts."""

    def __init__(self, fits="nothing", predicts="nothing", shift=0):
        self.fits, self.predicts, self.shift = fits, predicts, shift

    def fit(self, X, y):
        do(self.fits)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        do(self.predicts)
        return np.full(len(X), self.classes_[self.shift % len(self.classes_)])


class OddScaler(TransformerMixin, BaseEstimator):
    """A transformer that does harm where it is fitted, and changes nothing."""

    def __init__(self, fits="nothing"):
        self.fits = fits

    def fit(self, X, y=None):
        do(self.fits)
        return self

    def transform(self, X):
        return X


class Reader(ClassifierMixin, BaseEstimator):
    """A classifier that looks at every number, in a copy of its own if `copies`."""

    def __init__(self, copies=False):
        self.copies = copies

    def fit(self, X, y):
        rows = np.array(X) if self.copies else X
        self.total_ = float(np.sum(rows))
        time.sleep(1.0)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])
