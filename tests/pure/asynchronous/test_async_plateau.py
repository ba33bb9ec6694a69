"""Plateaus of trials and of searches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.contract import Decision, Verdict
from prefect_tune.schedules.asynchronous.fifo import FIFO
from prefect_tune.schedules.asynchronous.plateau import SearchPlateau, TrialPlateau, flat
from prefect_tune.trials import TrialState


def key_of(trial):
    return f"{trial:03d}"


def verdicts(schedule, losses):
    """The verdicts on one trial's reports at 1, 2, 3, …"""
    machine = schedule.begin(0, key_of)
    machine.offer(0)
    return [machine.report(0, resource, loss).verdict for resource, loss in enumerate(losses, start=1)]


GO, STOP, LATE = Verdict.CONTINUE, Verdict.STOP, Verdict.LATE


@pytest.mark.parametrize(
    ("settings", "losses", "wanted"),
    [
        # Four equal losses: their standard deviation is 0, at the fourth report.
        ({}, [0.5] * 5, [GO, GO, GO, STOP, LATE]),
        # 1, then 0.5 four times: the last four are equal at the fifth.
        ({}, [1, 0.5, 0.5, 0.5, 0.5], [GO, GO, GO, GO, STOP]),
        # 0, .5, 0, .5 has mean .25 and deviation .25 each: exactly the bound stops.
        ({"std": 0.25}, [0, 0.5, 0, 0.5], [GO, GO, GO, STOP]),
        ({"std": 0.2}, [0, 0.5, 0, 0.5], [GO, GO, GO, GO]),
        # Population, not sample: 0, 0, 0, 1 has variance 3/16, deviation .433 (of a sample .5).
        ({"std": 0.44}, [0, 0, 0, 1], [GO, GO, GO, STOP]),
        ({"std": 0.43}, [0, 0, 0, 1], [GO, GO, GO, GO]),
        # The grace period may be longer than the look back, or the other way round.
        ({"grace_period": 6}, [0.5] * 6, [GO] * 5 + [STOP]),
        ({"grace_period": 1}, [0.5] * 4, [GO] * 3 + [STOP]),
        ({"num_results": 2, "grace_period": 1}, [0.5, 0.5], [GO, STOP]),
        # A loss that is not finite is on no plateau.
        ({}, [0.5, 0.5, math.nan, 0.5, 0.5, 0.5, 0.5], [GO] * 6 + [STOP]),
        ({"std": 0}, [0.1] * 4, [GO] * 3 + [STOP]),
        ({}, [0.9, 0.7, 0.5, 0.3, 0.1], [GO] * 5),
    ],
)
def test_trial_plateau(settings, losses, wanted):
    """Stop iff the last reports have at most this population standard deviation, after the grace period."""
    assert verdicts(TrialPlateau(FIFO(9), **settings), losses) == wanted


def test_until_is_where_either_rule_may_decide():
    """The wrapped schedule's level, or the first report at which there can be a plateau."""
    machine = TrialPlateau(FIFO(9), grace_period=6).begin(0, key_of)
    assert machine.offer(0).until == 6
    assert machine.report(0, 1, 0.1).until == 6
    assert machine.report(0, 2, 0.9).until == 6
    assert machine.report(0, 6, 0.1).until == 7  # the fourth report may come at the next unit
    assert machine.report(0, 7, 0.9).until == 8
    assert machine.report(0, 8, 0.1).until == 9
    assert machine.offer(1).until == 6
    assert machine.report(1, 6, 0.1).until == 9  # three more reports are needed, one unit apart
    assert TrialPlateau(FIFO()).begin(0, key_of).offer(0).until == 4


def test_wrapping_asha_leaves_its_decisions_alone():
    """Between rungs a plateau stops; at a rung the wrapped schedule's pause and stop come first."""
    schedule = TrialPlateau(ASHA(27, type="promotion"), std=0.01)
    assert schedule.levels == (1, 3, 9, 27)
    machine = schedule.begin(0, key_of)
    assert machine.offer(0).until == 1
    assert machine.report(0, 1, 0.5).verdict is Verdict.PAUSE
    for trial in (1, 2):
        machine.offer(trial)
        machine.report(trial, 1, 0.6)
    job = machine.offer(3)  # the best of three is promoted
    assert (job.trial, job.since, job.until) == (0, 1, 3)
    assert machine.report(0, 1, 0.5).verdict is GO  # known from before the promotion
    assert machine.report(0, 2, 0.5).verdict is GO
    assert machine.report(0, 3, 0.5).verdict is Verdict.PAUSE


def test_a_plateau_ends_the_trial_for_the_wrapped_schedule():
    """Its records stay, its last loss stands at the maximum, and a return that comes later is late."""
    machine = TrialPlateau(FIFO(9)).begin(0, key_of)
    for trial in (0, 1):
        machine.offer(trial)
    answers = [machine.report(0, resource, 0.25) for resource in range(1, 5)]
    assert answers[-1] == Decision(STOP, reason="plateau: the last 4 losses have moved by at most 0.01")
    assert machine.losses(0) == {9: 0.25}
    assert machine.done(0).verdict is LATE
    assert machine.pending(0) == ()
    machine.report(1, 9, 0.5)
    assert machine.ranking() == [0, 1]
    # Told again, each report gets its own answer.
    assert [machine.report(0, resource, 0.25) for resource in range(1, 5)] == answers
    assert machine.report(0, 5, 0.1).verdict is LATE


def test_ends_pass_through():
    """Failures, stops and warnings are the wrapped machine's."""
    machine = TrialPlateau(FIFO(9)).begin(0, key_of)
    for trial in (0, 1, 2):
        machine.offer(trial)
    machine.fail(0)
    machine.stop(1)
    assert machine.report(0, 1, 0.5).verdict is LATE
    assert machine.report(1, 1, 0.5).verdict is LATE
    machine.report(2, 1, 0.5)
    machine.report(2, 1, 0.25)
    assert len(machine.warnings) == 1
    assert machine.done(2).verdict is Verdict.COMPLETE
    assert machine._inner.curves[0].state is TrialState.FAILED


@pytest.mark.parametrize(
    ("settings", "best", "wanted"),
    [
        ({}, [0.5] * 9, False),
        ({}, [0.5] * 10, True),
        ({}, [0.6, *[0.5] * 9], False),  # deviation .03
        ({}, [0.6, *[0.5] * 10], True),
        ({}, [math.inf, *[0.5] * 9], False),  # before any trial had a loss
        ({}, [math.inf, *[0.5] * 10], True),
        ({"top": 2, "std": 0.25}, [0.5, 0.0], True),  # mean .25, deviation .25: exactly the bound
        ({"top": 2, "std": 0.24}, [0.5, 0.0], False),
        # With patience 2 the counter must reach 3: three flat windows in a row.
        ({"top": 3, "patience": 2}, [0.5] * 4, False),
        ({"top": 3, "patience": 2}, [0.5] * 5, True),
        ({"top": 3, "patience": 2}, [0.9, *[0.5] * 4], False),
        ({"top": 3, "patience": 2}, [0.9, *[0.5] * 5], True),
        # An improvement resets the counter.
        ({"top": 3, "patience": 1}, [0.5, 0.5, 0.5, 0.4, 0.4, 0.4], False),
        ({"top": 3, "patience": 1}, [0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4], True),
        ({}, [], False),
    ],
)
def test_search_plateau(settings, best, wanted):
    """Reached iff the best losses after the last finished trials hardly differ, more than patience times."""
    assert SearchPlateau(**settings).reached(best) is wanted


@given(
    st.lists(st.integers(0, 3), max_size=30),
    st.integers(2, 4),
    st.integers(0, 2),
    st.sampled_from([0, 0.5, 1]),
)
def test_search_plateau_equals_the_counter(drops, top, patience, std):
    """Looking at the last windows equals keeping a counter, which rises on a plateau and is else reset."""
    best = [float(value) for value in np.cumsum([0, *[-drop for drop in drops]])]
    counter, stopped = 0, False
    for end in range(1, len(best) + 1):
        window = best[max(0, end - top) : end]
        counter = counter + 1 if len(window) == top and np.std(window) <= std else 0
        stopped = counter > patience
        assert SearchPlateau(top, std, patience).reached(best[:end]) is stopped


def test_flat_is_exact():
    """Equal losses have no deviation at all, also where floats would find one."""
    losses = [0.1] * 3
    assert flat(losses, 0)
    assert np.std([0.1, 0.1, 0.1]) > 0
    assert not flat([0.1, 0.1, math.nextafter(0.1, 1)], 0)
    assert not flat([], 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrialPlateau(FIFO(9), std=-1), "std: must be a number of at least 0, got -1"),
        (lambda: TrialPlateau(FIFO(9), std=math.nan), "std: must be a number of at least 0, got nan"),
        (lambda: TrialPlateau(FIFO(9), num_results=1), "num_results: must be an int of at least 2, got 1"),
        (lambda: TrialPlateau(FIFO(9), grace_period=10), r"grace_period: must be at most max_resource \(9\)"),
        (lambda: SearchPlateau(top=1), "top: must be an int of at least 2, got 1"),
        (lambda: SearchPlateau(std="0.1"), "std: must be a number of at least 0, got '0.1'"),
        (lambda: SearchPlateau(patience=-1), "patience: must be an int of at least 0, got -1"),
    ],
)
def test_settings_are_checked(make, message):
    """Bad settings are refused where they are written."""
    with pytest.raises(ScheduleError, match=message):
        make()
