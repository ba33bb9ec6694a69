"""Callbacks and objectives of the tests of callbacks and trackers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from prefect_tune.trials import TrialState
from prefect_tune.tuning.callbacks import SearchInfo

CALLS: list[tuple[Any, ...]] = []
"""What a Recorder made from its JSON form was told."""


class Recorder:
    """Writes down what it is told; inherits from nothing."""

    def __init__(self, calls: list[tuple[Any, ...]] | None = None) -> None:
        self.calls = CALLS if calls is None else calls

    def search_started(self, search: SearchInfo) -> None:
        self.calls.append(("search_started", search))

    def trial_started(self, trial: Any) -> None:
        self.calls.append(("trial_started", trial.index))

    def trial_reported(self, trial: Any, report: Any) -> None:
        self.calls.append(("trial_reported", trial.index, report.resource, report.loss))

    def trial_ended(self, trial: Any) -> None:
        assert trial.state.finished
        self.calls.append(("trial_ended", trial.index, TrialState(trial.state)))

    def search_ended(self, result: Any) -> None:
        self.calls.append(("search_ended", result))

    def search_interrupted(self, error: BaseException) -> None:
        self.calls.append(("search_interrupted", error))


def fitted(config: Any) -> Any:
    """Reports once, with a fitted estimator as its state."""
    x = np.arange(6.0)[:, None]
    yield {"epoch": 1, "loss": config["alpha"]}, Ridge(alpha=config["alpha"]).fit(x, x[:, 0])


def now_and_then(config: Any) -> dict[str, float]:
    """Fails for large x; its metrics have names that MLflow does not take."""
    if config["x"] > 0.5:
        raise ValueError("x is too large")
    return {"loss": config["x"], "acc@1": 1 - config["x"], "bad": float("nan")}
