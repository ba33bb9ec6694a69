"""What holds for every variant of asynchronous halving, whatever the order of events."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.contract import Decision, Job, Verdict
from prefect_tune.schedules.asynchronous.pasha import PASHA
from prefect_tune.schedules.asynchronous.replay import Told, replay, tell
from prefect_tune.schedules.asynchronous.simulate import World, simulate

NAN = float("nan")
STOPPING = [None, "syne-0.13", "syne-0.15", "optuna", "ray"]
PROMOTION = [None, "paper", "syne-0.13"]


@st.composite
def schedules(draw):
    """Any ASHA or PASHA of small size."""
    settings = {
        "grace_period": draw(st.integers(1, 3)),
        "eta": draw(st.sampled_from([2, 3, 2.5])),
        "searcher_data": draw(st.sampled_from(["rungs", "all", "rungs_and_last"])),
        "fail_on_nan": draw(st.sampled_from(["rung", "report"])),
    }
    top = draw(st.sampled_from([3, 9, 13]))
    kind = draw(st.sampled_from(["stopping", "promotion", "pasha"]))
    compat = draw(st.sampled_from(STOPPING if kind == "stopping" else PROMOTION))
    if kind == "pasha":
        return PASHA(top, compat=compat, **settings)
    brackets, apart = draw(st.integers(1, 3)), draw(st.booleans())
    return ASHA(top, type=kind, compat=compat, brackets=brackets, rung_system_per_bracket=apart, **settings)


moves = st.lists(st.integers(0, 12), max_size=60)
strides = st.lists(st.integers(1, 4), min_size=12, max_size=12) | st.just([1] * 12)
seeds = st.integers(0, 2**20)
# Twelve curves of small whole losses, so that ties abound; in some tables a tenth is not finite.
tables = st.builds(
    lambda seed, share: np.where(
        np.random.default_rng(seed).random((12, 30)) < share,
        NAN,
        np.random.default_rng(seed).integers(-3, 4, (12, 30)),
    ).tolist(),
    seeds,
    st.sampled_from([0, 0.1]),
)


def key_of(trial: int) -> str:
    return f"{trial:05d}"


def entries(machine, place: int) -> set[int]:
    """Trials of bracket 0 with an entry at a level, skipped ones included."""
    return {
        trial
        for board in machine.boards
        for trial in board.rungs[place].entries
        if machine.ledger.of(trial).bracket == 0
    }


def told(answers) -> list[tuple]:
    """Answers that compare: verdicts and jobs without words."""
    return [(answer.verdict, answer.until) if isinstance(answer, Decision) else answer for answer in answers]


@given(schedules(), tables, moves, strides)
def test_nobody_passes_a_rung_unrecorded(conduct, schedule, table, order, steps):
    """Rungs are nested, ended trials never run again, and a trial leaves a rung at most once."""
    log = conduct(schedule, lambda t, r: table[t][r], order, trials=12, stride=steps.__getitem__)
    machine, levels = log.machine, schedule.levels
    if getattr(schedule, "compat", None) != "ray":
        for place in range(len(levels) - 2):
            assert entries(machine, place + 1) <= entries(machine, place)
    ended, left = set(), Counter()
    for event, answer in zip(log.events, log.answers, strict=True):
        if isinstance(answer, Job):
            assert answer.trial not in ended
            if not answer.new:
                place = levels.index(answer.until) - 1
                board = machine.boards[answer.bracket if len(machine.boards) > 1 else 0]
                assert board.rungs[place].entries[answer.trial] is not None
                left[answer.trial, place] += 1
        elif isinstance(answer, Decision) and answer.verdict in (
            Verdict.STOP,
            Verdict.FAIL,
            Verdict.COMPLETE,
        ):
            ended.add(event.trial)
    assert not left or max(left.values()) == 1


@given(schedules(), tables, moves, st.integers(0, 3))
def test_a_log_replays(conduct, schedule, table, order, seed):
    """The whole log and any part of it get the same answers: no decision looks ahead."""
    log = conduct(schedule, lambda t, r: table[t][r], order, trials=12, seed=seed)
    assert replay(schedule, log.events, seed=seed, keys=key_of) == log.answers
    half = len(log.events) // 2
    assert replay(schedule, log.events[:half], seed=seed, keys=key_of) == log.answers[:half]


@given(schedules(), tables, moves, st.lists(st.integers(0, 1000), max_size=20), strides)
def test_duplicates_change_nothing(conduct, schedule, table, order, again, steps):
    """Any report told any number of times, at once or later: the same decisions, losses and ranking."""
    log = conduct(schedule, lambda t, r: table[t][r], order, trials=12, stride=steps.__getitem__)
    machine = schedule.begin(0, key_of)
    answers, reports = [], []
    for event in log.events:
        answers.append(tell(machine, event))
        if event.told is Told.REPORT:
            reports.append((event, answers[-1]))
            assert tell(machine, event) == answers[-1]
            for pick in again:
                old, first = reports[pick % len(reports)]
                answer = tell(machine, old)
                # Of a promoted trial, it may be the report of a second start from nothing: told to go on.
                assert answer == first or answer.verdict is Verdict.CONTINUE
    assert answers == log.answers
    assert machine.ranking() == log.machine.ranking()
    trials = machine.ledger.courses
    assert {t: machine.losses(t) for t in trials} == {t: log.machine.losses(t) for t in trials}
    assert {t: machine.state(t) for t in trials} == {t: log.machine.state(t) for t in trials}


@given(schedules(), tables, moves)
def test_only_the_order_of_losses_counts(conduct, schedule, table, order):
    """A rising transform of the loss changes no decision: not of Ray's rule, nor of PASHA's epsilon."""
    if isinstance(schedule, PASHA) or schedule.compat == "ray":
        return
    plain = conduct(schedule, lambda t, r: table[t][r], order, trials=12)
    bent = conduct(schedule, lambda t, r: 5 + table[t][r] ** 3 + table[t][r], order, trials=12)
    assert told(plain.answers) == told(bent.answers)


@given(schedules(), moves, st.integers(1, 12))
def test_constant_losses_stop_nobody(conduct, schedule, order, trials):
    """Equal losses pass together: with stopping, every trial is complete."""
    if schedule.identity()["type"] == "promotion":
        return
    log = conduct(schedule, lambda t, r: 0.5, order, trials=trials)
    ends = [a.verdict for a in log.answers if isinstance(a, Decision) and a.verdict is not Verdict.CONTINUE]
    assert ends == [Verdict.COMPLETE] * trials


@given(schedules(), tables, moves)
def test_what_samplers_see_was_reported(conduct, schedule, table, order):
    """Losses are the table's, pending resources lie ahead, and only running trials have any."""
    log = conduct(schedule, lambda t, r: table[t][r], order, trials=12)
    machine = log.machine
    for trial, course in machine.ledger.courses.items():
        seen = machine.losses(trial)
        assert seen == {r: table[trial][r] for r in seen}
        assert list(seen) == sorted(seen)
        assert all(r > course.at for r in machine.pending(trial))
        assert bool(machine.pending(trial)) == (not course.state.finished and course.state != "paused")


class Naive:
    """Plain asynchronous halving, one bracket, every unit reported: lists, numpy and nothing else."""

    def __init__(self, levels, eta, type):
        self.levels, self.eta, self.type = levels, eta, type
        self.rungs = {level: [] for level in levels[:-1]}  # (loss, trial)
        self.promoted, self.failed = set(), set()

    def passes(self, level, loss):
        losses = [other for other, _ in self.rungs[level]]
        if len(losses) < self.eta:
            return self.type == "stopping"
        share = level / self.levels[self.levels.index(level) + 1]
        return loss <= np.quantile(losses, share) + 1e-9

    def offer(self, index):
        for level in reversed(self.levels[:-1]) if self.type == "promotion" else ():
            free = [item for item in sorted(self.rungs[level]) if (level, item[1]) not in self.promoted]
            if free and self.passes(level, free[0][0]):
                self.promoted.add((level, free[0][1]))
                return free[0][1], level, self.levels[self.levels.index(level) + 1]
        return None if index is None else (index, 0, self.levels[0])

    def report(self, trial, resource, loss):
        if resource not in self.levels:
            return "continue"
        if np.isnan(loss):
            return "fail"
        if resource == self.levels[-1]:
            return "complete"
        self.rungs[resource].append((loss, trial))
        if self.type == "promotion":
            return "pause"
        return "continue" if self.passes(resource, loss) else "stop"


@given(st.sampled_from(["stopping", "promotion"]), st.sampled_from([2, 3, 2.5]), tables, moves)
def test_against_a_naive_machine(conduct, type, eta, table, order):
    """Every job and every verdict is that of lists that are searched and sorted anew each time."""
    schedule = ASHA(13, type=type, eta=eta)
    log = conduct(schedule, lambda t, r: table[t][r], order, trials=12)
    naive = Naive(schedule.levels, eta, type)
    for event, answer in zip(log.events, log.answers, strict=True):
        if event.told is Told.OFFER:
            job = naive.offer(event.trial)
            assert job == (answer and (answer.trial, answer.since, answer.until))
        else:
            assert naive.report(event.trial, event.resource, event.loss) == answer.verdict


@given(schedules(), tables, st.integers(1, 5), st.integers(0, 2))
def test_simulations_repeat(schedule, table, workers, seed):
    """The same world, the same events; work and time add up; no more than the workers run at once."""
    world = World(workers=workers, spread=0.3, drop=0.02, seed=seed)
    one, two = (simulate(schedule, table, trials=12, world=world, seed=seed) for _ in range(2))
    assert one.events == two.events or any(np.isnan(event.loss) for event in one.events)
    assert told(one.answers) == told(two.answers)
    assert one.spent == sum(trial.resource for trial in one.trials)
    assert -1e-9 <= one.idle_share <= 1
    assert all(trial.state.finished for trial in one.trials)
    running = most = 0
    for event, answer in zip(one.events, one.answers, strict=True):
        running += isinstance(answer, Job)
        ends = isinstance(answer, Decision) and answer.verdict is not Verdict.CONTINUE
        running -= ends or event.told is Told.FAIL
        most = max(most, running)
    assert most <= workers


@given(tables, st.sampled_from(STOPPING))
def test_one_worker_is_the_sequential_search(table, compat):
    """With one worker and stopping, trials run one after the other, each to its end."""
    ran = simulate(ASHA(13, compat=compat), table, trials=12)
    assert [step.trial for step in ran.steps] == sorted(step.trial for step in ran.steps)
    assert ran.makespan == ran.spent


def test_a_curve_that_ends_is_a_function_that_returns():
    """It is complete where its curve ends, and its worker is free at that time."""
    ran = simulate(ASHA(9), [[0.0, 1.0, 1.0], [0.0], [0.0, 0.5]], trials=3)
    assert [(trial.state, trial.resource) for trial in ran.trials] == [
        ("completed", 2),
        ("failed", 0),
        ("completed", 1),
    ]
    assert (ran.makespan, ran.spent, ran.ranking) == (3.0, 3, (2, 0))
    assert ran.best_so_far == ((1.0, 1, 1.0), (3.0, 3, 0.5))


def test_a_sampler_can_be_plugged_in():
    """It is asked once per trial, sees the records as they stand, and names a row."""
    asked = []

    def suggest(index, records):
        asked.append(
            (index, [(record.config["row"], record.state, dict(record.losses)) for record in records])
        )
        return 2 - index

    ran = simulate(
        ASHA(3, type="promotion"), [[0, 1, 1, 1], [0, 2, 2, 2], [0, 3, 3, 3]], trials=3, suggest=suggest
    )
    assert [trial.row for trial in ran.trials] == [2, 1, 0]
    assert asked == [
        (0, []),
        (1, [(2, "paused", {1: 3.0})]),
        (2, [(2, "paused", {1: 3.0}), (1, "paused", {1: 2.0})]),
    ]
    assert ran.best_row == 0


@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_jobs_take_their_time(type):
    """Time is resource times pace; equal times come in the order of scheduling."""
    table = [[0.0, 1.0, 1.0, 1.0]] * 2
    world = World(workers=2, unit_time=[1.0, 0.25])
    ran = simulate(ASHA(3, rung_levels=[], type=type), table, trials=2, world=world)
    assert [(step.time, step.trial) for step in ran.steps] == [
        (0.25, 1),
        (0.5, 1),
        (0.75, 1),
        (1.0, 0),
        (2.0, 0),
        (3.0, 0),
    ]
    assert ran.idle_share == pytest.approx(1 - 3.75 / 6)
