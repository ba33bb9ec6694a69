"""What the searches of `test_shared_store` ask. Its code is part of their keys, so it imports little."""

from __future__ import annotations

import time

import numpy as np
from counted import Stump, note, where
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline


class Prepared(TransformerMixin, BaseEstimator):
    """A transformer that changes nothing and takes its time; each fit is a line in `log`."""

    def __init__(self, log="", pause=0.0):
        self.log, self.pause = log, pause

    def fit(self, X, y=None):
        time.sleep(self.pause)
        note(self.log, f"prepare {len(X)} {float(np.sum(X)).hex()} {where()}")
        return self

    def transform(self, X):
        return X


def question(thresholds, log="/dev/null", pause=0.0):
    """(estimator, grid): two steps that take `pause` seconds each, and two columns by so many thresholds."""
    steps = [("prep", Prepared(log, pause)), ("stump", Stump(log=log, pause=pause))]
    return Pipeline(steps), {"stump__column": [0, 2], "stump__threshold": list(thresholds)}


def told(table):
    """What must not depend on who computed it: parameters, scores to the bit, ranks."""
    columns = zip(table["params"], table["mean_test_score"], table["rank_test_score"], strict=True)
    return [[sorted(params.items()), float(score).hex(), int(rank)] for params, score, rank in columns]
