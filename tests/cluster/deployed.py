"""What deployed searches train: it leaves lines in a file, and fails for as long as another file is there."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from counted import Stump, note
from paced import Paced


def broken(log: Path | str) -> Path:
    """The file that makes some fits fail."""
    return Path(f"{log}.broken")


class Fragile(Stump):
    """A stump of which a threshold of 2.0 cannot be fitted while something is broken."""

    def fit(self, X, y):
        if self.threshold == 2.0 and broken(self.log).exists():
            raise RuntimeError("the licence server does not answer")
        return super().fit(np.asarray(X), np.asarray(y))

    def predict(self, X):
        return super().predict(np.asarray(X))


class Unsteady(Paced):
    """A learner whose fifth call cannot be made while something is broken."""

    def partial_fit(self, X, y):
        if getattr(self, "calls_", 0) == 4 and broken(self.log).exists():
            raise RuntimeError("the licence server does not answer")
        return super().partial_fit(np.asarray(X), np.asarray(y))

    def predict(self, X):
        return super().predict(np.asarray(X))

    def score(self, X, y, sample_weight=None):
        return super().score(np.asarray(X), np.asarray(y))


def slowly(config, resume):
    """Nine epochs, each some tenths of a second and a line."""
    for epoch in range((resume or 0) + 1, 10):
        time.sleep(config["pause"])
        note(config["log"], f"{config['x']!r} {epoch}")
        yield {"epoch": epoch, "loss": config["x"] / epoch}, epoch
