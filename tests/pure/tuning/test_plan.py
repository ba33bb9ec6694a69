"""The dry run: what the journal has, what is left, and what comes next."""

from __future__ import annotations

import sys
from pathlib import Path

from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.tpe import TPE
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.fifo import FIFO
from prefect_tune.tuning.budget import Budget
from prefect_tune.tuning.plan import expected_units, plan_of
from prefect_tune.tuning.tuner import Tuner

sys.path.append(str(Path(__file__).parent))
from driving import Driver, R, settings


def test_plan_of_a_search_that_has_not_begun():
    """All trials are to be started; the next configurations are those that will be drawn."""
    asked = settings(budget=Budget(n_trials=3), points=[{"x": 0.5, "y": 0.5}])
    plan = plan_of(Tuner(asked))
    assert (plan.to_start, plan.trials, plan.units_trained) == (3, {}, 0)
    drawn = [t.config for t in Driver(Tuner(asked)).run().tuner.trials]
    assert list(plan.next) == drawn


def test_units_of_asha_by_hand():
    """81 trials with rungs 1, 3, 9 and 27: 81 + 27·2 + 9·6 + 3·18 units if each third goes on."""
    assert expected_units(settings(schedule=ASHA(R)), 81) == 81 + 27 * 2 + 9 * 6 + 3 * 18
    assert expected_units(settings(schedule=FIFO(R)), 81) == 81 * R


def test_plan_after_a_part_counts_the_rest():
    """After 20 of 40 trials: 20 to start, and the seconds that a unit took."""
    first = Driver(Tuner(settings(budget=Budget(n_trials=20)))).run()
    tuner = Tuner(settings(budget=Budget(n_trials=40)))
    tuner.replay(first.events())
    plan = plan_of(tuner)
    assert plan.to_start == 20
    assert sum(plan.trials.values()) == 20
    assert plan.units_trained == first.tuner.usage.resource
    assert plan.units_at_most == 20 * R


def test_sampler_that_learns_is_not_asked():
    """What a model will suggest is not known before the results are: only the points are shown."""
    plan = plan_of(Tuner(settings(sampler=TPE(), points=[{"x": 0.5, "y": 0.5}])))
    assert list(plan.next) == [{"x": 0.5, "y": 0.5}]
    assert plan.sampler["sampler"] == "tpe"
    assert len(plan_of(Tuner(settings(sampler=Random()))).next) == 5


def test_stopped_search_has_nothing_to_start():
    """A budget that is used up says so."""
    asked = settings(budget=Budget(max_evaluations=10))
    first = Driver(Tuner(asked)).run()
    tuner = Tuner(asked)
    tuner.replay(first.events())
    plan = plan_of(tuner)
    assert (plan.stopped_by, plan.to_start) == ("max_evaluations", 0)
