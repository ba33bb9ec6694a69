"""What the displays of a search over an objective read: values, order, columns, scales, importances."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from prefect_tune.report.parameters import MISSING
from prefect_tune.report.tune.facts import rung_facts, tune_facts
from prefect_tune.report.tune.importances import importances
from prefect_tune.report.tune.live import Standings, bars
from prefect_tune.report.tune.scales import log_ticks, scale_of
from prefect_tune.trials import TrialState
from prefect_tune.tuning.result import NoResult
from prefect_tune.tuning.scopes import scored
from prefect_tune.tuning.trial import TrialReport

sys.path.append(str(Path(__file__).parent))
from made_results import NAN, RESULTS, a_result, a_trial, halved

every_result = pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS.keys())
DONE = TrialState.COMPLETED


# Facts


@every_result
def test_values_are_those_of_the_result(result):
    """A trial's value is its last finite one, and the best trial is that of `TuneResult.best()`."""
    facts, sign = tune_facts(result), 1 if result.mode == "min" else -1
    for trial, seen in zip(result.trials, facts.trials, strict=True):
        metric = result.metric or "loss"
        answer = scored(trial, metric, "last", sign=sign, finite=True, top=None)
        assert (answer is None) == (not seen.scored)
        assert answer is None or answer[0] == seen.value
    if facts.best is None:
        with pytest.raises((NoResult, ValueError)):
            result.best()
    else:
        assert result.best().trial.index == facts.trials[facts.best].index


@every_result
def test_the_order_has_every_trial_once(result):
    """First the schedule's ranking, then other trials with a value, then failures, then the rest."""
    facts = tune_facts(result)
    assert sorted(facts.order) == list(range(len(result.trials)))
    ranked = [facts.trials[i] for i in facts.order[: facts.ranked]]
    rest = [facts.trials[i] for i in facts.order[facts.ranked :]]
    assert all(trial.scored and not trial.failed for trial in ranked)
    assert all(trial.failed or not trial.scored for trial in rest)
    answer = [i for i in result.ranking if i in {trial.index for trial in ranked}]
    assert [trial.index for trial in ranked][: len(answer)] == answer


def test_trials_that_the_schedule_does_not_rank_follow_by_how_far_they_came():
    """Trial 2 has the better value, trial 1 came further; trial 0 is all that the schedule ranks."""
    trials = [a_trial(0, {}, [9.0]), a_trial(1, {}, [3.0, 2.0]), a_trial(2, {}, [1.0])]
    assert tune_facts(a_result(trials, ranking=(0,))).order == (0, 1, 2)


def test_late_reports_count_nowhere():
    """A report that came when the trial no longer ran is in no curve."""
    trial = a_trial(0, {}, [3.0, 2.0])
    trial.reports.append(TrialReport(3, 0.1, {"loss": 0.1}, late=True))
    (seen,) = tune_facts(a_result([trial])).trials
    assert (seen.value, seen.levels) == (2.0, (1, 2))


def test_columns_of_a_conditional_space():
    """A parameter that a trial does not have is missing; what is the same for all does not vary."""
    configs = [{"net": {"kind": "mlp", "width": 8}, "n": 1}, {"net": {"kind": "cnn"}, "n": 1}]
    facts = tune_facts(a_result([a_trial(i, config, [1.0]) for i, config in enumerate(configs)]))
    assert facts.columns == {"net/kind": ["mlp", "cnn"], "net/width": [8, MISSING], "n": [1, 1]}
    assert facts.varied == ("net/kind", "net/width")


def test_rung_facts_take_the_report_at_the_rung_or_the_next_one():
    """Reports at 2, 4 and at 1, 3 against rungs 1 and 3: 5.0 and 8.0 at 1, 4.0 and 7.0 at 3."""
    trials = [a_trial(0, {}, {2: 5.0, 4: 4.0}), a_trial(1, {}, {1: 8.0, 3: 7.0})]
    rungs = rung_facts(tune_facts(a_result(trials, levels=(1, 3, 9))))
    assert [(rung.level, rung.size, rung.best, rung.median) for rung in rungs] == [
        (1, 2, 5.0, 6.5),
        (3, 2, 4.0, 5.5),
        (9, 0, None, None),
    ]


# Scales


def test_a_logarithm_is_read_off_the_values():
    """Draws by logarithm are found in every one of 50 spaces, even draws are misread in at most two."""
    chance = [np.random.default_rng(seed) for seed in range(50)]
    by_log = [scale_of("x", (10 ** c.uniform(-4, 0, 40)).tolist()).log for c in chance]
    evenly = [scale_of("x", c.uniform(0, 1, 40).tolist()).log for c in chance]
    assert all(by_log)
    assert sum(evenly) <= 2


def test_places_on_a_scale():
    """Logarithms for powers, numbers as they are, nan where there is no value, places for categories."""
    assert scale_of("x", [1e-4, 1e-3, 1e-2, 1.0]).at.tolist() == [-4, -3, -2, 0]
    even = scale_of("x", [1, 2, MISSING, 3])
    assert np.array_equal(even.at, [1, 2, NAN, 3], equal_nan=True)
    assert even.ticks == ((1, "1"), (2, "2"), (3, "3"))
    kinds = scale_of("x", ["b", "a", True, "b"])
    assert (kinds.names, kinds.at.tolist()) == (("True", "a", "b"), [2, 1, 0, 2])


def test_rare_categories_share_the_last_place():
    """Of ten categories the seven most frequent keep their names."""
    scale = scale_of("x", ["a", "b", "c", "d", "e", "f", "g"] * 2 + ["x", "y", "z"])
    assert scale.names == ("a", "b", "c", "d", "e", "f", "g", "3 others")
    assert scale.at.tolist()[-3:] == [7, 7, 7]


def test_one_value_makes_a_scale():
    """A scale has two ends, whatever the values are."""
    for values in ([5], [0.0, 0.0], ["a"], [1e-300, 1e300], [10**20, 10**20 + 1]):
        scale = scale_of("x", values)
        assert math.isfinite(scale.low)
        assert scale.low < scale.high


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (-4, 0, "0.0001 0.001 0.01 0.1 1"),
        (0, 0.9, "1 2 5"),
        (0, 1.9, "1 3 10 30"),
        (-20, 0, "1e-20 1e-15 1e-10 1e-05 1"),
    ],
)
def test_log_ticks_are_round(low, high, labels):
    """Powers of ten over many decades, a few numbers in between over few."""
    assert " ".join(label for _, label in log_ticks(low, high, 5)) == labels


# Importances


def drawn(n: int, loss) -> tuple:
    """Facts of `n` random trials of three parameters, and their importances."""
    chance, trials = np.random.default_rng(0), []
    for index in range(n):
        config = {
            "rate": float(10 ** chance.uniform(-4, 0)),
            "depth": int(chance.integers(1, 9)),
            "idle": 0.0,
        }
        config["idle"] = float(chance.uniform())
        trials.append(a_trial(index, config, [loss(config, chance)], state=DONE))
    return importances(tune_facts(a_result(trials)))


def test_importances_find_what_works_only_together():
    """Neither rate nor depth says anything alone; both do together, and the third has no share."""
    found = drawn(200, lambda c, _: abs(math.log10(c["rate"]) + 2 + (c["depth"] - 4.5) * 0.4))
    assert found.predicted > 0.5
    assert min(found.shares["rate"], found.shares["depth"]) > 0.3
    assert found.shares["idle"] < 0.05
    assert list(found.shares)[-1] == "idle"


def test_importances_of_noise_are_not_known():
    """A forest that predicts nothing of unseen trials names no parameter."""
    found = drawn(100, lambda _, chance: chance.uniform())
    assert (found.known, found.trials) == (False, 100)
    assert found.predicted < 0.1


def test_importances_need_twenty_trials():
    """With 19 nothing is said, with 20 something may be."""
    few, enough = (drawn(n, lambda c, _: c["rate"]) for n in (19, 20))
    assert (few.known, few.trials) == (False, 19)
    assert enough.known
    assert next(iter(enough.shares)) == "rate"


def test_importances_depend_on_ranks_only():
    """One diverged trial weighs no more than the worst, and the same trials give the same numbers."""
    tame = drawn(60, lambda c, _: c["rate"])
    wild = drawn(60, lambda c, _: c["rate"] * (1e12 if c["rate"] > 0.5 else 1))
    assert tame == wild


def test_importances_of_a_conditional_space():
    """Missing values do not stop it: the branch and its parameters all have a share, 0 to 1."""
    found = importances(tune_facts(halved(120)))
    assert found.known
    assert set(found.shares) == {"lr", "batch", "dropout", "warm", "net/kind", "net/width", "net/depth"}
    assert all(0 <= share <= 1 for share in found.shares.values())
    assert next(iter(found.shares)) == "lr"


# Live


def test_bars_follow_the_metric():
    """Heights between the lowest and the highest of all curves; large is high, in either mode."""
    assert bars([8.0, 4.0, 0.0], 0.0, 8.0) == "█▅▁"
    assert bars([-1.0, -3.0], -3.0, -1.0, sign=-1) == "▁█"
    assert len(bars([1.0 / (i + 1) for i in range(500)], 0.0, 1.0)) == 16
    assert bars([1.0, 1.0], 1.0, 1.0) == "▁▁"


def leading(trials, mode: str = "min", **choices) -> Standings:
    standings = Standings(mode, **choices)
    standings.read(trials)
    return standings


def test_standings_of_a_worked_example():
    """The best trials so far with value, resource and curve; what is the same for all is left out."""
    trials = [a_trial(i, {"x": 1.5 + i, "n": 3}, [2.0 - i, 1.0 - i], mode="max") for i in range(7)]
    standings = leading(trials, "max")
    assert [line.split() for line in standings.lines(2)] == [
        ["trial", "6", "5", "2", "▅█", "x=7.5", "pending"],
        ["trial", "5", "4", "2", "▁▅", "x=6.5", "pending"],
    ]
    assert standings.best() == (5.0, trials[6])
    assert standings.params(trials[0]) == {"x": 1.5}
    assert leading(trials[:1]).params(trials[0]) == {"x": 1.5, "n": 3}


def test_nobody_leads_without_a_value():
    """Neither reports that are not finite nor trials without any."""
    standings = leading([a_trial(0, {}, [NAN]), a_trial(1, {}, [])])
    assert (standings.best(), standings.lines()) == (None, ())


@every_result
def test_the_leader_is_the_best_of_the_result(result):
    """Whatever came in which order, the live display names the trial that the result will name."""
    facts, standings = tune_facts(result), Standings(result.mode)
    for end in range(len(result.trials) + 1):
        standings.read(result.trials[:end])
    found = standings.best()
    assert (found is None) == (facts.best is None)
    if found is not None:
        assert found == (result.best().value, result.best().trial)


def test_standings_take_in_what_is_new():
    """A report that comes later counts, a late one does not; a trial leads by its last value."""
    trial = a_trial(0, {"x": 1}, [3.0])
    standings = leading([trial])
    trial.reports.append(TrialReport(2, 1.0, {"loss": 1.0}))
    trial.reports.append(TrialReport(3, 0.1, {"loss": 0.1}, late=True))
    standings.read([trial])
    assert standings.best() == (1.0, trial)


def test_in_a_cross_validation_only_trials_with_all_folds_lead():
    """A mean over one fold is no value yet."""
    trials = [a_trial(0, {}, [0.1]), a_trial(1, {}, [0.5, 0.4], state=DONE)]
    assert leading(trials, whole=True).best() == (0.4, trials[1])
    facts = tune_facts(a_result(trials, whole=True, levels=(1, 2), max_resource=2))
    assert (facts.best, facts.unit) == (1, "fold")
    assert [facts.counts(trial) for trial in facts.trials] == [False, True]
