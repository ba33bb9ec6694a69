"""Which checkpoints are kept, per trial and for the search."""

from __future__ import annotations

import math

import pytest

from prefect_tune.errors import ScheduleError
from prefect_tune.trials import TrialState
from prefect_tune.tuning.keep import Keep, to_release
from prefect_tune.tuning.trial import Trial, TrialReport

S = TrialState


def trial(index, losses, state=S.RUNNING, at=None, key=None):
    """A trial with a report and a checkpoint at 1, 2, 3, …, or with checkpoints at the places named."""
    reports = [TrialReport(place, loss, {"loss": loss, "acc": -loss}) for place, loss in enumerate(losses, 1)]
    places = range(1, len(losses) + 1) if at is None else at
    return Trial(
        index,
        key or f"{index:03d}",
        {},
        state,
        reports=reports,
        resource=max(places, default=0),
        checkpoints={place: f"{index}/{place}" for place in places},
    )


def kept(trials, keep, needed=frozenset()):
    """(trial, resource) of what stays."""
    everything = {(trial.index, place) for trial in trials for place in trial.checkpoints}
    return sorted(everything - set(to_release(trials, keep, needed)))


@pytest.mark.parametrize(
    ("keep", "losses", "wanted"),
    [
        ({}, [3, 1, 2], [1, 2, 3]),
        # The most recent ones.
        ({"num_to_keep": 1}, [3, 1, 2], [3]),
        ({"num_to_keep": 2}, [3, 1, 2], [2, 3]),
        ({"num_to_keep": 9}, [3, 1, 2], [1, 2, 3]),
        # The best plus the latest: N = 1 holds at most two.
        ({"num_to_keep": 1, "score": "loss"}, [3, 1, 2], [2, 3]),
        ({"num_to_keep": 1, "score": "loss"}, [3, 2, 1], [3]),
        ({"num_to_keep": 2, "score": "loss"}, [3, 1, 2, 4], [2, 3, 4]),
        ({"num_to_keep": 1, "score": "loss", "order": "max"}, [3, 1, 2], [1, 3]),
        ({"num_to_keep": 1, "score": "acc", "order": "max"}, [3, 1, 2], [2, 3]),
        # Of equal scores the newer one.
        ({"num_to_keep": 1, "score": "loss"}, [1, 1, 2], [2, 3]),
        ({"num_to_keep": 2, "score": "loss"}, [1, 1, 1, 2], [2, 3, 4]),
        # What is not finite is never best, also where nothing else is there.
        ({"num_to_keep": 2, "score": "loss"}, [math.nan, 5, -math.inf, 6], [2, 4]),
        ({"num_to_keep": 3, "score": "loss"}, [math.nan, math.inf, math.nan], [3]),
        ({"num_to_keep": 1, "score": "loss", "order": "max"}, [math.inf, 5, 1], [2, 3]),
        # Nobody reports this metric.
        ({"num_to_keep": 2, "score": "f1"}, [3, 1, 2], [3]),
    ],
)
def test_num_to_keep(keep, losses, wanted):
    """Per trial: the best N and the latest, newer ones before older equal ones."""
    for state in (S.RUNNING, S.PAUSED, S.STOPPED, S.COMPLETED, S.FAILED):
        assert kept([trial(0, losses, state)], Keep(**keep)) == [(0, place) for place in wanted]


def test_late_reports_score_nothing():
    """A checkpoint whose only report was late is not among the best."""
    one = trial(0, [3, 1, 2])
    one.reports[1] = TrialReport(2, 1, {"loss": 1}, late=True)
    assert kept([one], Keep(num_to_keep=1, score="loss")) == [(0, 3)]


def test_needed_checkpoints_stay():
    """What a copy will start from is kept, whoever it belongs to."""
    trials = [trial(0, [3, 1, 2], S.STOPPED)]
    assert kept(trials, Keep(num_to_keep=1), {(0, 1)}) == [(0, 1), (0, 3)]
    assert kept(trials, Keep(num_to_keep=1), {(7, 1)}) == [(0, 3)]


def test_keep_in_search_keeps_the_best_trials():
    """By their best loss; the others' are released, and so are those of failed trials."""
    trials = [
        trial(0, [5, 4], S.COMPLETED),
        trial(1, [1, 9], S.STOPPED),  # best 1
        trial(2, [3, 3], S.FAILED),
        trial(3, [2, 8], S.STOPPED),
        trial(4, [math.nan], S.FAILED),
    ]
    assert kept(trials, Keep(keep_in_search=1)) == [(1, 1), (1, 2)]
    assert kept(trials, Keep(keep_in_search=2)) == [(1, 1), (1, 2), (3, 1), (3, 2)]
    assert kept(trials, Keep(keep_in_search=1, num_to_keep=1)) == [(1, 2)]
    assert kept(trials, Keep(keep_in_search=1, num_to_keep=1, score="loss")) == [(1, 1), (1, 2)]
    assert kept(trials, Keep(keep_in_search=9, num_to_keep=1)) == [(0, 2), (1, 2), (2, 2), (3, 2)]


def test_keep_in_search_breaks_ties_by_key():
    """Of two equally good trials the smaller key stays."""
    trials = [trial(0, [1], S.STOPPED, key="b"), trial(1, [1], S.STOPPED, key="a")]
    assert kept(trials, Keep(keep_in_search=1)) == [(1, 1)]


def test_running_trials_keep_their_latest():
    """A retry goes on from it, however bad the trial is."""
    trials = [trial(0, [1, 1], S.COMPLETED), trial(1, [9, 9], S.RUNNING)]
    assert kept(trials, Keep(keep_in_search=1)) == [(0, 1), (0, 2), (1, 2)]


def test_too_small_for_the_paused_trials():
    """Of the paused ones those at the highest rung stay, there the best; the rest would begin again."""
    trials = [
        trial(0, [1] * 3, S.COMPLETED),
        trial(1, [9] * 3, S.PAUSED),  # at rung 3
        trial(2, [5], S.PAUSED),
        trial(3, [4], S.PAUSED),
        trial(4, [7] * 3, S.PAUSED),
    ]

    def paused(many):
        return [place for place in kept(trials, Keep(keep_in_search=many)) if place[0] > 0]

    # M = 1: the best trial is 0. Of the paused ones the best at rung 3 is 4.
    assert paused(1) == [(4, 3)]
    # M = 2: trial 3 (loss 4) is among the best two with its one checkpoint; of the paused ones 4 and 1.
    assert paused(2) == [(1, 3), (3, 1), (4, 3)]
    # M = 3: 2 is the third best; of the paused ones 4, 1 and 3.
    assert paused(3) == [(1, 3), (2, 1), (3, 1), (4, 3)]


def test_a_stopped_trial_loses_its_protection():
    """The same trial, paused and then stopped."""
    best = trial(0, [1], S.COMPLETED)
    assert kept([best, trial(1, [9], S.PAUSED)], Keep(keep_in_search=1)) == [(0, 1), (1, 1)]
    for state in (S.STOPPED, S.FAILED):
        assert kept([best, trial(1, [9], state)], Keep(keep_in_search=1)) == [(0, 1)]


def test_nothing_is_released_that_is_not_there():
    """Only checkpoints that exist are named, in rising order, and a second call has nothing left to name."""
    trials = [trial(1, [3, 1, 2, 5], S.STOPPED), trial(0, [2, 2], at=[1]), trial(2, [1], at=[])]
    released = to_release(trials, Keep(num_to_keep=1))
    assert released == [(1, 1), (1, 2), (1, 3)]
    for index, place in released:
        next(trial for trial in trials if trial.index == index).checkpoints.pop(place)
    assert to_release(trials, Keep(num_to_keep=1)) == []


@pytest.mark.parametrize("name", ["num_to_keep", "keep_in_search"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_less_than_one_is_refused(name, value):
    """A search that keeps nothing could promote nobody."""
    with pytest.raises(ScheduleError, match=f"{name}: must be an int of at least 1"):
        Keep(**{name: value})
    with pytest.raises(ValueError, match="order: must be 'min' or 'max', got 'best'"):
        Keep(order="best")
