"""What a decision costs as a search grows, in operations, never in seconds; and the slow ways as oracles."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.schedules.asynchronous.fifo import FIFO
from prefect_tune.schedules.asynchronous.pasha import PASHA
from prefect_tune.schedules.asynchronous.pbt import PBT
from prefect_tune.schedules.asynchronous.plateau import TrialPlateau
from prefect_tune.tuning import evidence, roster
from prefect_tune.tuning.budget import Budget
from prefect_tune.tuning.evidence import records_of
from prefect_tune.tuning.keep import Keep, to_release
from prefect_tune.tuning.tuner import Tuner

sys.path.append(str(Path(__file__).parent))
from driving import Driver, R, settings, table

SCHEDULES = {
    "fifo": FIFO(R),
    "stopping": ASHA(R),
    "promotion": ASHA(R, type="promotion", searcher_data="all"),
    "pasha": PASHA(R),
    "plateau": TrialPlateau(ASHA(R, type="promotion"), std=0.05),
    "pbt": PBT(R, population=8, interval=3),
    "pbt in step": PBT(R, population=8, interval=9, synch=True),
}
EACH = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
KEEPS = [Keep(num_to_keep=1), Keep(num_to_keep=2, score="loss"), Keep(num_to_keep=1, keep_in_search=3)]


@EACH
def test_records_kept_up_are_those_made_anew(schedule, monkeypatch):
    """At every question a sampler sees the records that the trials give now (the oracle makes them all).

    What it has been handed stays as it was then, however the search goes on.
    """
    monkeypatch.setattr(evidence, "_PIECE", 4)
    evaluated = [({"x": 0.5, "y": 0.5}, 0.25, R)]
    asked = settings(schedule=schedule, evaluated=evaluated, budget=Budget(n_trials=25))
    tuner, handed = Tuner(asked), []
    question = tuner.question

    def compared(ahead=False):
        if (found := question(ahead)) is not None:
            made = records_of(tuner.trials, tuner._machine, evaluated)
            handed.append((found.records, made))
            assert list(found.records) == made
            assert len(found.records) == len(made)
            assert [found.records[place] for place in range(-len(made), len(made))] == made * 2
            assert found.records[1:-1] == made[1:-1]
            assert {t.key for t in tuner.trials} < set(found.records.keys)
        return found

    tuner.question = compared  # type: ignore[method-assign]
    Driver(tuner).run()
    assert len(handed) >= 8
    assert all(list(records) == made for records, made in handed)


@EACH
@pytest.mark.parametrize("keep", KEEPS, ids=["one", "two by loss", "of three trials"])
def test_states_let_go_are_those_of_a_look_at_all_trials(schedule, keep, monkeypatch):
    """Looking at few trials lets go of what looking at all of them would (the oracle)."""
    seen = []

    def compared(trials, asked, needed):
        everybody = to_release(tuner.trials, asked, needed)
        assert to_release(trials, asked, needed) == everybody
        seen.append(len(everybody))
        return everybody

    monkeypatch.setattr(roster, "to_release", compared)
    tuner = Tuner(settings(schedule=schedule, keep=keep))
    Driver(tuner).run()
    bare = {(t.parent, t.inherited) for t in tuner.trials if t.parent is not None and not t.checkpoints}
    assert set(tuner._roster._bare.values()) == bare
    assert sum(seen) > 0 or isinstance(schedule, FIFO)  # whose trials have one job each


@pytest.mark.parametrize("keep", [KEEPS[0], KEEPS[2]], ids=["one", "of three trials"])
def test_letting_go_looks_at_few_trials(keep, monkeypatch):
    """Trials looked at after a job do not become more as the search grows: four workers, 400 trials."""
    looks = []

    def counted(trials, asked, needed):
        looks.append(len(trials))
        return to_release(trials, asked, needed)

    monkeypatch.setattr(roster, "to_release", counted)
    Driver(Tuner(settings(keep=keep, budget=Budget(n_trials=400)))).run()
    assert len(looks) >= 400
    assert max(looks) <= 16


def test_question_makes_the_records_of_few_trials(monkeypatch):
    """Records made in all are a few per trial: 100 trials and 400, four times as many and not sixteen."""

    def made(trials):
        count, make = 0, evidence._record

        def counted(trial, machine):
            nonlocal count
            count += 1
            return make(trial, machine)

        with monkeypatch.context() as patched:
            patched.setattr(evidence, "_record", counted)
            Driver(Tuner(settings(budget=Budget(n_trials=trials)))).run()
        return count

    few, many = made(100), made(400)
    assert many <= 5 * few
    assert many <= 4 * 400


def test_keys_that_are_known_draw_the_same_configurations(monkeypatch):
    """A sampler that works out all keys anew suggests the same."""
    fast = Driver(Tuner(settings())).run().tuner
    monkeypatch.setattr(evidence.Records, "keys", property(lambda _: None, lambda *_: None), raising=False)
    assert table(Driver(Tuner(settings())).run().tuner) == table(fast)
