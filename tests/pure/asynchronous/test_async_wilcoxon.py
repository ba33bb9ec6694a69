"""Wilcoxon: who loses against the best complete trial, part by part, stops; beside Optuna's pruner too."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Decision, Job, Verdict
from prefect_tune.schedules.asynchronous.wilcoxon import Wilcoxon, p_worse
from prefect_tune.tuning.choices import schedule_of


def told(machine, trial, losses):
    """The verdict on the last of so many parts, told as means."""
    decision = None
    for parts in range(1, len(losses) + 1):
        decision = machine.report(trial, parts, float(np.mean(losses[:parts])))
        if decision.verdict is not Verdict.CONTINUE:
            break
    return decision


def begun(schedule, *complete):
    """A machine with trials that are complete, by their parts' losses, and one that has just begun."""
    machine = schedule.begin(0, lambda trial: f"{trial:03d}")
    for trial, losses in enumerate(complete):
        assert machine.offer(trial).new
        assert told(machine, trial, losses).verdict is Verdict.COMPLETE
    machine.offer(len(complete))
    return machine


BEST = [0.1, 0.3, 0.2, 0.25, 0.15, 0.3]


def test_a_trial_that_loses_every_part_stops_where_the_test_can_say_so():
    """p after n lost parts is 1/2**n: 4 parts for 0.1, 3 for 0.2, 2 for 0.3."""
    for threshold, parts in ((0.1, 4), (0.2, 3), (0.3, 2)):
        schedule = Wilcoxon(6, p_threshold=threshold)
        machine = begun(schedule, BEST)
        assert schedule.levels == (*range(parts, 6), 6)
        worse = [loss + 0.1 * (1 + k / 10) for k, loss in enumerate(BEST)]
        decision = told(machine, 1, worse)
        assert decision.verdict is Verdict.STOP
        assert machine.curves[1].latest == parts
        assert decision.reason == f"worse than the best trial on {parts} parts (p = {0.5**parts:.3g})"


def test_stretches_end_where_a_decision_can_fall():
    """The first job goes to the first decision, each later one to the next part."""
    machine = Wilcoxon(6).begin(0, str)
    assert machine.offer(0) == Job(0, 0, 4)
    assert machine.report(0, 1, 0.5) == Decision(Verdict.CONTINUE, 4)
    assert machine.report(0, 4, 0.5) == Decision(Verdict.CONTINUE, 5)
    assert machine.report(0, 5, 0.5) == Decision(Verdict.CONTINUE, 6)
    assert machine.report(0, 6, 0.5).verdict is Verdict.COMPLETE


def test_nobody_stops_before_a_trial_is_complete():
    """Trials are compared with the best complete one only, whatever the running ones say."""
    machine = begun(Wilcoxon(6, p_threshold=0.3))
    machine.offer(1)
    told(machine, 1, BEST[:5])
    assert told(machine, 0, [9.0] * 5).verdict is Verdict.CONTINUE


def test_the_best_of_the_complete_ones_is_the_measure():
    """Of two complete trials the one with the smaller last loss; of equal ones the smaller key."""
    machine = begun(Wilcoxon(4, p_threshold=0.3), [0.5, 0.9, 0.5, 0.5], [0.4, 0.4, 0.4, 0.4])
    assert told(machine, 2, [0.45, 0.45]).verdict is Verdict.STOP
    machine = begun(Wilcoxon(4, p_threshold=0.3), [0.5, 0.3, 0.4, 0.4], [0.3, 0.5, 0.4, 0.4])
    assert (
        told(machine, 2, [0.52, 0.32]).verdict is Verdict.STOP
    )  # against trial 0; 1 has lost the first part


def test_equal_trials_go_on():
    """Ties are ties, whatever rounding the means have brought in."""
    best = [1 / 3, 0.1, 2 / 7, 1e-3, 0.7, 0.1]
    assert told(begun(Wilcoxon(6, p_threshold=0.9), best), 1, best).verdict is Verdict.COMPLETE


def test_one_bad_part_is_not_enough():
    """A mean that is worse by a single part leaves the trial running; losing most parts does not."""
    machine = begun(Wilcoxon(6), BEST)
    assert told(machine, 1, [9.0, 0.2, 0.1, 0.15, 0.05, 0.2]).verdict is Verdict.COMPLETE


def test_a_better_mean_is_never_stopped():
    """Losing many parts by little and winning one by much: the test says worse, the mean does not."""
    best, trial = [0.5] * 9 + [0.9], [0.5001] * 8 + [0.1, 0.1]
    machine = begun(Wilcoxon(10, p_threshold=0.5, grace_period=9), best)
    assert p_worse(np.array(trial[:9]) - np.array(best[:9])) < 0.5
    assert told(machine, 1, trial).verdict is Verdict.COMPLETE


def test_losses_that_are_not_finite_decide_nothing():
    """A trial with one goes on to its end, where it fails."""
    machine = begun(Wilcoxon(4, p_threshold=0.3), BEST[:4])
    assert machine.report(1, 1, 9.0).verdict is Verdict.CONTINUE
    assert machine.report(1, 2, math.nan).verdict is Verdict.CONTINUE
    assert machine.report(1, 3, 9.0).verdict is Verdict.CONTINUE
    assert machine.report(1, 4, math.nan).verdict is Verdict.FAIL


def test_parts_that_differ_are_not_compared():
    """Reports every second part form parts of their own; those of one each are not paired with them."""
    machine = begun(Wilcoxon(6, p_threshold=0.3), BEST)
    for resource in (2, 4):
        assert machine.report(1, resource, 9.0).verdict is Verdict.CONTINUE
    machine.offer(2)
    assert machine.report(2, 1, 9.0).verdict is Verdict.CONTINUE
    assert machine.report(2, 2, 9.0).verdict is Verdict.STOP


BAD = {
    "two parts": ({"max_resource": 2}, "max_resource: must be at least 3"),
    "never": ({"max_resource": 4}, "p_threshold: must be above 0.125, .* got 0.1"),
    "above one": ({"p_threshold": 2}, "p_threshold"),
    "nan": ({"p_threshold": math.nan}, "p_threshold"),
    "grace": ({"grace_period": 7}, "grace_period: must be at most max_resource"),
    "compat": ({"compat": "ray"}, "compat"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=list(BAD))
def test_settings_are_checked(changes, words):
    """What could never stop anybody is refused too: it says how large p is at least."""
    with pytest.raises(ScheduleError, match=words):
        Wilcoxon(**{"max_resource": 6, **changes})


def test_it_has_a_name():
    """As flow parameters give it."""
    assert schedule_of("wilcoxon", 10) == Wilcoxon(10)
    assert schedule_of({"wilcoxon": {"p_threshold": 0.2}}, 5) == Wilcoxon(5, p_threshold=0.2)


# -- the test itself -----------------------------------------------------------------------------------


def by_hand(differences):
    """The share of all ways to sign the differences whose rank sum is at least the one seen."""
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(differences))
    split = ranks[differences == 0].sum() / 2
    some = ranks[differences != 0]
    seen = split + ranks[differences > 0].sum()
    sums = [split + np.dot(some, signs) for signs in itertools.product((0, 1), repeat=len(some))]
    return np.mean([value >= seen - 1e-9 for value in sums])


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9))
def test_p_counts_every_way_to_sign(values):
    """Ties and zeros are exact too."""
    differences = np.array(values, float)
    assert p_worse(differences) == pytest.approx(by_hand(differences), abs=1e-12)


@pytest.mark.parametrize("size", [2, 5, 13, 30, 50, 80])
def test_p_without_ties_is_scipys(size):
    """SciPy is exact up to 50 values that all differ, and approximates beyond."""
    for seed in range(5):
        differences = np.random.default_rng(seed).normal(0.3, 1, size)
        asked = wilcoxon(differences, alternative="greater", zero_method="zsplit").pvalue
        assert p_worse(differences) == pytest.approx(asked, rel=1e-9)


# -- beside Optuna -------------------------------------------------------------------------------------


def both(seed, parts, draw):
    """How many of 40 trials stop; Optuna and we are told the same parts in the same order."""
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.25)
    study = optuna.create_study(pruner=pruner)
    machine = Wilcoxon(parts, p_threshold=0.25, compat="optuna").begin(0, lambda trial: f"{trial:03d}")
    rng, stopped = np.random.default_rng(seed), 0
    difficulty = rng.normal(0, 1, parts)
    for number in range(40):
        trial, worse = study.ask(), rng.normal(0, 1)
        machine.offer(number)
        losses = []
        for part in range(1, parts + 1):
            losses.append(draw(difficulty[part - 1] + worse, rng))
            verdict = machine.report(number, part, sum(losses) / part).verdict
            trial.report(losses[-1], part)
            if verdict is Verdict.COMPLETE:
                study.tell(trial, sum(losses) / part)
                break
            assert trial.should_prune() == (verdict is Verdict.STOP), (number, part)
            if verdict is Verdict.STOP:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                stopped += 1
                break
    return stopped


@pytest.mark.filterwarnings("ignore:.*experimental.*")
@pytest.mark.parametrize("parts", [5, 10, 20])
def test_compat_stops_whom_optuna_prunes(parts):
    """Losses that all differ, easy and hard parts: the same trials stop at the same part."""
    assert both(parts, parts, lambda mean, rng: mean + rng.normal(0, 0.5)) > 10


@pytest.mark.filterwarnings("ignore:.*experimental.*")
def test_compat_with_ties():
    """Losses in quarters, so that parts and differences are often equal."""
    assert both(1, 6, lambda mean, rng: round(mean + rng.normal(0, 0.5), 0) / 4) > 5
