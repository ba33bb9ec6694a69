"""Population based training: who is replaced, by whose copy, from where, and what a copy changes."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import ScheduleError
from prefect_tune.schedules.asynchronous.contract import Decision, Job, Verdict
from prefect_tune.schedules.asynchronous.explore import explore, moved
from prefect_tune.schedules.asynchronous.fifo import FIFO
from prefect_tune.schedules.asynchronous.pbt import PBT
from prefect_tune.schedules.asynchronous.plateau import TrialPlateau
from prefect_tune.schedules.asynchronous.replay import Recorder, Told, replay
from prefect_tune.space import (
    Choice,
    Distribution,
    FinRange,
    Float,
    Grid,
    Integer,
    Normal,
    Ordinal,
    SearchSpace,
    choice,
    derived,
    grid,
    loguniform,
    ordinal,
    quniform,
    randint,
)
from prefect_tune.trials import TrialState, generator


def key_of(trial):
    return f"{trial:03d}"


def population(schedule, losses, resource=None, seed=0):
    """A machine whose founders have reported these losses, and its answers."""
    machine = schedule.begin(seed, key_of)
    for trial in range(len(losses)):
        machine.offer(trial)
    answers = [
        machine.report(trial, resource or schedule.interval, loss) for trial, loss in enumerate(losses)
    ]
    return machine, answers


def donor_of(seed, exploit, best):
    """The donor by the rule: uniform among the best, from the first number of the copy's own stream."""
    return best[int(generator(seed, "pbt", exploit).random() * len(best))]


@pytest.mark.parametrize(
    ("fraction", "shares"),
    [
        # ⌈N q⌉, at most ⌊N / 2⌋, for N = 1 … 9
        (0.25, [0, 1, 1, 1, 2, 2, 2, 2, 3]),
        (0.5, [0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (0.1, [0, 1, 1, 1, 1, 1, 1, 1, 1]),
        (0, [0] * 9),
    ],
)
def test_how_many_count_as_worst(fraction, shares):
    """The share is rounded up, in exact fractions, and never more than half."""
    schedule = PBT(9, fraction=fraction)
    assert [schedule.share(living) for living in range(1, 10)] == shares


def test_the_worst_stops_and_is_replaced():
    """With four members the last to report is the worst of four: it stops, and the best is copied."""
    _, answers = population(PBT(100, population=4, interval=10), [0.1, 0.2, 0.3, 0.4])
    # 0.1 is alone; 0.2 is the worst of two, 0.3 of three, 0.4 of four: one is replaced each time.
    assert [answer.verdict for answer in answers] == [
        Verdict.CONTINUE,
        Verdict.STOP,
        Verdict.STOP,
        Verdict.STOP,
    ]
    assert answers[0].until == 20
    assert answers[1].reason == "among the worst; trial 0 is copied"


def test_scores_of_those_who_stopped_do_not_count():
    """Only unfinished members are compared; a rising order of arrival replaces nobody."""
    machine, answers = population(PBT(100, population=4, interval=10), [0.4, 0.3, 0.2, 0.1])
    assert {answer.verdict for answer in answers} == {Verdict.CONTINUE}
    # Now 0 reports again: of 0.4, 0.3, 0.2, 0.1 it is still the worst, with donors among the one best.
    answer = machine.report(0, 20, 0.4)
    assert (answer.verdict, answer.reason) == (Verdict.STOP, "among the worst; trial 3 is copied")
    # The copy starts from the resource at which its donor was scored.
    assert machine.offer(4) == Job(trial=4, since=10, until=20, parent=3, exploit=0)
    assert machine.offer(5) is None
    # 1 is the worst of the three left; the copy has no score yet.
    assert machine.report(1, 20, 0.35).verdict is Verdict.STOP


def test_ties_go_to_the_smaller_key():
    """Of equal scores the greater key is the worse one."""
    machine, answers = population(PBT(100, population=2, interval=1), [0.5, 0.5])
    assert [answer.verdict for answer in answers] == [Verdict.CONTINUE, Verdict.STOP]
    machine = PBT(100, population=2, interval=1).begin(0, lambda trial: "ba"[trial])
    for trial in (0, 1):
        machine.offer(trial)
        assert machine.report(trial, 1, 0.5).verdict is Verdict.CONTINUE


def test_decisions_fall_every_interval():
    """A report less than an interval after the last comparison decides nothing and scores nothing."""
    machine = PBT(100, population=2, interval=10).begin(0, key_of)
    assert machine.offer(0) == Job(trial=0, since=0, until=10)
    machine.offer(1)
    assert machine.report(0, 4, 0.1) == Decision(Verdict.CONTINUE, 10)
    assert machine.report(1, 9, 99.0) == Decision(Verdict.CONTINUE, 10)
    assert machine.report(0, 13, 0.1) == Decision(Verdict.CONTINUE, 23)  # 13 - 0 >= 10
    assert machine.report(0, 22, 0.1) == Decision(Verdict.CONTINUE, 23)
    assert machine.report(1, 12, 99.0).verdict is Verdict.STOP
    assert machine.offer(None) == Job(trial=2, since=13, until=23, parent=0, exploit=0)
    assert PBT(25, interval=10).levels == (10, 20, 25)
    assert PBT(30, interval=10).levels == (10, 20, 30)


def test_the_maximum_completes():
    """At the maximum nobody is compared; the last stretch may be short."""
    machine = PBT(15, population=2, interval=10).begin(0, key_of)
    machine.offer(0)
    assert machine.report(0, 10, 0.5).until == 15
    assert machine.report(0, 15, 0.5).verdict is Verdict.COMPLETE
    machine.offer(1)
    assert machine.report(1, 10, 0.9).verdict is Verdict.CONTINUE  # alone: 0 has finished


def test_non_finite_scores_fail():
    """Where members are compared, a loss that is not finite fails its trial; in between it is passed over."""
    machine, answers = population(PBT(100, population=4, interval=10), [0.1, math.nan, 0.05])
    assert answers[1] == Decision(Verdict.FAIL, reason="non-finite")
    machine.report(2, 15, math.inf)
    assert machine.report(2, 20, 0.05).verdict is Verdict.CONTINUE
    assert machine.losses(2) == {10: 0.05, 20: 0.05}


def test_founders_are_as_many_as_the_population():
    """No more are started, whatever becomes of them; copies take the places of those that stop."""
    machine, _ = population(PBT(100, population=3, interval=10), [0.1, 0.2, 0.3])
    # 1 was the worst of two, 2 of two (1 had stopped): two copies of 0 wait.
    first, second = machine.offer(3), machine.offer(None)
    assert [(job.trial, job.parent, job.exploit) for job in (first, second)] == [(3, 0, 0), (4, 0, 1)]
    assert first.new
    assert machine.offer(5) is None
    machine.fail(3)
    assert machine.offer(5) is None


def test_donors_are_drawn_by_the_number_of_the_copy():
    """Uniform among the best, by (seed, number) alone."""
    schedule = PBT(100, population=40, interval=1, fraction=0.25)
    seen = Counter()
    for seed in range(30):
        # Falling losses: nobody is replaced until the first one, still the worst, reports again.
        machine, _ = population(schedule, [1 - trial / 100 for trial in range(40)], seed=seed)
        best = [39, 38, 37, 36, 35, 34, 33, 32, 31, 30]
        for exploit, trial in enumerate((0, 1, 2)):
            # 40, 39, 38 living: 10 each count as best.
            assert machine.report(trial, 2, 1 - trial / 100).verdict is Verdict.STOP
            job = machine.offer(40 + exploit)
            assert (job.exploit, job.parent) == (exploit, donor_of(seed, exploit, best))
            seen[job.parent] += 1
    assert set(seen) == set(best)


def test_a_copy_ignores_what_lies_before_its_checkpoint():
    """A copy that has to begin anew goes on until it is where its donor was."""
    machine, _ = population(PBT(100, population=2, interval=10), [0.1, 0.2])
    assert machine.offer(2) == Job(trial=2, since=10, until=20, parent=0, exploit=0)
    assert machine.report(2, 1, 0.0) == Decision(Verdict.CONTINUE, 20, "known from before its checkpoint")
    assert machine.report(2, 10, 0.0).until == 20
    assert machine.losses(2) == {}
    assert machine.pending(2) == (20,)
    assert machine.report(2, 20, 0.05).verdict is Verdict.CONTINUE


def test_donors_are_the_checkpoints_that_copies_may_start_from():
    """Those of the copies that wait, and of every living member where it was scored last."""
    machine, _ = population(PBT(100, population=3, interval=10), [0.1, 0.2, 0.15])
    # 1 was replaced, then 2: both by copies of 0, at 10.
    assert machine.donors() == {(0, 10)}
    machine.offer(3)
    machine.report(0, 15, 0.1)
    machine.report(3, 20, 0.2)
    assert machine.curves[3].state is TrialState.STOPPED
    machine.offer(4)
    machine.report(4, 20, 0.05)
    machine.report(
        0, 20, 0.1
    )  # the worst of two: stopped, but the copy of it that waits needs its state at 10
    assert machine.donors() == {(4, 20), (0, 10)}
    wrapped = TrialPlateau(PBT(100, population=3, interval=10), grace_period=50)
    assert population_of(wrapped).donors() == {(0, 10)}
    assert TrialPlateau(FIFO(9)).begin(0, key_of).donors() == frozenset()


def population_of(schedule):
    """A machine with one member that has been scored at 10."""
    machine = schedule.begin(0, key_of)
    machine.offer(0)
    machine.report(0, 10, 0.5)
    return machine


class TestSynch:
    """With `synch` members wait for each other."""

    def test_all_wait_then_the_worst_are_replaced(self):
        """Nobody is compared until the last one has come; then everything follows from the scores."""
        machine, answers = population(
            PBT(30, population=5, interval=10, synch=True), [0.5, 0.1, 0.4, 0.2, 0.3]
        )
        assert {answer.verdict for answer in answers} == {Verdict.PAUSE}
        # Order 1 3 4 2 0, two are replaced, the worst first: copies 0 and 1, of 1 or 3 each.
        jobs = [machine.offer(None) for _ in range(5)]
        assert jobs[:3] == [Job(trial=trial, since=10, until=20) for trial in (1, 3, 4)]
        donors = [donor_of(0, exploit, [1, 3]) for exploit in (0, 1)]
        assert jobs[3:] == [
            Job(trial=5 + number, since=10, until=20, parent=donor, exploit=number)
            for number, donor in enumerate(donors)
        ]
        assert machine.offer(None) is None
        assert set(machine.copied_over) == {0, 2}
        assert machine.curves[0].state is TrialState.STOPPED
        assert machine.report(0, 11, 0.1).verdict is Verdict.LATE

    def test_nobody_goes_on_before_the_last(self):
        """A member that runs holds the others back, and founders come first."""
        machine = PBT(30, population=3, interval=10, synch=True).begin(0, key_of)
        machine.offer(0)
        machine.report(0, 10, 0.1)
        assert machine.offer(1).trial == 1
        assert machine.offer(2).trial == 2
        assert machine.offer(3) is None
        machine.report(1, 10, 0.2)
        assert machine.offer(None) is None
        machine.fail(2)  # a failure ends the waiting, too
        assert machine.offer(None) == Job(trial=0, since=10, until=20)
        assert machine.offer(None) == Job(trial=3, since=10, until=20, parent=0, exploit=0)

    def test_a_small_budget_closes_the_population(self):
        """If no further founder may start, those that there are are all."""
        machine, _ = population(PBT(30, population=9, interval=10, synch=True), [0.1, 0.2])
        assert machine.offer(None) == Job(trial=0, since=10, until=20)

    def test_who_is_behind_catches_up_first(self):
        """Members compare only at the same multiple of the interval."""
        machine = PBT(50, population=2, interval=10, synch=True).begin(0, key_of)
        machine.offer(0)
        machine.offer(1)
        machine.report(0, 10, 0.5)
        machine.report(1, 25, 0.1)
        assert machine.offer(None) == Job(trial=0, since=10, until=20)
        assert machine.offer(None) is None
        assert machine.report(0, 10, 0.5).verdict is Verdict.CONTINUE  # from before its checkpoint
        assert machine.report(0, 20, 0.4).verdict is Verdict.PAUSE
        # Both stand at 20 now, the multiple: 0 is the worse one.
        assert machine.offer(None) == Job(trial=1, since=25, until=30)
        assert machine.offer(None) == Job(trial=2, since=25, until=30, parent=1, exploit=0)

    def test_whoever_is_stopped_while_waiting_does_not_go_on(self):
        """The search may end a member between the comparison and its next job."""
        machine, _ = population(PBT(30, population=3, interval=10, synch=True), [0.1, 0.2, 0.3])
        assert machine.offer(None).trial == 0
        machine.stop(1)
        assert machine.offer(None) == Job(trial=3, since=10, until=20, parent=0, exploit=0)
        assert machine.offer(None) is None

    def test_the_number_of_workers_does_not_matter(self):
        """One worker or many: the same copies with the same parents."""
        assert self.family(1) == self.family(3) == self.family(7)

    @staticmethod
    def family(workers):
        """(trial, since, parent) of every copy, with so many workers."""
        machine = PBT(8, population=7, interval=2, synch=True).begin(3, key_of)
        running, known, found = [], 0, []
        while True:
            while len(running) < workers:
                job = machine.offer(known if known < 7 else None)
                if job is None:
                    break
                known += job.trial == known
                if job.parent is not None:
                    found.append((job.trial, job.since, job.parent))
                running.append(job)
            if not running:
                return found
            job = running.pop(0)
            # A loss that depends on the trial and the resource alone, and makes a new order every time.
            machine.report(job.trial, job.until, generator(0, "test", job.trial, job.until).random())


SPACE = SearchSpace(
    {
        "lr": loguniform(1e-4, 1.0),
        "net": choice([{"kind": "mlp", "width": randint(10, 100)}, {"kind": "cnn", "depth": randint(1, 5)}]),
        "size": ordinal(["s", "m", "l"]),
        "drop": quniform(0, 1, 0.1),
        "twice": derived(lambda config: config["lr"] * 2),
        "fold": grid([1, 2]),
        "epochs": 50,
    }
)


@pytest.mark.parametrize(
    ("domain", "value", "up", "down"),
    [
        (Float(0, 1), 0.5, 0.6, 0.4),
        (Float(0, 1), 0.9, 1.0, 0.72),  # clipped
        (Float(1e-4, 1, log=True), 1e-4, 1.2e-4, 1e-4),
        (Float(-1, 1), -1.0, -1.0, -0.8),
        (Float(0, 1, q=0.1), 0.5, 0.6, 0.4),
        (Float(0, 1, q=0.1), 0.3, 0.4, 0.2),  # .36 -> .4, .24 -> .2
        (Float(0, 10, q=2.5), 2.5, 2.5, 2.5),  # 3.0 and 2.0: the nearest is 2.5
        (Float(1, 10, q=3, log=True), 9.0, 9.0, 6.0),  # 10 is no multiple; 7.2 -> 6
        (Integer(1, 100), 10, 12, 8),
        (Integer(1, 100), 2, 2, 2),  # 2.4 and 1.6
        (Integer(1, 100), 90, 100, 72),
        (Integer(0, 64, q=16), 32, 32, 32),  # 38.4 -> 32, 25.6 -> 32
        (Integer(0, 640, q=16), 320, 384, 256),
        (Normal(0, 1), -2.0, -2.4, -1.6),
        (Normal(0, 1, low=-2, high=2), -2.0, -2.0, -1.6),
        (Normal(0, 1, q=0.5), 2.0, 2.5, 1.5),  # 2.4 -> 2.5, 1.6 -> 1.5
        (Ordinal(("s", "m", "l")), "m", "l", "s"),
        (Ordinal(("s", "m", "l")), "l", "l", "m"),
        (FinRange(0, 1, 5), 0.5, 0.75, 0.25),
        (FinRange(0, 1, 5), 0.0, 0.25, 0.0),
        (Distribution(scipy.stats.uniform(0, 1)), 0.9, 1.0, 0.72),
        (Distribution(scipy.stats.poisson(5)), 5, 6, 4),
        (Distribution(scipy.stats.randint(1, 7)), 6, 6, 5),  # 7.2 and 4.8
    ],
)
def test_moves(domain, value, up, down):
    """Times 1.2 or .8, to the nearest value of the domain; a place up or down in a list with an order."""
    for way, wanted in ((True, up), (False, down)):
        found = moved(domain, value, up=way)
        assert found == pytest.approx(wanted, rel=1e-15) if isinstance(wanted, float) else found == wanted
        assert type(found) is type(wanted)
        assert domain.contains(found)


class Draws:
    """A generator that gives the numbers of a list."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)


def test_explore_takes_its_numbers_in_the_order_of_paths():
    """Per leaf: a choice one number, anything else one for whether to draw anew and one for how."""
    config = SPACE.assemble({"drop": 0.5, "fold": 2, "lr": 0.01, "net": 0, "net/0/width": 50, "size": "m"})
    # drop: up; fold stays; lr: down; net: option 0 again; width: up; size: anew, from the first third.
    draws = Draws(0.5, 0.4, 0.9, 0.6, 0.1, 0.25, 0.0, 0.2, 0.1)
    found = explore(config, SPACE, draws)
    assert draws.numbers == []
    assert found == {
        "drop": 0.6,
        "fold": 2,
        "lr": pytest.approx(0.008, rel=1e-15),
        "net": {"kind": "mlp", "width": 60},
        "size": "s",
        "twice": pytest.approx(0.016, rel=1e-15),
        "epochs": 50,
    }
    assert config["lr"] == 0.01


def test_explore_draws_leaves_that_become_active():
    """A choice that changes takes its leaves along: the new option's are drawn, the old one's are gone."""
    config = SPACE.assemble({"drop": 0.5, "fold": 1, "lr": 0.01, "net": 0, "net/0/width": 50, "size": "m"})
    # drop, lr: up; net: option 1; its depth with u = .99 is 5; size: up.
    found = explore(config, SPACE, Draws(0.5, 0.4, 0.5, 0.4, 0.9, 0.99, 0.5, 0.4))
    assert found["net"] == {"kind": "cnn", "depth": 5}
    assert found["size"] == "l"


def test_resample_probability():
    """1 draws everything anew, 0 moves everything but choices."""
    config = SPACE.draw(0, 0)
    fresh = explore(config, SPACE, generator(0, "pbt", 0), resample=1.0)
    draws = generator(0, "pbt", 0)
    draws.random()
    assert fresh["drop"] == Float(0, 1, q=0.1).value(draws.random())
    for number in range(20):
        near = explore(config, SPACE, generator(0, "pbt", number), resample=0.0)
        assert near["lr"] / config["lr"] == pytest.approx(1.2) or near["lr"] / config["lr"] == pytest.approx(
            0.8
        )


@given(st.integers(0, 200), st.integers(0, 50))
def test_explored_configurations_are_of_the_space(index, number):
    """Whatever is drawn, the copy's configuration is one of the space's, and the same every time."""
    config = SPACE.draw(1, index)
    found = PBT(9).child(config, SPACE, 1, number)
    SPACE.check(found)
    assert found == PBT(9).child(config, SPACE, 1, number)
    assert found["fold"] == config["fold"]


def test_child_follows_the_donors_draw():
    """One stream per copy: its first number draws the donor, the rest the configuration."""
    draws = generator(5, "pbt", 2)
    draws.random()
    config = SPACE.draw(0, 0)
    schedule = PBT(9, resample_probability=0.5)
    wanted = explore(config, SPACE, draws, 0.5)
    assert schedule.child(config, SPACE, 5, 2) == TrialPlateau(schedule).child(config, SPACE, 5, 2) == wanted


def test_choices_are_always_drawn_anew():
    """Also when nothing else is."""
    space = SearchSpace({"a": choice(list("abcdefgh"))})
    seen = {explore({"a": "a"}, space, generator(0, "pbt", number), 0.0)["a"] for number in range(60)}
    assert seen == set("abcdefgh")
    assert isinstance(space.leaves[0].domain, Choice)
    assert not isinstance(space.leaves[0].domain, Grid)


@given(st.lists(st.integers(0, 30), max_size=60), st.booleans(), st.integers(0, 3))
def test_any_order_of_events_replays_and_ends(moves, synch, seed):
    """Nobody runs after its end, members never exceed the population, and the log gives the same answers."""
    schedule = PBT(6, population=4, interval=2, synch=synch)
    log = Recorder(schedule.begin(seed, key_of))
    running, known, founders, step = {}, 0, 0, 0
    while step < 2000:
        pick = (moves[step] if step < len(moves) else step) % (len(running) + 1)
        step += 1
        if pick == len(running):
            job = log.tell(Told.OFFER, known if founders < 4 else None)
            if isinstance(job, Job):
                assert job.trial <= known
                known += job.trial == known
                founders += job.since == 0
                running[job.trial] = job.since
            elif not running:
                break
            assert len(running) <= 4
            continue
        trial = list(running)[pick]
        running[trial] += 1
        loss = float(generator(seed, "loss", trial, running[trial]).integers(0, 5))
        if log.tell(Told.REPORT, trial, running[trial], loss).verdict is not Verdict.CONTINUE:
            del running[trial]
    assert not running
    states = Counter(curve.state for curve in log.machine.curves.values())
    assert states[TrialState.RUNNING] == states[TrialState.PAUSED] == 0
    assert states[TrialState.COMPLETED] == 4
    assert replay(schedule, log.events, seed=seed, keys=key_of) == log.answers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 0}, "population: must be an int of at least 1, got 0"),
        ({"interval": 0}, "interval: must be an int of at least 1, got 0"),
        ({"interval": 10}, r"interval: must be at most max_resource \(9\), got 10"),
        ({"fraction": 0.6}, "fraction: must be a number from 0 to 1/2, got 0.6"),
        ({"fraction": -0.1}, "fraction: must be a number from 0 to 1/2, got -0.1"),
        ({"resample_probability": 1.1}, "resample_probability: must be a number from 0 to 1, got 1.1"),
        ({"resample_probability": None}, "resample_probability: must be a number from 0 to 1, got None"),
        ({"synch": 1}, "synch: must be True or False, got 1"),
    ],
)
def test_settings_are_checked(settings, message):
    """Bad settings are refused where they are written."""
    with pytest.raises(ScheduleError, match=message):
        PBT(9, **settings)
