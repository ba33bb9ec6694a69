"""Median stopping: the three rules, by examples worked by hand, with losses that floats hold exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Verdict
from prefect_tune.schedules.asynchronous.median import MIN_SAMPLES, MedianStopping
from prefect_tune.trials import TrialState


def key_of(trial):
    return f"{trial:03d}"


def told(schedule, *curves):
    """A machine that was told the curves of trials 0, 1, … one after the other; the last verdict of each."""
    machine = schedule.begin(0, key_of)
    answers = []
    for trial, curve in enumerate(curves):
        machine.offer(trial)
        losses = curve if isinstance(curve, dict) else dict(enumerate(curve, start=1))
        last = None
        for resource, loss in losses.items():
            last = machine.report(trial, resource, loss)
        answers.append(last.verdict if last else None)
    return machine, answers


def last_verdict(schedule, *curves):
    """The verdict on the last report of the last trial."""
    return told(schedule, *curves)[1][-1]


@pytest.mark.parametrize(
    ("curves", "verdict"),
    [
        # At 1 the others' means are 1, 2, 3, so the median is 2; only above it one stops.
        (([1], [2], [3], [2]), Verdict.CONTINUE),
        (([1], [2], [3], [2.5]), Verdict.STOP),
        # Two others are fewer than min_samples.
        (([1], [2], [99]), Verdict.CONTINUE),
        # Means up to 2: (4+2)/2 = 3, (6+4)/2 = 5, (8+2)/2 = 5: median 5. The best so far is 5, then 5.5.
        (([4, 2], [6, 4], [8, 2], [5, 7]), Verdict.CONTINUE),
        (([4, 2], [6, 4], [8, 2], [5.5, 7]), Verdict.STOP),
        # The third of the others has not come to 2, so two are left.
        (([4, 2], [6, 4], [8], [6, 9]), Verdict.CONTINUE),
        # Later reports of others do not count: at 1 their losses are 1, 2, 3.
        (([1, 99, 99], [2, 99, 99], [3, 99, 99], [2.5]), Verdict.STOP),
        # Four others, an even number: means 1, 2, 4, 5, median 3.
        (([1], [2], [4], [4], [3]), Verdict.CONTINUE),
        (([1], [2], [2], [4], [3]), Verdict.STOP),  # means 1, 2, 2, 4: median 2
    ],
)
def test_vizier(curves, verdict):
    """Stop iff the best loss so far is above the median of the others' means."""
    assert last_verdict(MedianStopping(9), *curves) is verdict


def test_vizier_grace_period_cuts_means_and_judging():
    """Below the grace period nobody stops, and the means begin there."""
    schedule = MedianStopping(9, grace_period=2)
    others = ([100, 1], [100, 2], [100, 3])
    assert last_verdict(schedule, *others, [99]) is Verdict.CONTINUE
    # Means from 2 on: 1, 2, 3. The trial's own best counts from its beginning: 2 at resource 1.
    assert last_verdict(schedule, *others, [2, 50]) is Verdict.CONTINUE
    assert last_verdict(schedule, *others, [2.5, 50]) is Verdict.STOP


def test_vizier_others_are_of_any_state():
    """Stopped, failed and completed trials are among the others."""
    machine, _ = told(MedianStopping(3), [1], [2], [3, 3, 3])
    machine.stop(0)
    machine.fail(1)
    assert machine.curves[2].state is TrialState.COMPLETED
    machine.offer(3)
    assert machine.report(3, 1, 2.5).verdict is Verdict.STOP


def test_vizier_leaves_out_what_is_not_finite():
    """A loss that is not finite is no decision, no part of a mean, and no other."""
    nan = math.nan
    assert last_verdict(MedianStopping(9), [1], [2], [3], [nan]) is Verdict.CONTINUE
    assert last_verdict(MedianStopping(9), [4, 1], [4, 1], [4, 1], [4, math.inf]) is Verdict.CONTINUE
    # Means up to 2: 1, of (3, nan) 3, 2, so the median is 2.
    others = ([1, 1], [3, nan], [2, 2])
    assert last_verdict(MedianStopping(9), *others, {2: 2.0}) is Verdict.CONTINUE
    assert last_verdict(MedianStopping(9), *others, {2: 2.5}) is Verdict.STOP
    assert last_verdict(MedianStopping(9), [1], [2], [nan], [99]) is Verdict.CONTINUE  # two others


@pytest.mark.parametrize(
    ("own", "others", "verdict"),
    [
        (5, (1, 2, 3, 4), Verdict.STOP),  # 4 of 5 smaller
        (3.5, (1, 2, 3, 4), Verdict.STOP),  # 3 of 5
        (3, (1, 2, 4, 5), Verdict.CONTINUE),  # 2 of 5
        (4, (1, 2, 3, 5, 6), Verdict.CONTINUE),  # 3 of 6 is not above .5
        (4, (1, 2, 3, 3, 6), Verdict.STOP),  # 4 of 6
        (3, (3, 3, 3, 3), Verdict.CONTINUE),  # equal is not smaller
        (5, (1, 2, 3), Verdict.CONTINUE),  # four means only
        (math.nan, (1, 2, 3, 4), Verdict.CONTINUE),
        (5, (1, 2, 3, math.nan), Verdict.CONTINUE),  # four means only
    ],
)
def test_rank(own, others, verdict):
    """Stop iff more than half of the means at the same resource, its own included, are smaller."""
    # The others are told first; those that stop themselves are recorded all the same.
    assert last_verdict(MedianStopping(9, rule="rank"), *[[loss] for loss in others], [own]) is verdict


def test_rank_compares_means_at_the_same_resource():
    """The mean is of the trial's own losses so far; who skipped the resource is not compared there."""
    schedule = MedianStopping(9, rule="rank", grace_period=2, min_samples=3)
    # Means at 2: (1+3)/2 = 2, (2+4)/2 = 3. The third trial has reported at 3 only.
    others = ([1, 3], [2, 4], {3: 0})
    assert last_verdict(schedule, *others, [5, 0]) is Verdict.CONTINUE  # mean 2.5: 1 of 3 smaller
    assert last_verdict(schedule, *others, [5, 2]) is Verdict.STOP  # mean 3.5: 2 of 3
    assert last_verdict(schedule, *others, [99]) is Verdict.CONTINUE  # below the grace period


def test_rank_cutoff():
    """The share of smaller means that a trial survives; 1 stops nobody, 0 all but the best."""
    curves = [[1], [2], [3], [4], [5]]
    assert last_verdict(MedianStopping(9, rule="rank", cutoff=0.8), *curves) is Verdict.CONTINUE
    assert last_verdict(MedianStopping(9, rule="rank", cutoff=0.79), *curves) is Verdict.STOP
    assert last_verdict(MedianStopping(9, rule="rank", cutoff=0), *curves[1:], [1]) is Verdict.CONTINUE
    assert last_verdict(MedianStopping(9, rule="rank", cutoff=0), *curves[:4], [1.5]) is Verdict.STOP


COMPLETED = ([1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0], [5, 0, 0])


@pytest.mark.parametrize(
    ("settings", "own", "verdict"),
    [
        ({}, [3], Verdict.CONTINUE),  # the median at 1 is 3
        ({}, [3.5], Verdict.STOP),
        ({"percentile": 25}, [2], Verdict.CONTINUE),  # the quarter at 1 is 2
        ({"percentile": 25}, [2.5], Verdict.STOP),
        ({"percentile": 10}, [1.25], Verdict.CONTINUE),  # 1 + .4 of the way to 2
        ({"percentile": 10}, [1.5], Verdict.STOP),
        ({"percentile": 0}, [1.5], Verdict.STOP),
        ({"percentile": 100}, [5], Verdict.CONTINUE),
        ({"min_samples": 6}, [99], Verdict.CONTINUE),  # five have completed
        ({"min_at_resource": 6}, [99], Verdict.CONTINUE),
        ({"grace_period": 2}, [99], Verdict.CONTINUE),
        ({"grace_period": 2}, [99, 99], Verdict.STOP),
        ({"grace_period": 2}, [0, 99], Verdict.CONTINUE),  # the best so far is 0
        ({}, [math.nan], Verdict.STOP),  # no finite loss so far
        ({"grace_period": 2}, [3, math.nan], Verdict.STOP),  # best 3 above the median 0 at 2
        ({"grace_period": 2}, [0, math.nan], Verdict.CONTINUE),
    ],
)
def test_percentile(settings, own, verdict):
    """Stop iff the best loss so far is above that percentile of completed trials' losses at the resource."""
    # The completed ones are judged by nobody: fewer than five have completed before them.
    assert last_verdict(MedianStopping(3, rule="percentile", **settings), *COMPLETED, own) is verdict


def test_percentile_counts_completed_trials_alone():
    """Trials under way do not count, and neither do those that were stopped."""
    unfinished = [curve[:1] for curve in COMPLETED]
    assert last_verdict(MedianStopping(3, rule="percentile"), *unfinished, [99]) is Verdict.CONTINUE
    # Who skipped the resource has completed, but has no loss there: the median of 1, 2, 3, 4 is 2.5.
    skipped = (*COMPLETED[:4], {3: 0})
    assert last_verdict(MedianStopping(3, rule="percentile"), *skipped, [2.5]) is Verdict.CONTINUE
    assert last_verdict(MedianStopping(3, rule="percentile"), *skipped, [2.75]) is Verdict.STOP


def test_interval_judges_the_first_report_of_each_stretch():
    """From the grace period on, one report per stretch is judged; until says where the next begins."""
    schedule = MedianStopping(20, grace_period=2, interval=5)
    machine, _ = told(schedule, *[[1] * 12] * 3)
    assert schedule.levels == (2, 7, 12, 17, 20)
    assert machine.offer(3).until == 2
    assert machine.report(3, 1, 9).until == 2
    machine.offer(4)
    machine.report(4, 1, 0.5)
    assert machine.report(4, 3, 9).until == 7  # judged: the first in [2, 7); its best is .5
    assert machine.report(4, 4, 9).until == 7
    assert machine.report(4, 9, 9).until == 12
    assert machine.report(4, 18, 9).until == 20
    machine.offer(5)
    assert machine.report(5, 1, 9).verdict is Verdict.CONTINUE  # below the grace period
    assert machine.report(5, 3, 9).verdict is Verdict.STOP


def test_reports_that_are_not_judged_stop_nobody():
    """The second report of a stretch is not looked at, however bad."""
    machine, _ = told(MedianStopping(20, interval=5), *[[1] * 12] * 3)
    machine.offer(3)
    assert machine.report(3, 1, 1).verdict is Verdict.CONTINUE
    # Its best stays 1; take a trial whose first report of a stretch is lost in nan.
    machine.offer(4)
    assert machine.report(4, 1, math.nan).verdict is Verdict.CONTINUE
    assert machine.report(4, 2, 99).verdict is Verdict.CONTINUE
    assert machine.report(4, 6, 99).verdict is Verdict.STOP


@pytest.mark.parametrize("rule", MIN_SAMPLES)
@pytest.mark.parametrize("loss", [0.1, 0.7, 1e-300, 1 / 3])
def test_a_constant_metric_stops_nobody(rule, loss):
    """In floats the mean of three times .1 is more than .1; here equal is equal."""
    _, answers = told(MedianStopping(7, rule=rule), *[[loss] * 7] * 12)
    assert set(answers) == {Verdict.COMPLETE}


def test_means_are_exact():
    """In floats the mean of .1, .1, .1 is the next number above .1, which would save a trial that has it."""
    above = math.nextafter(0.1, 1)
    assert sum([0.1] * 3) / 3 == above
    others = [[0.1] * 3] * 3
    schedule = MedianStopping(9, interval=3, grace_period=3)
    assert last_verdict(schedule, *others, [0.1] * 3) is Verdict.CONTINUE
    assert last_verdict(schedule, *others, [above] * 3) is Verdict.STOP


def dumb_vizier(curves, own, resource, grace, least):
    """The rule as one sentence of numpy: whether the trial stops."""
    means = [
        np.mean([loss for at, loss in curve.items() if grace <= at <= resource])
        for curve in curves
        if max(curve, default=0) >= resource and any(grace <= at <= resource for at in curve)
    ]
    return resource >= grace and len(means) >= least and min(own.values()) > np.median(means)


@given(st.data())
def test_vizier_equals_the_sentence(data):
    """On whole losses, where floats are exact enough, the machine decides as the sentence does."""
    grace, least = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    schedule = MedianStopping(20, grace_period=grace, min_samples=least)
    machine = schedule.begin(0, key_of)
    curves = {trial: {} for trial in range(6)}
    for trial in curves:
        machine.offer(trial)
    for trial in data.draw(st.lists(st.integers(0, 5), max_size=40)):
        if machine.curves[trial].state is not TrialState.RUNNING:
            continue
        at = max(curves[trial], default=0) + data.draw(st.integers(1, 2))
        if at >= 20:
            continue
        curves[trial][at] = float(data.draw(st.integers(0, 8)))
        others = [curve for other, curve in curves.items() if other != trial]
        wanted = dumb_vizier(others, curves[trial], at, grace, least)
        answer = machine.report(trial, at, curves[trial][at])
        assert (answer.verdict is Verdict.STOP) == wanted


def test_reasons_name_the_numbers():
    """The reason says what was compared with what."""
    machine, _ = told(MedianStopping(9), [1], [2], [3], [2.5])
    assert machine.report(3, 1, 2.5).reason == "best loss 2.5 above the median 2 of 3 others"
    machine, _ = told(MedianStopping(9, rule="rank"), [1], [2], [3], [4], [5])
    assert machine.report(4, 1, 5).reason == "4 of 5 mean losses at 1 are smaller than its own"
    machine, _ = told(MedianStopping(3, rule="percentile"), *COMPLETED, [4])
    assert machine.report(5, 1, 4).reason == "best loss 4 above 3, percentile 50 at 1"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "mean"}, "rule: must be one of vizier, rank, percentile, got 'mean'"),
        ({"grace_period": 10}, r"grace_period: must be at most max_resource \(9\), got 10"),
        ({"grace_period": 0}, "grace_period: must be an int of at least 1, got 0"),
        ({"grace_period": True}, "grace_period: must be an int of at least 1, got True"),
        ({"min_samples": 0}, "min_samples: must be an int of at least 1, got 0"),
        ({"interval": 0}, "interval: must be an int of at least 1, got 0"),
        ({"interval": 1.5}, "interval: must be an int of at least 1, got 1.5"),
        ({"cutoff": 1.5}, "cutoff: must be a number from 0 to 1, got 1.5"),
        ({"cutoff": -0.1}, "cutoff: must be a number from 0 to 1, got -0.1"),
        ({"percentile": 101}, "percentile: must be a number from 0 to 100, got 101"),
        ({"percentile": math.nan}, "percentile: must be a number from 0 to 100, got nan"),
        ({"min_at_resource": 0}, "min_at_resource: must be an int of at least 1, got 0"),
    ],
)
def test_settings_are_checked(settings, message):
    """Bad settings are refused where they are written, by name, value and rule."""
    with pytest.raises(ScheduleError, match=message):
        MedianStopping(9, **settings)


def test_min_samples_default_by_rule():
    """3 others for vizier, 5 for the other two."""
    assert {rule: MedianStopping(9, rule=rule).min_samples for rule in MIN_SAMPLES} == {
        "vizier": 3,
        "rank": 5,
        "percentile": 5,
    }
