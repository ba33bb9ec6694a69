"""Budgets: each criterion's exact count, the order of reasons, what happens to running trials."""

from __future__ import annotations

import math
import pickle
from datetime import timedelta

import numpy as np
import pytest

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.plateau import SearchPlateau
from prefect_tune.trials import TrialState
from prefect_tune.tuning.budget import ORDER, Budget, Reached, Status
from prefect_tune.tuning.trial import Trial, TrialReport

S = TrialState


def trial(index, state, losses=(), **fields):
    """A trial with reports at 1, 2, 3, …"""
    reports = [TrialReport(at, loss, {"loss": loss}) for at, loss in enumerate(losses, start=1)]
    return Trial(index, f"{index:03d}", {}, state, reports=reports, resource=len(reports), **fields)


@pytest.mark.parametrize(
    ("name", "limit", "below", "at"),
    [
        ("max_trials_finished", 3, {"finished": 2}, {"finished": 3}),
        ("max_trials_completed", 3, {"completed": 2, "finished": 9}, {"completed": 3}),
        ("max_evaluations", 9, {"evaluations": 8}, {"evaluations": 9}),
        ("max_resource", 81, {"resource": 80}, {"resource": 81}),
        ("max_time", 60, {"elapsed": 59.99}, {"elapsed": 60.0}),
        ("max_time", timedelta(minutes=1), {"elapsed": 59.99}, {"elapsed": 60.0}),
        ("max_cost", 1.5, {"cost": 1.49}, {"cost": 1.5}),
        ("metric_threshold", 0.1, {"best_loss": 0.11}, {"best_loss": 0.1}),
        ("metric_threshold", 0.1, {"best_loss": None}, {"best_loss": 0.05}),
        ("metric_threshold", 0.9, {"best_loss": -0.89, "mode": "max"}, {"best_loss": -0.9, "mode": "max"}),
        ("metric_threshold", -1.0, {"best_loss": 1.1, "mode": "max"}, {"best_loss": 1.0, "mode": "max"}),
        ("max_failures_total", 2, {"failed": 1}, {"failed": 2}),
        ("plateau", True, {"best_losses": [0.5] * 9}, {"best_losses": [0.5] * 10}),
        ("plateau", SearchPlateau(top=2), {"best_losses": [0.5]}, {"best_losses": [0.5] * 2}),
        ("stop", lambda status: status.finished > 4, {"finished": 4}, {"finished": 5}),
    ],
)
def test_reached_means_at_least(name, limit, below, at):
    """Each criterion is met by its own count alone, exactly from its number on."""
    budget = Budget(**{name: limit})
    assert budget.watches
    assert budget.reached(Status()) is None
    assert budget.reached(Status(**below)) is None
    assert budget.reached(Status(**at)).reason == name


def test_n_trials_limits_starts_and_nothing_else():
    """Trial N is started, trial N + 1 is not; what runs goes on."""
    budget = Budget(n_trials=3)
    assert [budget.may_start(Status(started=started)) for started in (0, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]
    assert budget.reached(Status(started=3, finished=3, completed=3)) is None
    assert (budget.bounded, budget.watches) == (True, False)
    assert Budget().may_start(Status(started=10**6))
    assert not Budget().bounded
    assert Budget(max_cost=1).bounded


ALL = {
    "max_trials_finished": 1,
    "max_trials_completed": 1,
    "max_evaluations": 1,
    "max_resource": 1,
    "max_time": 1,
    "max_cost": 1,
    "metric_threshold": 1,
    "max_failures_total": 1,
    "plateau": SearchPlateau(top=2),
    "stop": lambda status: True,
}
USED_UP = Status(
    finished=1,
    completed=1,
    evaluations=1,
    resource=1,
    elapsed=1,
    cost=1,
    best_loss=1,
    failed=1,
    best_losses=(1, 1),
)


def test_the_first_in_order_is_the_reason():
    """Whatever else holds, and however the budget was written."""
    names = list(ORDER)
    assert names == list(ALL)
    for place, name in enumerate(names):
        rest = {later: ALL[later] for later in reversed(names[place:])}
        assert Budget(**rest).reached(USED_UP).reason == name


def test_what_happens_to_running_trials():
    """Counts of trials and plateaus drain, the rest cancels; one that cancels decides; on_stop overrides."""
    drains = {name for name in ORDER if Budget(**{name: ALL[name]}).reached(USED_UP).on_stop == "drain"}
    assert drains == {"max_trials_finished", "max_trials_completed", "plateau"}
    both = Budget(max_trials_finished=1, max_time=1)
    assert both.reached(Status(finished=1)).on_stop == "drain"
    assert both.reached(USED_UP) == Reached(
        "max_trials_finished", "cancel", "max_trials_finished=1 is reached"
    )
    assert Budget(max_time=1, on_stop="drain").reached(USED_UP).on_stop == "drain"
    assert Budget(plateau=True, on_stop="cancel").reached(Status(best_losses=[1] * 10)).on_stop == "cancel"


def test_reasons_in_words():
    """The text names the criterion and its value."""

    def enough(status):
        return True

    assert Budget(max_time=timedelta(minutes=1)).reached(Status(elapsed=99)).text == "max_time=60 is reached"
    assert (
        Budget(metric_threshold=0.25).reached(Status(best_loss=0)).text == "metric_threshold=0.25 is reached"
    )
    assert Budget(stop=enough).reached(Status()).text == "enough() says so"
    text = Budget(plateau=SearchPlateau(top=2)).reached(Status(best_losses=[1, 1])).text
    assert text == "the best loss has not moved over the last 2 finished trials"


def test_raising_a_budget_goes_on():
    """A budget is of the whole search: the same status is not enough for a larger one."""
    status = Status(evaluations=9, started=9)
    assert Budget(max_evaluations=9).reached(status)
    assert Budget(max_evaluations=10).reached(status) is None
    assert Budget(n_trials=10).may_start(status)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_trials": 0}, "n_trials: must be an int of at least 1, got 0; leave it out for no limit"),
        ({"n_trials": -1}, "n_trials"),
        ({"n_trials": True}, "n_trials: must be an int of at least 1, got True"),
        ({"n_trials": 2.5}, "n_trials"),
        ({"max_trials_finished": 0}, "max_trials_finished"),
        ({"max_trials_completed": "3"}, "max_trials_completed"),
        ({"max_evaluations": 0}, "max_evaluations"),
        ({"max_resource": 0}, "max_resource"),
        ({"max_failures_total": 0}, "max_failures_total"),
        ({"max_time": 0}, r"max_time: must be above 0 \(seconds\), got 0"),
        ({"max_time": -1.5}, "max_time: must be above 0"),
        ({"max_time": math.inf}, "max_time: must be a finite number, got inf"),
        ({"max_time": "1h"}, "max_time: must be a finite number, got '1h'"),
        ({"max_time": timedelta(0)}, "max_time: must be above 0"),
        ({"max_cost": math.nan}, "max_cost: must be a finite number, got nan"),
        ({"max_cost": 0}, "max_cost: must be above 0"),
        ({"metric_threshold": math.nan}, "metric_threshold: must be a finite number, got nan"),
        ({"metric_threshold": True}, "metric_threshold"),
        ({"plateau": 10}, "plateau: must be True or a SearchPlateau, got 10"),
        ({"stop": 3}, "stop: must be callable, got 3"),
        ({"on_stop": "wait"}, "on_stop: must be 'cancel', 'drain' or None, got 'wait'"),
    ],
)
def test_a_wrong_budget_is_refused_at_once(settings, message):
    """By name and value, before anything runs."""
    with pytest.raises(ScheduleError, match=message):
        Budget(**settings)


def test_a_budget_is_a_value():
    """It pickles, compares, and takes numpy's numbers for Python's."""
    budget = Budget(n_trials=np.int64(3), max_cost=np.float32(0.5), plateau=True)
    assert budget == pickle.loads(pickle.dumps(budget)) == Budget(n_trials=3, max_cost=0.5, plateau=True)
    assert (type(budget.n_trials), type(budget.max_cost)) == (int, float)
    assert Budget(plateau=False) == Budget()


def test_status_counts_from_the_trials():
    """What counts where, by hand."""
    late = TrialReport(9, -5.0, {"loss": -5.0}, late=True)
    trials = [
        trial(0, S.COMPLETED, [0.5, 0.4, 0.3], cost=1.0),
        trial(1, S.STOPPED, [0.2], cost=0.5),  # its late report is nobody's best
        trial(2, S.FAILED, [0.6, math.nan], cost=0.25),
        trial(3, S.PAUSED, [0.1]),
        trial(4, S.RUNNING, [math.inf]),
        trial(5, S.PENDING),
        # A copy that started at 3 and has trained to 5: two units, and no start of its own.
        Trial(6, "006", {}, S.RUNNING, parent=0, inherited=3, resource=5),
        trial(7, S.FAILED),
    ]
    trials[1].reports.append(late)
    status = Status.of(trials, elapsed=12.5, mode="max", order=[2, 1, 7, 0])
    assert status == Status(
        started=6,  # 0, 1, 2, 3, 4, 7
        finished=4,  # 0, 1, 2, 7
        completed=1,
        failed=2,
        evaluations=8,  # 3 + 1 + 2 + 1 + 1
        resource=10,  # 3 + 1 + 2 + 1 + 1 + (5 - 3)
        elapsed=12.5,
        cost=1.75,
        best_loss=0.1,  # of the paused one
        best_losses=(0.6, 0.2, 0.2, 0.2),  # finished in the order 2, 1, 7, 0
        mode="max",
        trials=tuple(trials),
    )
    assert Status.of(trials).best_losses == (0.3, 0.2, 0.2, 0.2)
    assert Status.of(trials, evaluations=4).evaluations == 4
    assert Status.of([]) == Status()


def test_a_trial_without_finite_losses_has_no_best():
    """Before any trial had a loss the best one is infinite, and on no plateau."""
    status = Status.of([trial(0, S.FAILED, [math.nan]), trial(1, S.COMPLETED, [0.5])])
    assert status.best_losses == (math.inf, 0.5)
    assert Status.of([trial(0, S.FAILED, [math.nan])]).best_loss is None
    assert Budget(metric_threshold=1e9).reached(Status.of([trial(0, S.FAILED, [-math.inf])])) is None


def test_reports_are_read_once():
    """A trial's best and its count follow the reports that come in between two questions."""
    one = trial(0, S.RUNNING, [0.5])
    assert (one.best_loss, one.evaluations) == (0.5, 1)
    one.reports.append(TrialReport(2, 0.3, {}))
    one.reports.append(TrialReport(3, 0.1, {}, late=True))
    one.reports.append(TrialReport(4, math.nan, {}))
    assert (one.best_loss, one.evaluations) == (0.3, 3)
    assert one.last.resource == 4
    assert [report.resource for report in one.accepted] == [1, 2, 4]
