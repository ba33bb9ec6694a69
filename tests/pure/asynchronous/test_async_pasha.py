"""PASHA: its cap, its epsilon and its soft ranking, against worked examples and a machine that looks anew."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.contract import Job
from prefect_tune.schedules.asynchronous.noise import Crossings
from prefect_tune.schedules.asynchronous.pasha import PASHA, breach
from prefect_tune.schedules.asynchronous.replay import Recorder, Told, tell
from prefect_tune.schedules.asynchronous.simulate import World, simulate

NAN = math.nan


def key(trial: int) -> str:
    return f"{trial:05d}"


def test_soft_ranking_worked_example():
    """b and c change places: a breach if they differ by more than epsilon where they were before."""
    previous = {"a": 0.10, "b": 0.20, "c": 0.22, "d": 0.40}
    top = {"a": 0.11, "c": 0.19, "b": 0.21, "d": 0.35}
    ranked = sorted(top, key=top.__getitem__), sorted(previous, key=previous.__getitem__)
    assert not breach(*ranked, previous, 0.05)
    assert breach(*ranked, previous, 0.01)
    assert not breach(ranked[1], ranked[1], previous, 0.0)
    assert not breach(["a"], ["a"], previous, 0.0)


def run_alone(machine, loss, trials=81):
    """One worker's search to its end, as the (job, cap after each report) it saw."""
    started, seen = 0, []
    while job := machine.offer(started if started < trials else None):
        started += job.new
        for resource in range(job.since + 1, job.until + 1):
            machine.report(job.trial, resource, loss(job, resource))
            seen.append((job, machine.gate.cap))
    return seen


def test_the_cap_grows_level_by_level():
    """With 1, 3, 9, 27 below 81 it goes 3, 9, 27, 81, one step for each breach, and stays."""
    machine = PASHA(81).begin(0, key)
    # Better trials have smaller indices at one level and larger ones at the next: rankings are reversed.
    seen = run_alone(machine, lambda job, r: job.trial * (-1) ** machine.setup.levels.all.index(job.until))
    assert [cap for cap, _ in itertools.groupby(cap for _, cap in seen)] == [3, 9, 27, 81]
    assert max(job.until for job, _ in seen) == 81


def test_the_cap_stays_where_rankings_agree():
    """Curves that never cross: nobody runs beyond the second rung, and the answer is the best there."""
    machine = PASHA(81).begin(0, key)
    seen = run_alone(machine, lambda job, r: job.trial + 1 / r)
    assert max(job.until for job, _ in seen) == machine.gate.cap == 3
    assert machine.offer(None) is None
    assert machine.ranking()[:27] == list(range(27))  # ⌊80/3⌋ + 1 of 81 pass
    assert len(machine.boards[0].rungs[1].losses) == 27


@pytest.mark.parametrize("settings", [{"grace_period": 9}, {"grace_period": 5}, {"rung_levels": [4]}])
def test_fewer_than_two_rungs_are_plain_promotion(settings):
    """There is nothing to compare rungs with: trials run to the maximum."""
    machine, plain = PASHA(9, **settings).begin(0, key), ASHA(9, type="promotion", **settings).begin(0, key)
    assert type(machine.gate) is type(plain.gate)
    jobs = [machine.offer(index) for index in range(4)]
    assert jobs == [plain.offer(index) for index in range(4)]
    if machine.setup.levels.rungs:
        for trial in range(4):
            machine.report(trial, jobs[trial].until, float(trial))
        assert machine.offer(None) == Job(trial=0, since=jobs[0].until, until=9)


@pytest.mark.parametrize("settings", [{"percentile": 101}, {"percentile": "90"}, {"compat": "optuna"}])
def test_settings_are_checked(settings):
    """PASHA promotes: rules that only stop are refused."""
    with pytest.raises(ScheduleError, match=r"percentile|compat"):
        PASHA(81, **settings)


def test_crossing_pairs_by_hand():
    """a and b cross twice up to 4, and lie .5 apart there; c never crosses; two crossings make a distance."""
    crossings = Crossings(2, 9)
    a, b, c = [1.0, 3.0, 1.0, 1.0], [2.0, 2.0, 2.0, 1.5], [9.0, 9.0, 9.0, 9.0]
    for resource in range(1, 5):
        for trial, curve in enumerate((a, b, c)):
            crossings.add(trial, resource, curve[resource - 1])
        if resource == 2:
            assert crossings.percentile(90) is None  # not beyond low, and only one change
    assert crossings.percentile(90) == 0.5
    crossings.add(0, 5, 3.0)
    assert crossings.percentile(90) == 0.5  # b is silent at 5
    crossings.add(1, 5, 1.0)
    assert crossings.percentile(90) == 2.0  # crossed once more
    crossings.leave_out(1)
    assert crossings.percentile(90) is None


class Anew:
    """The rule, word by word: everything is computed anew at every report."""

    def __init__(self, levels):
        self.levels, self.top, self.epsilon = levels, 1, 0.0
        self.curves, self.bad = {}, set()

    def crossing(self, one, other, e):
        """Whether the order changes and changes back, going down from e."""
        a, b = self.curves[one], self.curves[other]
        common = [p for p in range(1, e) if p in a and p in b]
        now = a[e] > b[e]
        away = [p for p in common if (a[p] > b[p]) != now]
        return bool(away) and any(p < max(away) and (a[p] > b[p]) == now for p in common)

    def measure(self):
        curves = {trial: curve for trial, curve in self.curves.items() if trial not in self.bad}
        seen = max((r for curve in self.curves.values() for r in curve), default=0)
        high, low = min(seen, self.levels[self.top]), min(self.levels[self.top - 1], seen)
        visited, found = set(), []
        for e in range(high, low, -1):
            there = sorted(trial for trial, curve in curves.items() if e in curve)
            for pair in itertools.combinations(there, 2):
                if pair not in visited:
                    visited.add(pair)
                    if self.crossing(*pair, e):
                        found.append(abs(curves[pair[0]][e] - curves[pair[1]][e]))
        if found:
            self.epsilon = np.percentile(found, 90)

    def report(self, trial, resource, loss, rungs):
        if self.top == len(self.levels) - 1:
            return
        if math.isfinite(loss):
            self.curves.setdefault(trial, {})[resource] = loss
        else:
            self.bad.add(trial)
        self.measure()
        upper, lower = rungs[self.top].entries, rungs[self.top - 1].entries
        common = [t for t in upper if upper[t] is not None and lower.get(t) is not None]
        top = sorted(common, key=lambda t: (upper[t], t))
        previous = sorted(common, key=lambda t: (lower[t], t))
        if any(abs(lower[t] - lower[p]) > self.epsilon for t, p in zip(top, previous, strict=True)):
            self.top += 1


@given(
    st.integers(0, 2**20),
    st.lists(st.integers(0, 16), max_size=60),
    st.sampled_from([[1] * 16, [2] * 16, [1, 2, 3, 1] * 4]),
    st.sampled_from([0, 0.02]),
    st.booleans(),
)
def test_against_a_machine_that_looks_anew(conduct, seed, order, steps, share, ties):
    """Cap and epsilon are the same after every report, for noisy, tied, sparse and diverging curves."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(16, 1)) + rng.normal(size=(16, 40)) * 0.5
    table = np.where(rng.random((16, 40)) < share, NAN, level.round(0 if ties else 6)).tolist()
    schedule = PASHA(20, eta=2)
    log = conduct(schedule, lambda t, r: table[t][r], order, trials=16, stride=steps.__getitem__)
    machine, anew = schedule.begin(0, key), Anew(schedule.levels)
    for event, answer in zip(log.events, log.answers, strict=True):
        assert tell(machine, event) == answer or math.isnan(event.loss)
        if event.told is Told.REPORT:
            anew.report(event.trial, event.resource, event.loss, machine.boards[0].rungs)
            assert machine.gate.top == anew.top
            assert machine.gate.epsilon == pytest.approx(anew.epsilon, abs=1e-12)
        if isinstance(answer, Job):
            assert answer.until <= machine.gate.cap


def test_asking_for_epsilon_changes_nothing(conduct):
    """It is measured when needed; measured at every report, the decisions are the same."""
    rng = np.random.default_rng(3)
    table = (rng.normal(size=(40, 1)) + rng.normal(size=(40, 30)) * 0.3).tolist()
    schedule = PASHA(27)
    log = conduct(schedule, lambda t, r: table[t][r], [], trials=40)
    watched = Recorder(schedule.begin(0, key))
    for event in log.events:
        watched.tell(event.told, event.trial, event.resource, event.loss)
        assert watched.machine.gate.epsilon >= 0
    assert watched.answers == log.answers


def test_many_long_curves_are_no_burden():
    """256 trials of noise, and 256 equal ones: each pair is looked at only when it changes."""
    table = np.random.default_rng(0).normal(size=(256, 201)).tolist()
    ran = simulate(PASHA(200, eta=2, rung_levels=[49, 50]), table, trials=256, world=World(workers=8))
    assert ran.spent > 256 * 49
    equal = [[0.5] * 51] * 256
    assert simulate(PASHA(50), equal, trials=256).spent == 3 * 256
