"""Data caps (algorithm reference 5.4, 5.5), what counts as data, and how it is standardised."""

from __future__ import annotations

import numpy as np
import pytest

from prefect_tune.samplers.gp.caps import Observation, keep_best, keep_highest
from prefect_tune.samplers.gp.evidence import joint, single, standardised

INF = float("inf")


def rng():
    return np.random.default_rng(0)


def never():
    raise AssertionError("nothing was to be drawn")


def ladder(counts):
    """Trials by the level they reached: {1: 4, 3: 2} is four that ended at 1 and two that ended at 3."""
    seen, trial = [], 0
    levels = sorted(counts)
    for reached in levels:
        for _ in range(counts[reached]):
            seen += [Observation(trial, level, trial + level / 100) for level in levels if level <= reached]
            trial += 1
    return seen


def sizes(kept):
    return {level: sum(seen.level == level for seen in kept) for level in {seen.level for seen in kept}}


def test_below_the_cap_everything_stays():
    """No observation is dropped, and no generator asked for, while all fit."""
    seen = ladder({1: 4, 3: 2})
    assert keep_best(seen[::-1], 8, never) == seen
    assert keep_highest(seen[::-1], 8, never) == seen


def test_a_quarter_of_the_cap_are_the_best():
    """Of 100 observations and cap 20 the best five stay, and fifteen others at random, without repetition."""
    losses = rng().permutation(100)
    seen = [Observation(trial, 1, float(loss)) for trial, loss in enumerate(losses)]
    kept = keep_best(seen, 20, rng)
    assert len(set(kept)) == 20
    assert {0.0, 1.0, 2.0, 3.0, 4.0} <= {item.loss for item in kept}
    assert kept == keep_best(seen[::-1], 20, rng)
    assert kept != keep_best(seen, 20, lambda: np.random.default_rng(1))


def test_trials_that_came_furthest_keep_all_their_data():
    """Two trials at 9 bring six observations, three more at 3 bring six: together the cap of 12."""
    kept = keep_highest(ladder({1: 5, 3: 3, 9: 2}), 12, rng)
    assert sizes(kept) == {1: 5, 3: 5, 9: 2}
    assert {item.trial for item in kept} == {5, 6, 7, 8, 9}


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        (16, {1: 9, 3: 5, 9: 2}),  # room for four of the five that ended at 1
        (10, {1: 3, 3: 5, 9: 2}),  # the group at 3 keeps level 3, and one of its level 1
        (8, {1: 2, 3: 4, 9: 2}),  # two of its three records at level 3, nothing of level 1
        (5, {1: 1, 3: 2, 9: 2}),  # the top group keeps 9 and 3, and one of its level 1
        (4, {3: 2, 9: 2}),  # exactly two whole levels of the top group
    ],
)
def test_a_group_too_large_loses_its_lowest_levels(cap, expected):
    """The cap is filled exactly; only in the level where it falls does chance decide."""
    kept = keep_highest(ladder({1: 5, 3: 3, 9: 2}), cap, rng)
    assert sizes(kept) == expected
    assert sum(expected.values()) == cap == len(set(kept))
    assert kept == sorted(kept)


# What counts as data


def test_one_loss_a_trial(record, ended):
    """Without resources the final loss counts, else that of the highest level; failed trials are no data."""
    records = [
        ended(0, {"x": 0.0}, 3.0),
        record(1, {"x": 0.1}, "stopped", losses={1: 5.0, 3: 4.0}),
        record(2, {"x": 0.2}, "failed", losses={1: 9.0}),
        record(3, {"x": 0.3}, "running", losses={1: 7.0}, pending=(3,)),
        record(4, {"x": 0.4}, "running", pending=(1,)),
        record(5, {"x": 0.5}, "pending"),
        record(6, {"x": 0.6}, "stopped"),
        record(7, {"x": 0.7}, "completed", final=float("nan")),
    ]
    found = single(records, 9)
    assert [(item.trial, item.level, item.loss) for item in found.observations] == [
        (0, 9, 3.0),
        (1, 9, 4.0),
        (3, 9, 7.0),
    ]
    assert found.pending == [(4, 9), (5, 9)]


def test_every_loss_with_its_level(record, ended):
    """The joint model sees every level, and pending marks only of trials that run or wait to."""
    records = [
        record(0, {"x": 0.0}, "stopped", losses={1: 5.0, 3: 4.0}, pending=(9,)),
        record(1, {"x": 0.1}, "failed", losses={1: 9.0}),
        record(2, {"x": 0.2}, "running", losses={1: 7.0}, pending=(3,)),
        record(3, {"x": 0.3}, "running", pending=(1,)),
        record(4, {"x": 0.4}, "pending"),
        record(5, {"x": 0.5}, "paused", losses={1: 6.0}, pending=()),
        ended(6, {"x": 0.6}, 2.0),
        record(7, {"x": 0.7}, "completed", final=1.0),
    ]
    found = joint(records, (1, 3, 9))
    assert [(item.trial, item.level, item.loss) for item in found.observations] == [
        (0, 1, 5.0),
        (0, 3, 4.0),
        (2, 1, 7.0),
        (5, 1, 6.0),
        (6, 1, 2.0),
        (7, 9, 1.0),
    ]
    assert found.pending == [(2, 3), (3, 1), (4, 1)]


def test_failed_trials_may_count_as_infinitely_bad(record):
    """With `worst`, a failed trial has an infinite loss where it failed; its earlier ones do not count."""
    records = [
        record(0, {"x": 0.0}, "failed", losses={1: 5.0, 3: 4.0}),
        record(1, {"x": 0.1}, "failed"),
        record(2, {"x": 0.2}, "stopped", losses={1: 7.0}),
    ]
    found = joint(records, (1, 3, 9), "worst").observations
    assert [(item.trial, item.level, item.loss) for item in found] == [(0, 9, INF), (1, 1, INF), (2, 1, 7.0)]
    found = single(records, 9, "worst").observations
    assert [(item.trial, item.level, item.loss) for item in found] == [(0, 9, INF), (1, 9, INF), (2, 9, 7.0)]


# Standardised targets


def test_infinite_losses_are_as_bad_as_the_worst():
    """Infinity becomes the largest of the others, pulled in or not; it is not looked at for the median."""
    losses = np.array([INF, 1.0, 2.0, 9.0, INF, INF])
    plain = standardised(np.array([9.0, 1.0, 2.0, 9.0, 9.0, 9.0]), False)
    assert standardised(losses, False) == pytest.approx(plain)
    pulled = standardised(np.array([3.0, 1.0, 2.0, 3.0, 3.0, 3.0]), False)
    assert standardised(losses, True) == pytest.approx(pulled)


def test_targets_have_mean_0_and_variance_1():
    """Mean and population standard deviation; equal losses become zeros."""
    found = standardised(np.array([1.0, 2.0, 3.0, 6.0]), False)
    assert found == pytest.approx((np.array([1, 2, 3, 6]) - 3) / np.sqrt(3.5))
    assert standardised(np.array([2.0, 2.0]), True) == pytest.approx([0, 0])


def test_far_losses_are_pulled_in_to_the_mirror_of_the_best():
    """With best 1 and median 3 nothing counts as more than 5, so 1e18 leaves the others apart."""
    wild = np.array([1.0, 2.0, 3.0, 4.0, 1e18])
    assert standardised(wild, True) == pytest.approx(standardised(np.array([1.0, 2, 3, 4, 5]), False))
    assert np.ptp(standardised(wild, False)[:4]) < 1e-9


def test_nothing_is_pulled_in_where_half_of_the_losses_are_the_best():
    """With the median at the best, the rule would make all losses equal."""
    losses = np.array([1.0, 1.0, 1.0, 7.0])
    assert standardised(losses, True) == pytest.approx(standardised(losses, False))
