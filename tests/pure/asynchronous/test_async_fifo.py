"""First in, first out, and what all schedules without rungs share: curves, duplicates, late reports, ends."""

from __future__ import annotations

import doctest
import importlib
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Decision, Job, Verdict
from prefect_tune.schedules.asynchronous.fifo import FIFO
from prefect_tune.schedules.asynchronous.median import MedianStopping
from prefect_tune.schedules.asynchronous.pbt import PBT
from prefect_tune.schedules.asynchronous.plateau import TrialPlateau
from prefect_tune.schedules.asynchronous.replay import Event, Recorder, Told, replay
from prefect_tune.schedules.asynchronous.wilcoxon import Wilcoxon
from prefect_tune.trials import generator

SCHEDULES = [
    FIFO(9),
    MedianStopping(9),
    MedianStopping(9, rule="rank"),
    MedianStopping(9, rule="percentile"),
    Wilcoxon(9, p_threshold=0.3),
    PBT(9, population=4, interval=3),
    TrialPlateau(FIFO(9)),
    TrialPlateau(MedianStopping(9)),
]


def key_of(trial):
    return f"{trial:03d}"


def begun(schedule, trials=1):
    """A machine with so many trials started."""
    machine = schedule.begin(0, key_of)
    for index in range(trials):
        assert machine.offer(index).trial == index
    return machine


def test_fifo_runs_everybody_to_the_maximum():
    """Reports below the maximum go on; the one at the maximum, or beyond it, completes."""
    machine = FIFO(3).begin(0, key_of)
    assert machine.offer(0) == Job(trial=0, since=0, until=3)
    assert machine.report(0, 1, 9.0) == Decision(Verdict.CONTINUE, 3)
    assert machine.report(0, 2, 99.0) == Decision(Verdict.CONTINUE, 3)
    assert machine.report(0, 3, 999.0).verdict is Verdict.COMPLETE
    assert machine.offer(1).new
    assert machine.report(1, 5, 1.0).verdict is Verdict.COMPLETE


def test_fifo_without_a_maximum_runs_to_the_functions_end():
    """No report completes, the return does; the whole run then counts as one unit."""
    machine = FIFO().begin(0, key_of)
    assert machine.offer(0) == Job(trial=0, since=0, until=None)
    assert machine.pending(0) == (1,)
    assert machine.report(0, 1, 0.5) == Decision(Verdict.CONTINUE, None)
    assert machine.report(0, 1000, 0.25) == Decision(Verdict.CONTINUE, None)
    assert machine.losses(0) == {}
    assert machine.done(0).verdict is Verdict.COMPLETE
    assert machine.losses(0) == {1: 0.25}
    assert machine.pending(0) == ()


def test_levels_and_losses_of_one_value():
    """An objective of one value has one level, and its loss stands there."""
    assert FIFO(1).levels == FIFO().levels == (1,)
    assert FIFO(81).levels == (81,)
    machine = begun(FIFO(1), 2)
    machine.report(1, 1, 0.5)
    assert (machine.losses(0), machine.losses(1)) == ({}, {1: 0.5})
    assert (machine.pending(0), machine.pending(1)) == ((1,), ())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_no_new_trial_when_none_is_allowed(schedule):
    """Without an index nothing is started, since nothing waits."""
    assert schedule.begin(0, key_of).offer(None) is None


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_report_told_twice_is_answered_alike_and_counted_once(schedule):
    """The first decision comes again, another value changes nothing and is warned of once."""
    machine = begun(schedule)
    first = machine.report(0, 1, 0.5)
    second = machine.report(0, 2, 0.4)
    assert machine.report(0, 1, 0.5) == first
    assert machine.report(0, 2, 0.4) == second
    assert machine.warnings == []
    assert machine.report(0, 2, 0.1) == second
    assert machine.report(0, 2, math.nan) == second
    assert len(machine.warnings) == 1
    assert "trial 0 reported 0.4 at 2, then 0.1" in machine.warnings[0]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_reports_after_the_end_are_late(schedule):
    """Whoever was stopped, has failed or is complete gets no second verdict; known reports keep theirs."""
    machine = begun(schedule, 4)
    known = machine.report(0, 1, 0.5)
    machine.stop(0)
    machine.fail(1)
    assert machine.report(2, 9, 0.5).verdict is Verdict.COMPLETE
    for trial in (0, 1):
        assert machine.report(trial, 2, 0.1).verdict is Verdict.LATE
    assert machine.report(0, 1, 0.5) == known
    assert machine.report(2, 10, 0.1).verdict is Verdict.LATE
    assert machine.report(2, 9, 0.5).verdict is Verdict.COMPLETE
    machine.fail(2)  # too late to fail
    assert machine.done(2).verdict is Verdict.COMPLETE
    assert machine.done(0).verdict is Verdict.LATE
    assert machine.done(1).verdict is Verdict.FAIL


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_last_loss_that_is_not_finite_fails(schedule, loss):
    """At the maximum, and as the last word of a function that returned by itself."""
    machine = begun(schedule, 2)
    machine.report(0, 1, 0.5)
    machine.report(1, 1, 0.5)
    assert machine.report(0, 9, loss) == Decision(Verdict.FAIL, reason="non-finite")
    machine.report(1, 2, loss)
    assert machine.done(1) == Decision(Verdict.FAIL, reason="non-finite")
    assert set(machine.losses(0)) <= {1}


@pytest.mark.parametrize("kind", [FIFO, MedianStopping, PBT, Wilcoxon])
def test_fail_on_nan_at_once(kind):
    """`rung` keeps the report and decides nothing, `report` fails the trial."""
    settings = {"interval": 3} if kind is PBT else {}
    patient, strict = kind(9, **settings), kind(9, fail_on_nan="report", **settings)
    assert begun(patient).report(0, 1, math.nan).verdict is Verdict.CONTINUE
    assert begun(strict).report(0, 1, math.nan) == Decision(Verdict.FAIL, reason="non-finite")
    with pytest.raises(ScheduleError, match="fail_on_nan: must be 'rung' or 'report', got 'never'"):
        kind(9, fail_on_nan="never")


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_function_that_returns_without_a_report_fails(schedule):
    """There is no loss to complete with."""
    answer = begun(schedule).done(0)
    assert (answer.verdict, answer.reason) == (Verdict.FAIL, "the function returned without a report")


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_an_early_return_stands_at_the_last_level(schedule):
    """A function that returned by itself has no more to give, so it is compared with the completed ones."""
    machine = begun(schedule, 2)
    machine.report(0, 1, 0.25)
    assert machine.done(0).verdict is Verdict.COMPLETE
    assert machine.done(0).verdict is Verdict.COMPLETE
    assert machine.losses(0)[9] == 0.25
    machine.report(1, 9, 0.5)
    assert machine.ranking() == [0, 1]


def test_reports_out_of_order_are_ignored():
    """A run that was begun anew reports what lies behind it: no news, and the trial goes on."""
    machine = begun(MedianStopping(9, interval=2))
    assert machine.report(0, 4, 0.5).until == 5
    answer = machine.report(0, 2, 0.1)
    assert (answer.verdict, answer.until) == (Verdict.CONTINUE, 5)
    assert machine.losses(0) == {3: 0.5}  # the highest level crossed


def test_ranking_is_by_level_then_loss_then_key():
    """Trials at the highest level come first; equal losses go to the smaller key; failures are not named."""
    machine = MedianStopping(4, interval=1).begin(0, lambda trial: "cab"[trial] if trial < 3 else "z")
    for index in range(5):
        machine.offer(index)
    for trial, loss in enumerate((0.5, 0.5, 0.7)):
        machine.report(trial, 4, loss)
    machine.report(3, 2, 0.1)
    machine.report(4, 4, math.nan)
    assert machine.ranking() == [1, 0, 2, 3]


def test_stepping_over_levels_records_the_highest():
    """A report beyond several levels stands for the highest one it crossed, and only if that is new."""
    machine = begun(MedianStopping(30, grace_period=5, interval=10))
    assert MedianStopping(30, grace_period=5, interval=10).levels == (5, 15, 25, 30)
    assert machine.pending(0) == (5,)
    machine.report(0, 4, 0.9)
    assert machine.losses(0) == {}
    machine.report(0, 17, 0.8)
    assert (machine.losses(0), machine.pending(0)) == ({15: 0.8}, (25,))
    machine.report(0, 18, 0.7)
    assert machine.losses(0) == {15: 0.8}
    machine.report(0, 40, 0.6)
    assert (machine.losses(0), machine.pending(0)) == ({15: 0.8, 30: 0.6}, ())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_unknown_and_repeated_trials_are_refused(schedule):
    """A trial exists from its offer on, and is offered once."""
    machine = begun(schedule)
    for call in (lambda: machine.report(7, 1, 0.5), lambda: machine.done(7), lambda: machine.losses(7)):
        with pytest.raises(ScheduleError, match="trial: must be one that has been given out, got 7"):
            call()
    with pytest.raises(ScheduleError, match="index: must be of a trial that does not exist yet, got 0"):
        machine.offer(0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_settings_are_values(schedule):
    """They survive pickling, compare by value, and their identity is plain JSON."""
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert hash(schedule) == hash(pickle.loads(pickle.dumps(schedule)))
    assert json.loads(json.dumps(schedule.identity())) == schedule.identity()


def test_identities_differ():
    """Two schedules that could decide differently have different identities."""
    seen = [str(schedule.identity()) for schedule in [*SCHEDULES, FIFO(), FIFO(10), PBT(9, synch=True)]]
    assert len(set(seen)) == len(seen)


def test_numpy_ints_are_taken_as_ints():
    """The identity stays plain."""
    three = np.int64(3)
    assert FIFO(three) == FIFO(3)
    assert type(FIFO(three).identity()["max_resource"]) is int
    assert type(MedianStopping(three, grace_period=three).identity()["grace_period"]) is int
    assert type(PBT(three, interval=three).identity()["interval"]) is int


@pytest.mark.parametrize("value", [0, -1, 1.5, "9", True])
def test_max_resource_is_checked(value):
    """A positive int or, for FIFO alone, None."""
    for kind in (FIFO, MedianStopping, PBT):
        with pytest.raises(ScheduleError, match="max_resource: must be an int of at least 1"):
            kind(value)
    for kind in (MedianStopping, PBT):
        with pytest.raises(ScheduleError, match="max_resource"):
            kind(None)


def test_a_log_replays():
    """The same events give the same answers from a fresh machine."""
    events = [
        Event(Told.OFFER, 0),
        Event(Told.REPORT, 0, 1, 0.5),
        Event(Told.REPORT, 0, 1, 0.5),
        Event(Told.DONE, 0),
        Event(Told.OFFER, None),
    ]
    first = replay(FIFO(9), events, seed=0, keys=key_of)
    assert first == replay(FIFO(9), events, seed=0, keys=key_of)
    assert [getattr(answer, "verdict", None) for answer in first[1:4]] == ["continue", "continue", "complete"]


@given(st.lists(st.integers(0, 30), max_size=40), st.sampled_from(SCHEDULES), st.integers(0, 3))
def test_any_order_of_events(moves, schedule, seed):
    """Nobody runs after its end, the log replays, and reports told twice get their answers twice, no more."""
    log = Recorder(schedule.begin(seed, key_of))
    running, known = {}, 0
    for move in moves:
        pick = move % (len(running) + 1)
        if pick == len(running):
            job = log.tell(Told.OFFER, known if known < 6 else None)
            if isinstance(job, Job):
                known += job.trial == known
                running[job.trial] = job.since
            continue
        trial = list(running)[pick]
        running[trial] += 1 + move % 2
        loss = float(generator(seed, "loss", trial, running[trial]).integers(0, 4))
        answer = log.tell(Told.REPORT, trial, running[trial], loss)
        assert answer.verdict is not Verdict.LATE
        if answer.verdict is not Verdict.CONTINUE:
            del running[trial]
        else:
            assert answer.until > running[trial]
    assert replay(schedule, log.events, seed=seed, keys=key_of) == log.answers
    twice = [event for event in log.events for _ in range(1 + (event.told is Told.REPORT))]
    wanted = [
        answer
        for event, answer in zip(log.events, log.answers, strict=True)
        for _ in range(1 + (event.told is Told.REPORT))
    ]
    assert replay(schedule, twice, seed=seed, keys=key_of) == wanted


@pytest.mark.parametrize("name", ["curves", "explore", "fifo", "median", "pbt", "plateau", "wilcoxon"])
def test_examples_in_docstrings(name):
    """They run."""
    module = importlib.import_module(f"prefect_tune.schedules.asynchronous.{name}")
    assert doctest.testmod(module).failed == 0
