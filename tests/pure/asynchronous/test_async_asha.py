"""The machines of asynchronous halving, event by event."""

from __future__ import annotations

import math

import pytest

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.contract import Decision, Job, Verdict
from prefect_tune.schedules.asynchronous.pasha import PASHA
from prefect_tune.trials import TrialState

CONTINUE, PAUSE, STOP, COMPLETE, FAIL, LATE = Verdict
NAN, INF = math.nan, math.inf


def key(trial: int) -> str:
    return f"{trial:05d}"


def begin(top: int = 27, *, started: int = 0, **settings):
    """A machine with some trials started."""
    machine = ASHA(top, **settings).begin(0, key)
    for index in range(started):
        assert machine.offer(index).trial == index
    return machine


def verdicts(machine, resource: int, losses) -> list[Verdict]:
    """What becomes of trials 0, 1, 2, ... that report one after the other."""
    return [machine.report(trial, resource, loss).verdict for trial, loss in enumerate(losses)]


def test_stopping_worked_example():
    """Four trials report 1.0, 0.9, 0.8, 1.2 at the first rung: only the last is stopped."""
    machine = begin(grace_period=3, started=4)
    assert verdicts(machine, 3, [1.0, 0.9, 0.8, 1.2]) == [CONTINUE, CONTINUE, CONTINUE, STOP]
    assert machine.offer(4) == Job(trial=4, since=0, until=3)
    assert machine.offer(None) is None


def test_stopping_says_where_the_trial_must_report_next():
    """Between levels and at them; at the maximum the trial is complete."""
    machine = begin(9, started=1)
    assert machine.report(0, 1, 1.0) == Decision(CONTINUE, 3)
    assert machine.report(0, 2, 1.0) == Decision(CONTINUE, 3)
    assert machine.report(0, 3, 1.0) == Decision(CONTINUE, 9)
    assert machine.report(0, 9, 1.0).verdict is COMPLETE


def test_stopped_trials_still_count():
    """The record of a stopped trial stays in its rung."""
    machine = begin(started=5)
    assert verdicts(machine, 1, [5, 4, 3, 6, 2.5]) == [CONTINUE, CONTINUE, CONTINUE, STOP, CONTINUE]
    machine.stop(4)
    machine.offer(5)
    assert machine.report(5, 1, 4.5).verdict is STOP  # six losses, two pass: 2.5 and 3


def test_promotion_takes_the_best_of_the_highest_rung():
    """A rung promotes from eta losses on; its best paused trial goes first, then the next that passes."""
    machine = begin(27, type="promotion", started=3)
    assert verdicts(machine, 1, [3.0, 1.0, 2.0]) == [PAUSE] * 3
    assert machine.offer(3) == Job(trial=1, since=1, until=3)
    assert machine.offer(3) == Job(trial=3, since=0, until=1)  # one of three passes, and it has gone
    machine.report(3, 1, 0.5)  # two of four pass now: trials 3 and 1
    assert machine.offer(4) == Job(trial=3, since=1, until=3)
    assert machine.offer(4) == Job(trial=4, since=0, until=1)
    for trial, loss in ((1, 0.9), (3, 0.4), (4, 0.1)):
        machine.report(trial, {1: 3, 3: 3, 4: 1}[trial], loss)
    assert machine.offer(5) == Job(trial=4, since=1, until=3)  # rung 3 has two losses only
    machine.report(4, 3, 0.3)
    assert machine.offer(5) == Job(trial=4, since=3, until=9)  # the higher rung first


def test_promotion_from_the_last_rung_goes_to_the_maximum():
    """With 1 and 3 below 5, whoever leaves 3 runs to 5 and is complete there."""
    machine = begin(5, type="promotion", rung_levels=[3], started=3)
    verdicts(machine, 3, [1, 2, 3])
    assert machine.offer(None) == Job(trial=0, since=3, until=5)
    assert machine.report(0, 4, 1).verdict is CONTINUE
    assert machine.report(0, 5, 1).verdict is COMPLETE


def test_promotion_breaks_ties_by_key():
    """Equal losses pass together; the smaller key is taken first, whoever came first."""
    keys = {0: "b", 1: "c", 2: "a"}
    machine = ASHA(9, type="promotion").begin(0, keys.__getitem__)
    for trial in range(3):
        machine.offer(trial)
    verdicts(machine, 1, [1, 1, 1])
    assert [machine.offer(None).trial for _ in range(3)] == [2, 0, 1]
    assert machine.offer(None) is None


def test_who_has_ended_is_not_promoted():
    """A paused trial that the search stops stays in the rung's count but never runs again."""
    machine = begin(9, type="promotion", started=4)
    verdicts(machine, 1, [1, 2, 3, 4])
    machine.stop(0)
    assert machine.offer(None).trial == 1
    machine.fail(1)
    assert machine.offer(None) is None
    assert [machine.state(trial) for trial in (0, 1)] == [TrialState.STOPPED, TrialState.FAILED]


def test_a_function_that_returns_early_is_complete():
    """And not promotable; a paused trial is not ended by the return of its function."""
    machine = begin(27, type="promotion", grace_period=3, started=4)
    machine.report(0, 2, 0.1)
    assert machine.done(0).verdict is COMPLETE
    assert machine.done(0).verdict is COMPLETE
    for trial in (1, 2, 3):
        machine.report(trial, 3, trial)
    assert machine.done(1).verdict is LATE
    assert machine.offer(None).trial == 1
    assert machine.ranking() == [0, 1, 2, 3]


@pytest.mark.parametrize("type", ["stopping", "promotion"])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_non_finite_losses_at_a_rung_fail_the_trial(type, bad):
    """No record is made: the rung's count is that of the finite losses."""
    machine = begin(9, type=type, started=4)
    assert verdicts(machine, 1, [bad, 1, 2]) == [
        FAIL,
        *([CONTINUE, CONTINUE], [PAUSE, PAUSE])[type != "stopping"],
    ]
    assert machine.report(0, 1, bad) == Decision(FAIL, reason="non-finite")
    assert machine.report(0, 2, 1.0).verdict is LATE
    assert machine.boards[0].rungs[0].losses == [1, 2]
    assert machine.losses(0) == {}
    assert machine.ranking() == [1, 2]


def test_non_finite_losses_elsewhere():
    """Between rungs they are stored, unless asked otherwise; at the maximum and as last word they fail."""
    machine = begin(9, grace_period=3, started=2)
    assert machine.report(0, 1, NAN) == Decision(CONTINUE, 3)
    assert machine.report(0, 2, 1.0) == Decision(CONTINUE, 3)
    assert machine.report(0, 3, 1.0) == Decision(CONTINUE, 9)
    assert machine.report(0, 9, INF).verdict is FAIL
    machine.report(1, 1, NAN)
    assert machine.done(1) == Decision(FAIL, reason="non-finite")
    strict = begin(9, grace_period=3, fail_on_nan="report", started=2)
    assert strict.report(0, 1, NAN).verdict is FAIL
    assert strict.done(1) == Decision(FAIL, reason="the function returned without a report")
    jumped = begin(9, grace_period=3, started=1)
    assert jumped.report(0, 4, NAN).verdict is FAIL  # it would be the record at 3


def test_records_of_failed_trials_stay():
    """They count for cutoffs; the answer is never a failed trial while there is another."""
    machine = begin(27, started=3)
    verdicts(machine, 1, [1, 2, 3])
    machine.fail(0)
    assert machine.boards[0].rungs[0].losses == [1, 2, 3]
    assert machine.ranking() == [1, 2, 0]


def test_stepping_over_levels():
    """A report beyond several levels is recorded at the highest; the others are skipped, with one warning."""
    machine = begin(81, started=2)
    decision = machine.report(0, 12, 1.0)
    assert (decision.verdict, decision.until) == (CONTINUE, 27)
    assert decision.reason == "trial 0 stepped over level 1, 3: its first report there was at 12"
    assert machine.warnings == [decision.reason]
    rungs = machine.boards[0].rungs
    assert [rung.entries for rung in rungs] == [{0: None}, {0: None}, {0: 1.0}, {}]
    assert [rung.losses for rung in rungs] == [[], [], [1.0], []]
    assert machine.losses(0) == {9: 1.0}
    assert machine.report(0, 30, 0.5).until == 81
    assert machine.report(0, 90, 0.5).verdict is COMPLETE
    assert len(machine.warnings) == 1
    assert machine.losses(0) == {9: 1.0, 27: 0.5, 81: 0.5}
    machine.report(1, 2, 3.0)  # only level 1 is crossed: nothing is skipped
    assert len(machine.warnings) == 1


def test_stepping_over_levels_with_promotion():
    """The trial pauses at the highest level it crossed, and goes on from where it really is."""
    machine = begin(27, type="promotion", started=3)
    assert machine.report(0, 5, 1.0).verdict is PAUSE
    for trial in (1, 2):
        machine.report(trial, 3, 2.0)
    assert machine.offer(None) == Job(trial=0, since=5, until=9)


def test_ray_records_jumped_levels_later():
    """Milestones are looked at from the top, one new record per report; a jumped one is recorded later."""
    machine = begin(27, compat="ray", started=1)
    rungs = machine.boards[0].rungs
    for resource in (10, 11, 12, 13):
        assert machine.report(0, resource, -float(resource)).verdict is CONTINUE
    assert [rung.entries for rung in rungs] == [{0: -12.0}, {0: -11.0}, {0: -10.0}]
    assert machine.warnings == []


def test_told_twice_counted_once():
    """A report told again gets its first answer; with another value too, and one warning per trial."""
    machine = begin(9, type="promotion", started=3)
    first = verdicts(machine, 1, [3.0, 1.0, 2.0])
    assert verdicts(machine, 1, [3.0, 1.0, 2.0]) == first
    assert machine.warnings == []
    assert machine.report(0, 1, 0.0).verdict is PAUSE
    assert machine.report(0, 1, 0.1).verdict is PAUSE
    assert machine.warnings == ["trial 0 reported 3.0 at 1, then 0.0: the first stands"]
    assert machine.boards[0].rungs[0].losses == [1.0, 2.0, 3.0]
    assert machine.offer(None).trial == 1


def test_reports_of_trials_that_do_not_run_are_late():
    """Of paused, stopped, failed and complete trials; what was known before is answered as before."""
    machine = begin(9, type="promotion", started=4)
    machine.report(0, 1, 1.0)
    assert machine.report(0, 2, 0.0).verdict is LATE
    machine.stop(1)
    machine.fail(2)
    assert machine.report(1, 1, 0.0).verdict is LATE
    assert machine.report(2, 1, 0.0).verdict is LATE
    assert machine.boards[0].rungs[0].losses == [1.0]
    machine.stop(2)
    machine.fail(1)  # an end is an end
    assert [machine.state(trial) for trial in range(3)] == [
        TrialState.PAUSED,
        TrialState.STOPPED,
        TrialState.FAILED,
    ]


def test_a_promoted_trial_may_start_again_at_one():
    """Without a checkpoint, its reports up to where it was are ignored, known or not."""
    machine = begin(27, type="promotion", grace_period=3, started=3)
    for trial in range(3):
        machine.report(trial, 2, 9.0)
        machine.report(trial, 3, trial)
    assert machine.offer(None) == Job(trial=0, since=3, until=9)
    for resource, loss in ((1, 5.0), (2, 9.0), (3, 0)):
        decision = machine.report(0, resource, loss)
        assert (decision.verdict, decision.until) == (CONTINUE, 9)
    assert machine.boards[0].rungs[0].losses == [0, 1, 2]
    assert machine.losses(0) == {3: 0}
    assert machine.report(0, 4, 1.0) == Decision(CONTINUE, 9)
    assert machine.report(0, 9, 1.0).verdict is PAUSE


def test_a_trial_that_reports_backwards_is_ignored():
    """A resource below the last one is no news."""
    machine = begin(27, grace_period=9, started=1)
    machine.report(0, 5, 1.0)
    assert machine.report(0, 4, 0.0).verdict is CONTINUE
    assert machine.losses(0) == {}
    assert begin(searcher_data="all", started=1).losses(0) == {}


def test_brackets_skip_the_first_rungs():
    """A trial of bracket s starts at rung s; the last bracket runs straight to the maximum."""
    machine = begin(9, brackets=5)
    jobs = [machine.offer(index) for index in range(40)]
    assert {(job.bracket, job.until) for job in jobs} == {(0, 1), (1, 3), (2, 9)}
    for job in jobs:
        if job.bracket == 1:
            assert machine.report(job.trial, 1, 1.0) == Decision(CONTINUE, 3)
            assert machine.losses(job.trial) == {1: 1.0}  # a sampler sees it all the same
        if job.bracket == 2:
            assert machine.report(job.trial, 9, 1.0).verdict is COMPLETE
    assert machine.boards[0].rungs[0].losses == []


@pytest.mark.parametrize("apart", [False, True])
def test_rungs_are_shared_unless_asked(apart):
    """Shared, a bracket's trial is compared with all at a rung; apart, with those of its bracket only."""
    machine = begin(27, type="promotion", brackets=2, rung_system_per_bracket=apart)
    jobs = [machine.offer(index) for index in range(40)]
    low = [job.trial for job in jobs if job.bracket == 0]
    high = [job.trial for job in jobs if job.bracket == 1]
    assert min(len(low), len(high)) > 3
    for trial in low[:2]:
        machine.report(trial, 1, 1.0)
        machine.report(trial, 3, 1.0)  # late: it waits at 1
    for trial in high[:2]:
        machine.report(trial, 3, 5.0)
    assert machine.offer(None) is None
    assert len(machine.boards) == 1 + apart
    machine.report(high[2], 3, 7.0)  # three at rung 3
    assert machine.offer(None).trial == min(high[:2])
    rungs = machine.boards[-1].rungs
    assert rungs[1].losses == [5.0, 5.0, 7.0]
    assert bool(rungs[0].losses) is not apart


def test_a_bracket_of_its_own_is_drawn_with_the_next_trial():
    """Apart, a free worker scans the drawn bracket only; without a new trial, all of them."""
    machine = begin(9, type="promotion", brackets=3, rung_system_per_bracket=True)
    zeros = [index for index in range(60) if machine.setup.draw(index) == 0]
    other = next(index for index in range(60, 90) if machine.setup.draw(index) == 1)
    for index in zeros[:3]:
        machine.offer(index)
        machine.report(index, 1, float(index))
    assert machine.offer(other) == Job(trial=other, since=0, until=3, bracket=1)
    assert machine.offer(None).trial == zeros[0]


@pytest.mark.parametrize(
    ("sight", "pending", "later", "seen"),
    [
        ("rungs", (3,), (9,), {3: 0.3}),
        ("all", (1, 2, 3), (6, 7, 8, 9), {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5}),
        ("rungs_and_last", (1, 2, 3), (6, 7, 8, 9), {3: 0.3, 5: 0.5}),
    ],
)
def test_what_a_sampler_sees(sight, pending, later, seen):
    """Losses at rungs, all, or rungs and the last; the next level is pending, or all up to it."""
    machine = begin(27, grace_period=3, searcher_data=sight, started=2)
    assert machine.pending(0) == pending
    for resource in (1, 2, 3):
        machine.report(0, resource, resource / 10)
    assert machine.pending(0) == ((9,) if sight == "rungs" else (4, 5, 6, 7, 8, 9))
    for resource in (4, 5):
        machine.report(0, resource, resource / 10)
    assert machine.pending(0) == later
    assert machine.losses(0) == seen
    machine.report(0, 6, NAN)
    assert 6 not in machine.losses(0)
    machine.report(0, 7, 0.7)
    machine.stop(0)
    assert machine.pending(0) == ()
    machine.report(0, 8, 0.8)  # late
    assert 8 not in machine.losses(0)
    assert machine.losses(1) == {}


def test_what_a_sampler_sees_of_the_maximum():
    """The loss at the maximum belongs to the rungs; a stepped-over level is seen once."""
    machine = begin(9, searcher_data="rungs_and_last", started=1)
    machine.report(0, 4, 0.4)
    assert machine.losses(0) == {3: 0.4}
    machine.report(0, 9, 0.9)
    assert machine.losses(0) == {3: 0.4, 9: 0.9}
    assert machine.pending(0) == ()


def test_ranking_goes_by_the_highest_level():
    """First those at the maximum, then rung by rung; in one, the smaller loss, ties to the smaller key."""
    machine = begin(9, started=4)
    for resource, losses in ((1, [5, 1, 1, 1]), (3, [5, 2, 2]), (9, [7])):
        for trial, loss in enumerate(losses):
            machine.ledger.of(trial).state = TrialState.RUNNING  # whoever was stopped goes on, for the test
            machine.report(trial, resource, loss)
    assert machine.ranking() == [0, 1, 2, 3]


def test_misuse_is_named():
    """An index that exists and a trial that does not."""
    machine = begin(started=1)
    with pytest.raises(ScheduleError, match="index: must be of a trial that does not exist yet, got 0"):
        machine.offer(0)
    with pytest.raises(ScheduleError, match="trial: must be one that has been given out, got 7"):
        machine.report(7, 1, 0.0)


def test_identity_tells_schedules_apart():
    """Settings that give the same decisions may differ in words; others never share an identity."""
    schedules = [
        ASHA(27),
        ASHA(27, eta=9),
        ASHA(27, type="promotion"),
        ASHA(27, brackets=2),
        ASHA(27, compat="optuna"),
        ASHA(27, rung_levels=[2]),
        PASHA(27),
        PASHA(27, percentile=80),
    ]
    found = [schedule.identity() for schedule in schedules]
    assert all(one != other for i, one in enumerate(found) for other in found[:i])
    assert ASHA(27, eta=3.0).identity() == ASHA(27).identity() == ASHA(27, rung_levels=[1, 3, 9]).identity()
    assert hash(ASHA(27, rung_levels=[1, 3])) == hash(ASHA(27, rung_levels=(1, 3)))
