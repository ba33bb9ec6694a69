"""Rounds: what schedules decide from reports, and that what runs is what was planned.

The driver below is all there is to a search: ask, train, report, ask again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.schedules import (
    Bracket,
    Halving,
    Incremental,
    InverseDecay,
    Plateau,
    Report,
    Rung,
    Schedule,
    best,
    competition_ranks,
    hyperband,
    plan_bracket,
    rank,
    winner,
)

NAN = math.nan
Score = Callable[[str, int], float]


def keys(count: int) -> list[str]:
    """So many candidates."""
    return [f"c{i:04d}" for i in range(count)]


def drive(schedule: Schedule, names: list[str], score: Score) -> dict[str, list[Report]]:
    """The history of a whole search; each round asks for more than was done before."""
    history: dict[str, list[Report]] = {name: [] for name in names}
    while wanted := schedule.next_round(history):
        for key, calls in wanted.items():
            assert not history[key] or calls > history[key][-1].calls
            history[key].append(Report(calls, score(key, calls)))
    return history


def trained(history: dict[str, list[Report]]) -> int:
    """Training calls of all candidates."""
    return sum(reports[-1].calls for reports in history.values() if reports)


def noise(key: str, calls: int) -> float:
    """A score without any order in it, the same every time."""
    return random.Random(f"{key}/{calls}").random()


@cache
def simulate(rungs: tuple[Rung, ...]) -> tuple[int, int, int]:
    """Training calls, scores, and the most calls of one candidate, when a bracket is really driven."""
    history = drive(
        Halving(Bracket(0, rungs)), keys(rungs[0].size), lambda key, calls: int(key[1:]) * 7919 % 1009
    )
    reports = [report for entry in history.values() for report in entry]
    return trained(history), len(reports), max(report.calls for report in reports)


@pytest.mark.parametrize("eta", [2, 3, 4, 5])
def test_what_is_planned_is_what_runs(eta):
    """For every cap up to 1000: calls and scores as planned, nobody beyond the cap, none scored early.

    Different caps share many brackets (all of 81 to 161 begin with 1, 3, 9, 27, 81), so each is driven once.
    """
    for cap in range(1, 1001):
        for bracket in hyperband(cap, eta=eta):
            calls, scores, longest = simulate(bracket.rungs)
            assert (calls, scores) == (bracket.calls, bracket.scores), (cap, eta, bracket.name)
            assert longest == bracket.resources[-1] <= cap, (cap, eta, bracket.name)
            plan = Halving(bracket).plan()
            assert (plan.partial_fit_calls, plan.scores) == (calls, scores)


def halved(sizes, resources, score: Score) -> list[tuple[int, list[str]]]:
    """Successive halving with a sort and a slice: calls, and who was trained to them."""
    members, found = keys(sizes[0]), []
    for size, calls in zip(sizes, resources, strict=True):
        members = (
            sorted(members, key=lambda key: -found_score(found, score, key))[:size] if found else members
        )
        found.append((calls, members))
    return found


def found_score(found: list[tuple[int, list[str]]], score: Score, key: str) -> float:
    """Score of a candidate at the last rung."""
    return score(key, found[-1][0])


def test_halving_trains_whom_a_sort_and_a_slice_would_train():
    """Each rung holds exactly the best of the rung before."""
    for bracket in (*hyperband(81), *hyperband(94, eta=4), *hyperband(9, eta=2)):
        history = drive(Halving(bracket), keys(bracket.size), noise)
        for calls, members in halved(bracket.sizes, bracket.resources, noise):
            reached = [key for key, reports in history.items() if any(r.calls == calls for r in reports)]
            assert sorted(members) == reached


def test_first_round_goes_straight_to_the_first_rung():
    """No score before the first rung: dask-ml scores everyone after one call."""
    bracket = hyperband(94, eta=4)[1]
    assert set(Halving(bracket).next_round({key: [] for key in keys(22)}).values()) == {5}


def test_nan_is_never_promoted():
    """Of three candidates one is finite: a rung may run with fewer than planned."""
    halving = Halving(plan_bracket(9, min_resource=1))
    history = {key: [Report(1, NAN)] for key in keys(9)}
    history["c0004"] = [Report(1, -100.0)]
    history["c0005"] = [Report(1, math.inf)]
    history["c0006"] = [Report(1, -math.inf)]
    assert halving.next_round(history) == {"c0004": 3}
    assert halving.survivors(history) == ["c0004"]


def test_a_bracket_of_failures_ends():
    """Nobody left to promote: over, no survivor, no best."""
    halving = Halving(plan_bracket(3, min_resource=2))
    history = {key: [Report(0, NAN)] for key in keys(3)}
    assert (halving.next_round(history), halving.survivors(history), best(history)) == ({}, [], None)
    assert halving.next_round({}) == {}


def test_a_failure_on_the_way_does_not_change_an_earlier_decision():
    """The winner of rung 0 fails towards rung 1; the loser of rung 0 stays a loser."""
    halving = Halving(plan_bracket(4, min_resource=2, max_resource=8, eta=2))
    history = {"a": [Report(2, 0.9)], "b": [Report(2, 0.8)], "c": [Report(2, 0.7)], "d": [Report(2, 0.1)]}
    assert halving.next_round(history) == {"a": 4, "b": 4}
    for calls in (2, 3, 4):  # however far it came
        failed = history | {"a": [Report(2, 0.9), Report(calls, NAN)]}
        assert halving.next_round(failed) == {"b": 4}
        done = failed | {"b": [Report(2, 0.8), Report(4, 0.2)]}
        assert halving.next_round(done) == {"b": 8}
        assert halving.survivors(done) == ["b"]
        assert best(done) == "c"  # dropped, but nobody's last score is better


def test_a_round_half_reported_names_the_rest():
    """The rung is a barrier: nobody is promoted before all are in."""
    halving = Halving(plan_bracket(3, min_resource=1))
    history = {"a": [Report(1, 0.9)], "b": [], "c": [Report(1, 0.1)]}
    assert halving.next_round(history) == {"b": 1}
    assert halving.survivors(history) == ["a", "c", "b"]


def test_ties_go_to_the_smaller_key():
    """Equal scores: the three smallest keys go on, then the smallest."""
    halving = Halving(plan_bracket(9, min_resource=1))
    history = drive(halving, keys(9)[::-1], lambda key, calls: 0.5)
    assert [key for key, reports in sorted(history.items()) if len(reports) > 1] == keys(3)
    assert halving.survivors(history) == ["c0000"]


def test_fewer_candidates_than_planned():
    """A small grid fills what it can; the plan counts the same."""
    halving = Halving(plan_bracket(27, min_resource=1))
    history = drive(halving, keys(5), noise)
    plan = halving.plan(5)
    assert (plan.n_models, plan.partial_fit_calls) == (5, trained(history)) == (5, 5 + 5 * 2 + 3 * 6 + 1 * 18)
    assert plan.scores == sum(len(reports) for reports in history.values())


SCHEDULES = [
    Halving(plan_bracket(27, min_resource=1, max_resource=20)),
    Halving(plan_bracket(16, min_resource=3, max_resource=40, eta=2), Plateau(4, 0.2)),
    Incremental(12, fits_per_score=5),
    Incremental(12, fits_per_score=5, plateau=Plateau(3, 0.1)),
    InverseDecay(16, 1, 40),
    InverseDecay(16, 0.5, 20, 3, Plateau(4, 0.2)),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_plans_without_failures_are_executed(schedule):
    """Calls, scores and caps as planned, for scores that always rise."""
    count = schedule.size or 7
    history = drive(schedule, keys(count), lambda key, calls: calls + noise(key, 0) / 2)
    plan = schedule.plan(count)
    assert plan.partial_fit_calls == trained(history)
    assert plan.scores == sum(len(reports) for reports in history.values())
    assert max(reports[-1].calls for reports in history.values()) == plan.decisions[-1]
    assert plan.metadata["max_iter"] == plan.decisions[-1]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@given(seed=st.integers(0, 10**6))
def test_order_of_the_history_does_not_matter(schedule, seed):
    """Every round and the survivors are the same for a shuffled history, failures included."""

    def score(key: str, calls: int) -> float:
        value = noise(key, calls + seed)
        return NAN if value < 0.1 else round(value, 1)  # rounded: many ties

    history: dict[str, list[Report]] = {key: [] for key in keys(schedule.size or 7)}
    while wanted := schedule.next_round(history):
        shuffled = random.Random(seed).sample(sorted(history), len(history))
        assert list(schedule.next_round({key: history[key] for key in shuffled}).items()) == list(
            wanted.items()
        )
        for key, calls in wanted.items():
            history[key].append(Report(calls, score(key, calls)))
    shuffled = random.Random(seed).sample(sorted(history), len(history))
    assert schedule.survivors({key: history[key] for key in shuffled}) == schedule.survivors(history)
    assert all(math.isfinite(history[key][-1].score) for key in schedule.survivors(history))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@given(seed=st.integers(0, 10**6))
def test_arrival_one_by_one_ends_in_the_same_history(schedule, seed):
    """Whoever reports first, and however few at a time: the same reports in the end."""

    def score(key: str, calls: int) -> float:
        return noise(key, calls + seed)

    chance = random.Random(seed)
    names = keys(schedule.size or 7)
    history: dict[str, list[Report]] = {key: [] for key in names}
    while wanted := schedule.next_round(history):
        for key in chance.sample(sorted(wanted), chance.randint(1, min(3, len(wanted)))):
            history[key].append(Report(wanted[key], score(key, wanted[key])))
    assert history == drive(schedule, names, score)


@given(st.lists(st.integers(-50, 50), min_size=81, max_size=81))
def test_a_rising_transform_of_the_scores_changes_nothing(values):
    """Only the order of scores counts."""
    halving = Halving(hyperband(81)[0])
    worth = dict(zip(keys(81), values, strict=True))
    plain = drive(halving, keys(81), lambda key, calls: worth[key])
    bent = drive(halving, keys(81), lambda key, calls: math.atan(worth[key] / 10) ** 3 * 1e6 - 7)
    assert {k: [r.calls for r in reports] for k, reports in plain.items()} == {
        k: [r.calls for r in reports] for k, reports in bent.items()
    }
    assert halving.survivors(plain) == halving.survivors(bent)


@pytest.mark.parametrize("patience", [2, 3, 10])
def test_a_plateau_rule_that_never_stops_changes_nobody_s_training(patience):
    """tol nan or None: more scores, the same calls and the same winner."""
    for bracket in hyperband(30):
        plain = Halving(bracket)
        watched = Halving(bracket, Plateau(patience, NAN))
        one, other = (drive(schedule, keys(bracket.size), noise) for schedule in (plain, watched))
        assert {k: r[-1] for k, r in one.items()} == {k: r[-1] for k, r in other.items()}
        assert plain.survivors(one) == watched.survivors(other)
        assert watched.plan().scores == sum(len(reports) for reports in other.values())
        for reports in other.values():
            assert reports[0].calls == 1
            assert all(later.calls - report.calls <= patience for report, later in pairwise(reports))


def test_plateau_worked_by_hand():
    """Constant scores stop after `patience`; a steady rise stops only where it is within tol."""
    flat = drive(Incremental(100, plateau=Plateau(5, 0)), keys(3), lambda key, calls: 0.5)
    assert [reports[-1].calls for reports in flat.values()] == [5, 5, 5]
    for tol, last in ((1, 10), (4, 3)):
        rising = drive(Incremental(10, plateau=Plateau(3, tol)), keys(1), lambda key, calls: calls)
        assert rising["c0000"][-1].calls == last


def test_plateau_looks_at_the_best_since():
    """max(w₁ … w_m) − w₀ ≤ tol, over reports from calls − patience on; one report alone says nothing."""
    rule = Plateau(4, 0.1)
    reports = [Report(c, s) for c, s in ((1, 0.9), (5, 0.5), (6, 0.9), (9, 0.5))]
    assert not rule.stopped(reports, 100)  # 0.9 − 0.5, though the last is no better than the first
    assert rule.stopped([*reports, Report(10, 0.9)], 100)  # from 6 on: nothing above 0.9
    assert not rule.stopped([Report(9, 0.5)], 100)
    assert rule.stopped([Report(100, 0.5)], 100)
    assert not Plateau(4, None).stopped([Report(c, 0.5) for c in range(1, 50)], 100)
    assert not rule.stopped([], 100)


def test_a_frozen_candidate_keeps_its_slot_and_may_win():
    """`a` stops at 5 of 9 calls with the best score: it is promoted and wins, and never trains again."""
    halving = Halving(Bracket(0, (Rung(0, 3, 9), Rung(1, 2, 18))), Plateau(4, 0.0))

    def score(key: str, calls: int) -> float:
        return 0.9 if key == "a" else {"b": 0.3, "c": 0.1}[key] + calls / 100

    history = drive(halving, ["a", "b", "c"], score)
    assert {key: [r.calls for r in reports] for key, reports in history.items()} == {
        "a": [1, 5],
        "b": [1, 5, 9, 13, 17, 18],
        "c": [1, 5, 9],
    }
    assert halving.survivors(history) == ["a", "b"]


def test_a_rung_of_frozen_candidates_is_passed():
    """All frozen in the first rung: over at once, ranked by their last scores."""
    halving = Halving(plan_bracket(4, min_resource=8, eta=2), Plateau(2, 0.0))
    history = drive(halving, keys(4), lambda key, calls: int(key[1:]) / 10)
    assert {reports[-1].calls for reports in history.values()} == {3}
    assert halving.survivors(history) == ["c0003"]


def test_incremental_drops_failures_only():
    """A failed candidate ends; the others go to the end."""
    schedule = Incremental(10, fits_per_score=4)
    history = drive(
        schedule, keys(3), lambda key, calls: NAN if (key, calls) == ("c0001", 8) else noise(key, calls)
    )
    assert [[r.calls for r in reports] for reports in history.values()] == [[4, 8, 10], [4, 8], [4, 8, 10]]
    assert sorted(schedule.survivors(history)) == ["c0000", "c0002"]


def test_inverse_decay_drops_as_its_table_says():
    """Ten candidates: ten at one call, two at two, one answer."""
    schedule = InverseDecay(10, 1, 100)
    history = drive(schedule, keys(10), lambda key, calls: -int(key[1:]))
    assert {key: reports[-1].calls for key, reports in history.items()} == {
        key: 2 if key in ("c0000", "c0001") else 1 for key in keys(10)
    }
    assert schedule.survivors(history)[0] == "c0000"


def test_inverse_decay_scores_between_with_patience():
    """At most `fits_per_score` calls between scores, never more than the patience; the rungs stay."""
    plain = InverseDecay(100, 1, 100)
    watched = InverseDecay(100, 1, 100, fits_per_score=9, plateau=Plateau(3, None))
    one, other = (drive(schedule, keys(100), noise) for schedule in (plain, watched))
    assert {k: r[-1] for k, r in one.items()} == {k: r[-1] for k, r in other.items()}
    gaps = [b.calls - a.calls for reports in other.values() for a, b in pairwise(reports)]
    assert max(gaps) == 3


def test_ranks_and_winners():
    """Finite first, then greater, then smaller key; equal scores share a place; brackets tie in order."""
    scores = {"d": NAN, "c": 1.0, "b": 1.0, "a": -math.inf, "e": 2.0, "f": math.inf}
    assert rank(scores) == ["e", "b", "c", "a", "d", "f"]
    assert competition_ranks(scores) == {"e": 1, "b": 2, "c": 2, "a": 4, "d": 4, "f": 4}
    assert winner([{"z": 0.5}, {"a": 0.5}, {"b": 0.7, "c": NAN}]) == (2, "b")
    assert winner([{}, {"x": NAN}]) is None
    assert best({"a": [Report(1, 0.9), Report(2, NAN)], "b": [Report(1, 0.1)], "c": []}) == "b"


TASKSET = Path(__file__).resolve().parents[3] / "shared" / "data" / "taskset"
# Task, loss of id 67 after successive halving of ids 0 to 80, and id and loss of Hyperband's winner.
CURVES = [
    ("patch128_LSTM128_avg_bs64", 0.514177, (1, 0.521309)),
    ("patch128_LSTM128_embed128_bs64", 0.495407, (1, 0.517748)),
    ("patch32_GRU64_avg_bs128", 0.476552, (29, 0.652550)),
    ("patch32_IRNN64_relu_last_bs128", 0.497053, (0, 0.580474)),
    ("patch32_LSTM128_bs128", 0.538190, (1, 0.621240)),
    ("patch32_VRNN64_relu_avg_bs128", 0.496054, (10, 0.658300)),
]


@pytest.mark.parametrize(("task", "halved_loss", "hyperband_winner"), CURVES)
def test_real_learning_curves(task, halved_loss, hyperband_winner):
    """TaskSet's curves of 50 epochs: 266 calls find id 67; 571 calls of Hyperband find the id named."""
    path = TASKSET / f"imdb_{task}.parquet"
    if not path.is_file():
        pytest.skip("the TaskSet curves are not here (shared/data/taskset beside the checkout)")
    pandas = pytest.importorskip("pandas")
    curves = list(pandas.read_parquet(path, columns=["valid_loss"])["valid_loss"])

    def score(key: str, calls: int) -> float:
        return -float(curves[int(key[1:])][calls])

    halving = Halving(plan_bracket(81, min_resource=1, max_resource=50))
    history = drive(halving, keys(81), score)
    assert halving.plan().partial_fit_calls == 266
    assert trained(history) <= 266  # less where diverged candidates leave a rung short
    assert halving.survivors(history) == ["c0067"]
    assert -history["c0067"][-1].score == pytest.approx(halved_loss, abs=1e-6)

    start, survivors = 0, []
    for bracket in hyperband(50):
        names = keys(49)[start : start + bracket.size]
        schedule = Halving(bracket)
        ended = drive(schedule, names, score)
        survivors.append({key: ended[key][-1].score for key in schedule.survivors(ended)})
        start += bracket.size
    place, key = winner(survivors)
    assert (int(key[1:]), pytest.approx(-survivors[place][key], abs=1e-6)) == hyperband_winner
