"""Searches whose trials have a value at their end only: reports before are means over fewer parts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prefect_tune.schedules.asynchronous.median import MedianStopping
from prefect_tune.trials import TrialState
from prefect_tune.tuning.budget import Budget
from prefect_tune.tuning.result import TuneResult
from prefect_tune.tuning.trial import Trial, TrialReport
from prefect_tune.tuning.tuner import Tuner

sys.path.append(str(Path(__file__).parent))
from driving import Driver, R, answer, settings


def rising(config, resource):
    """Losses that look best at the start."""
    return config["x"] + resource / R


def driven(**changes):
    asked = {"schedule": MedianStopping(R), **changes}
    tuner = Tuner(settings(**asked))
    return Driver(tuner, reply=lambda job: answer(job, rising)).run().tuner


def test_only_the_end_counts():
    """The best loss of trials and of the search is that of a trial at the maximum."""
    tuner = driven(whole=True)
    ends = [t.last.loss for t in tuner.trials if t.resource == R]
    assert tuner.usage.best_loss == min(ends)
    assert all(t.best_loss == (t.last.loss if t.resource == R else None) for t in tuner.trials)
    assert driven().usage.best_loss < 1 < tuner.usage.best_loss


@pytest.mark.parametrize(("whole", "stops"), [(False, True), (True, False)])
def test_a_threshold_is_met_by_a_value_only(whole, stops):
    """A first report below the threshold is no value of a trial that is a mean over parts."""
    tuner = driven(whole=whole, budget=Budget(n_trials=20, metric_threshold=0.99))
    assert (tuner.halted is not None) == stops


def trial(index, losses, state):
    reports = [TrialReport(k, loss, {"score": -loss}) for k, loss in enumerate(losses, 1)]
    return Trial(index, f"{index}", {}, state=state, resource=len(losses), reports=reports)


LUCKY = trial(0, [-1.0], TrialState.STOPPED)
STEADY = trial(1, [-0.8, -0.9], TrialState.COMPLETED)


@pytest.mark.parametrize(
    ("trials", "whole", "best"),
    [((LUCKY, STEADY), True, 1), ((LUCKY, STEADY), False, 0), ((LUCKY,), True, 0)],
    ids=["whole", "any report", "nobody complete"],
)
def test_the_best_is_one_that_is_complete(trials, whole, best):
    """By default, as soon as there is one; a scope that is named is taken at its word."""
    result = TuneResult(trials, metric="score", mode="max", max_resource=2, whole=whole)
    assert result.best().trial.index == best
    assert result.best(scope="last").trial is LUCKY


def test_without_a_model():
    """It says which searches have one."""
    with pytest.raises(LookupError, match="unless refit=False"):
        TuneResult((STEADY,), metric="score").best_estimator()
